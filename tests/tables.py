"""Tables that flow between stages, from the few columns that a test is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.eligibility import with_eligibility
from osteon.curation.publications import publications_of
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.records import CatalogKey
from osteon.schemas import Catalogued, Manifest, Reviewed, Split, check, columns_of
from osteon.settings import load_settings

FILE = {"source": "s", "source_version": "1", "licence": "CC0-1.0", "attribution": "Ann", "bytes": 1}
IMAGE = {**FILE, "label_origin": "source", "quarantined": False}
PUBLICATIONS = "publications/t.parquet"
Rows = Sequence[Mapping[str, Any]] | pd.DataFrame


def manifest(files: Rows) -> pd.DataFrame:
    """A manifest of files, of which `path` and `sha256` have to be given."""
    rows = _filled(pd.DataFrame(files), {**FILE, "claims_image": True}).reindex(columns=list(columns_of(Manifest)))
    return check(rows.assign(bytes=rows["bytes"].where(rows["sha256"].notna())), Manifest, "the test's manifest")


def publications(files: Rows) -> pd.DataFrame:
    """The table of files (`sha256`, `path` and more), whose labels mean what the shipped label map says."""
    return publications_of(manifest(files), load_labels(load_settings().labels_file))


def catalog(rows: Rows) -> pd.DataFrame:
    """A catalog with the columns of all stages. Each image is a film of its own, unless `group` says otherwise."""
    table = catalogs.complete(_filled(pd.DataFrame(rows), IMAGE)).sort_values("sha256", ignore_index=True)
    table["path"] = table["path"].fillna(table["sha256"] + ".jpg")
    table["group"] = table["group"].fillna(table["sha256"].mask(table["quarantined"]))
    return table.assign(cluster=table["cluster"].fillna(table["group"]))


def put(lake: Lake, key: str, rows: Rows, stage: type[Catalogued], files: Rows | None = None) -> CatalogKey:
    """Write a catalog as a stage leaves it, and its publications: `files`, or else one for each image."""
    table = catalog(rows)
    published = publications(table if files is None else files)
    lake.put_table(PUBLICATIONS, published)
    if issubclass(stage, Reviewed):
        table = with_eligibility(table, published, "marginal")
    if stage is Split:
        table["split"] = table["split"].mask(table["exclusion_reason"].notna())
    columns = [*columns_of(stage), *(name for name in table.columns.astype(str) if "." in name)]
    return CatalogKey(catalogs.write(lake, key, table[columns].assign(publications=PUBLICATIONS), stage))


def reviewed(rows: Rows, files: Rows | None = None) -> pd.DataFrame:
    """A catalog as `review` leaves it: with what its publications say of who takes part."""
    table = catalog(rows)
    return with_eligibility(table, publications(table if files is None else files), "marginal")


def _filled(table: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    for name, value in values.items():
        table[name] = value if name not in table else table[name].fillna(value)
    return table
