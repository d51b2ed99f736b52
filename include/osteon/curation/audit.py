"""Where the history and the catalogs disagree."""

from __future__ import annotations

import pandas as pd

from osteon import history
from osteon.curation.grouping import recall
from osteon.curation.groups import Groups
from osteon.lake import Lake


def disagreements(lake: Lake) -> list[str]:
    """What is wrong with the lake's memory, in words; nothing where all agrees."""
    groups = recall(lake)
    names, placed = history.read(lake, history.NAMES, ["sha256"]), history.read(lake, history.PLACEMENTS)
    newest = lake.newest("group/", ".parquet")[:1]
    catalog = lake.get_table(newest[0], columns=["sha256", "group"]) if newest else None
    return audit(names, placed, groups, catalog)


def audit(names: pd.DataFrame, placements: pd.DataFrame, groups: Groups, catalog: pd.DataFrame | None) -> list[str]:
    """The same of facts that are read already; `catalog` (`sha256, group`) is the newest that `group` made."""
    splits = placements.set_index("sha256")["split"]
    problems: dict[str, pd.Index | pd.Series] = {
        "images are placed, but have no name": placements.loc[~placements["sha256"].isin(names["sha256"]), "sha256"],
        "groups of copies stand in two splits": _in_several(splits, groups.group),
        "clusters stand in two splits": _in_several(splits, groups.cluster),
    }
    if catalog is not None:
        grouped = catalog.loc[catalog["group"].notna(), "sha256"]
        problems["images of the newest catalog are not in the history"] = grouped[~grouped.isin(names["sha256"])]
    return [f"{len(found)} {what} ({min(found.tolist())[:12]}, ...)" for what, found in problems.items() if len(found)]


def _in_several(splits: pd.Series, names: pd.Series) -> pd.Index[str]:
    counts = splits.groupby(names.reindex(splits.index)).nunique()
    return counts.index[counts > 1]
