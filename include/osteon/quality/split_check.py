"""The check of a split, before anything is trained on it: it adds up, and no copy crosses it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.catalogue import accounts, read_manifests
from osteon.curation.decisions import decided_pairs, decisions
from osteon.curation.leakage import find_pairs, nearest, not_compared
from osteon.curation.split import split_accounts
from osteon.lake import Lake, derived_key
from osteon.quality.check import Table
from osteon.quality.copies import neighbour_table, placement_table
from osteon.quality.findings import Validation, write_validation
from osteon.quality.suite import find
from osteon.quality.thresholds import load_thresholds
from osteon.schemas import Split
from osteon.settings import FileSettings

VERSION = 2


def check_split(
    settings: FileSettings, lake: Lake, catalog_key: str, manifest_keys: list[str], moved: dict[str, str]
) -> Validation:
    """Check a catalog that was split. The result is kept in the lake, beside the pairs that `leakage` finds.

    A critical finding does not raise: whoever calls decides to stop.

    Args:
        settings: Where the quality file is.
        lake: Holds the catalog and the manifests.
        catalog_key: The catalog that was split.
        manifest_keys: Of all sources.
        moved: The split before of each image that the split moved, by SHA-256.

    Raises:
        CatalogError: Counts do not add up from files to splits, or a group, a cluster or a patient stands in two.
    """
    thresholds = load_thresholds(settings.quality_file)
    catalog = catalogs.read(lake, catalog_key, Split)
    counts = accounts(read_manifests(lake, manifest_keys), catalog, catalogs.read_publications(lake, catalog))
    split_accounts(catalog, int(counts["images"].sum()))
    pairs, decided = find_pairs(lake, catalog), decided_pairs(decisions(lake))
    names = history.read(lake, history.NAMES)
    tables: dict[Table, pd.DataFrame] = {
        "neighbours": neighbour_table(catalog, names, nearest(pairs, decided), not_compared(pairs)),
        "placements": placement_table(catalog, moved),
    }
    rules = {name: threshold.model_dump() for name, threshold in thresholds.items()}
    inputs = [catalog_key, rules, moved, tables["neighbours"].to_json()]
    key = derived_key("checks", VERSION, *inputs, suffix="/result.json")
    with tempfile.TemporaryDirectory(prefix="osteon-gx-") as folder:
        result = Validation(key=key, findings=find(tables, thresholds, Path(folder)))
    write_validation(lake, result)
    return result
