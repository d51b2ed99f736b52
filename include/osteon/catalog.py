"""The one table that flows: one row per distinct image. Its columns, its types, its snapshot id."""

from __future__ import annotations

import hashlib
import re

import pandas as pd

from osteon.errors import CatalogError
from osteon.labels import STATES, UNKNOWN, LabelMap
from osteon.lake import Lake

COLUMNS: dict[str, str] = {
    # identity and provenance (ingest, catalogue)
    "sha256": "string",
    "bytes": "Int64",
    "source": "string",
    "source_version": "string",
    "path": "string",
    "licence": "string",
    "attribution": "string",
    "published": "object",  # every file it stands for, as osteon.curation.catalogue.PUBLICATION
    # labels
    "raw_label": "string",
    "body_part": "string",
    "fractured": "boolean",
    "label_origin": "string",
    "patient": "string",  # pseudonyms, see osteon.pseudonyms
    "study": "string",
    # inspect
    "width": "Int64",
    "height": "Int64",
    "mode": "string",
    "truncated": "boolean",
    "blank_fraction": "Float64",
    "mean": "Float64",
    "std": "Float64",
    "dhash": "string",
    # repair
    "repaired_sha256": "string",
    "quarantined": "boolean",
    "reason": "string",
    # group, split
    "group": "string",
    "cluster": "string",
    "split": "string",
}
"""Column name to pandas type; a stage that has not run yet leaves its columns empty."""
MEASURED = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
"""Further columns, such as `sharpness.variance`: what a check measured, by its family and column (see
`osteon.images.families`). Their type is the one that they were written with, so whoever reads a catalog need not have
the check."""

SPLITS = ("train", "val", "test")
BASE_MODEL = "base-model"
"""The `label_origin` of an image whose body part a base model set."""


def conform(catalog: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the schema's columns and types, then those that checks measured, ordered by `sha256`.

    An image of a group without a cluster, as older catalogs have them, stands in a cluster of that name.
    Raises `CatalogError` when a column is unknown, a value does not fit, or an image has two rows.
    """
    more = sorted(name for name in catalog.columns if MEASURED.fullmatch(name))
    unknown = set(catalog.columns) - set(COLUMNS) - set(more)
    if unknown:
        raise CatalogError(f"columns {sorted(unknown)} are not in the catalog's schema: see osteon.catalog.COLUMNS")
    if untyped := [name for name in more if catalog[name].dtype == "object"]:
        raise CatalogError(f"the measured column {untyped[0]} has no type: give it Float64, Int64, string or boolean")
    full = catalog.reindex(columns=[*COLUMNS, *more])
    try:
        full = full.astype({name: kind for name, kind in COLUMNS.items() if kind != "object"})
    except (TypeError, ValueError) as error:
        raise CatalogError(f"the catalog holds a value of a wrong type: {error}") from error
    twice = full.loc[full["sha256"].duplicated(), "sha256"]
    if len(twice):
        raise CatalogError(f"image {twice.iloc[0]} has more than one row: merge its publications first")
    full["cluster"] = full["cluster"].fillna(full["group"])
    return full.sort_values("sha256", ignore_index=True)


def read(lake: Lake, key: str) -> pd.DataFrame:
    """Read a catalog. Raises `LakeError` when absent, `CatalogError` when it is not one."""
    return conform(lake.get_table(key))


def write(lake: Lake, key: str, catalog: pd.DataFrame) -> str:
    """Write a catalog and return its key."""
    lake.put_table(key, conform(catalog))
    return key


def usable(catalog: pd.DataFrame) -> pd.Series:
    """Whether each image may take part: it is not quarantined, or `repair` has not looked at it yet."""
    return ~catalog["quarantined"].fillna(False).astype(bool)


def labelled_by_people(catalog: pd.DataFrame) -> pd.Series:
    """Whether a publisher or a curator named the body part. A label that a model gave may teach, and never judges: the
    images that base models agree on are the easy ones."""
    return catalog["label_origin"].fillna("") != BASE_MODEL


def state_names(images: pd.DataFrame) -> pd.Series:
    """`fractured`, `non-fractured` or `unknown` of each image (`fractured`)."""
    return images["fractured"].map(STATES).astype("string").fillna(UNKNOWN)


def class_names(images: pd.DataFrame) -> pd.Series:
    """`part/state` of each image (`body_part, fractured`); empty where the part is."""
    return images["body_part"] + "/" + state_names(images)


def snapshot_id(catalog: pd.DataFrame, labels: LabelMap) -> str:
    """16 hex digits over identity, label and split columns, who labelled, and the label map; in any order of rows.

    Patients count where there are any, clusters where they are more than groups: other data sets keep the id they had.
    """
    columns = ["sha256", "repaired_sha256", "body_part", "fractured", "quarantined", "group"]
    columns += ["split"] if catalog["cluster"].equals(catalog["group"]) else ["cluster", "split"]
    columns += ["patient"] if catalog["patient"].notna().any() else []
    rows = catalog[columns].assign(people=labelled_by_people(catalog))
    rows = rows.sort_values("sha256").astype("string").fillna("")
    digest = hashlib.sha256(labels.model_dump_json().encode())
    for row in rows.itertuples(index=False):
        digest.update("\x1f".join(row).encode() + b"\n")
    return digest.hexdigest()[:16]
