"""Join the manifests into the catalog: one row per distinct image, which knows all its publications."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon.errors import CatalogError
from osteon.ingest import MANIFEST_COLUMNS
from osteon.labels import LabelMap, RawLabel
from osteon.lake import Lake, derived_key

VERSION = 4
PUBLICATION = ("source", "path", "licence", "attribution", "raw_label", "raw_split", "patient", "study")
FIRST = ("bytes", "source", "source_version", "path", "licence", "attribution")


def read_manifests(lake: Lake, manifest_keys: list[str]) -> pd.DataFrame:
    """All manifests in one frame, in the order given. One from before there were pseudonyms has none."""
    tables = (lake.get_table(key).reindex(columns=list(MANIFEST_COLUMNS)) for key in manifest_keys)
    return pd.concat([table.astype(MANIFEST_COLUMNS) for table in tables], ignore_index=True)


def catalogue(lake: Lake, labels: LabelMap, manifest_keys: list[str]) -> tuple[str, dict[str, int]]:
    """Make the catalog. Returns its key and counts (`images` = distinct, `duplicates` = further exact copies).

    An image belongs to the first source (in the order given) and path that publish it. Its label is set only where
    all publications agree that say something; otherwise `body_part` and `fractured` stay empty. To name several parts,
    or one that the label map does not hold, is to disagree; to name none is to say nothing. Patient and study are those
    of the first publication that names one; `published` keeps all.
    """
    key = derived_key("catalogue", VERSION, manifest_keys, labels.model_dump())
    if lake.exists(key):
        published = lake.get_table(key, columns=["published"])["published"]
        return key, {"images": len(published), "duplicates": int(sum(map(len, published)) - len(published))}
    files = read_manifests(lake, manifest_keys).astype("object")
    files = files[files["sha256"].notna()]
    files = files.where(files.notna(), None)
    meanings = {raw: labels.resolve(raw) for raw in files["raw_label"].unique()}
    copies: dict[str, list[dict[str, object]]] = {}
    for file in files.to_dict("records"):
        copies.setdefault(file["sha256"], []).append(file)
    rows = []
    for digest, published in copies.items():
        raws = [str(file["raw_label"]) for file in published if file["raw_label"]]
        said = [(RawLabel.parse(raw).parts, meanings[raw]) for raw in raws]
        parts = {label.body_part for words, label in said if words and (label.parts or label.unknown)}
        states = {label.fractured for _, label in said if label.fractured is not None}
        rows.append(
            {
                "sha256": digest,
                **{name: published[0][name] for name in FIRST},
                "raw_label": next(iter(raws), None),
                "published": [{name: file[name] for name in PUBLICATION} for file in published],
                "body_part": parts.pop() if len(parts) == 1 else None,
                "fractured": states.pop() if len(states) == 1 else None,
                "label_origin": "source",
                **{name: next((file[name] for file in published if file[name]), None) for name in ("patient", "study")},
            }
        )
    catalog = pd.DataFrame(rows, columns=[name for name in catalogs.COLUMNS if not rows or name in rows[0]])
    catalogs.write(lake, key, catalog)
    return key, {"images": len(rows), "duplicates": len(files) - len(rows)}


def accounts(manifests: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Per source: `files = images + duplicates + quarantined`, which is checked here.

    `files` counts what claims to be an image by its name; `quarantined` counts files that ingest refused as well as
    images that repair keeps out; `duplicates` counts exact copies beyond an image's first publication.
    """
    claims = manifests[manifests["claims_image"]]
    published = catalog["published"].explode().map(lambda item: item["source"]).value_counts()
    first = catalog.groupby("source").size()
    bad = catalog[~catalogs.usable(catalog)].groupby("source").size()
    refused = claims[claims["sha256"].isna()].groupby("source").size()
    table = pd.DataFrame({"files": claims.groupby("source").size()})
    table["images"] = first.sub(bad, fill_value=0)
    table["duplicates"] = published.sub(first, fill_value=0)
    table["quarantined"] = bad.add(refused, fill_value=0)
    table = table.fillna(0).astype(int)
    wrong = table[table["files"] != table["images"] + table["duplicates"] + table["quarantined"]]
    if len(wrong):
        raise CatalogError(f"counts of {', '.join(wrong.index)} do not add up: {wrong.to_dict('index')}")
    return table
