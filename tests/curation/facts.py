"""Facts of the history, written by hand."""

from __future__ import annotations

import pandas as pd

from osteon import history
from osteon.curation.groups import Groups, find_groups

WHOLE = (0.0, 0.0, 1.0, 1.0)


def names(*rows: tuple[str, ...]) -> pd.DataFrame:
    """`sha256, path[, patient]` of source `s`."""
    full = [(row[0], "s", row[1], row[2] if len(row) > 2 else None) for row in rows]
    return history.conform(history.NAMES, pd.DataFrame(full, columns=["sha256", "source", "path", "patient"]))


def copies(*rows: tuple[object, ...]) -> pd.DataFrame:
    """`first, second, verdict[, score[, region_first, region_second]]`, merged."""
    columns = ["first", "second", "verdict", "score", "region_first", "region_second"]
    full = [(*row, *(None,) * (len(columns) - len(row))) for row in rows]
    table = pd.DataFrame(full, columns=columns).assign(method="m")
    return history.merge(history.COPIES, [history.conform(history.COPIES, table)])


def decided(*rows: tuple[str, str, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["first", "second", "copies"])


def groups(
    digests: str = "", *, named: pd.DataFrame | None = None, found: pd.DataFrame | None = None, said: object = ()
) -> Groups:
    """Groups of one-letter digests."""
    return find_groups(
        digests,
        names() if named is None else named,
        copies() if found is None else found,
        decided(*said),  # type: ignore[misc]
    )
