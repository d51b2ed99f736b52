"""Join the manifests into the catalog, one row per distinct image, and into the table of its publications."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.publications import first_of_each, is_about_parts, publications_of
from osteon.errors import CatalogError
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.schemas import SOURCE, Catalogued, Manifest, Publications, check, columns_of

VERSION = 5
OF_FIRST = ["bytes", "source", "source_version", "path", "licence", "attribution"]
"""Columns that an image has of its first publication."""
OF_FIRST_THAT_SAYS = ["raw_label", "patient", "study"]
"""Columns that it has of the first one that says something."""


def read_manifests(lake: Lake, manifest_keys: list[str]) -> pd.DataFrame:
    """All manifests in one frame, in the order given. One from before there were pseudonyms has none."""
    columns = list(columns_of(Manifest))
    tables = (check(lake.get_table(key).reindex(columns=columns), Manifest, key) for key in manifest_keys)
    return pd.concat(tables, ignore_index=True)


def catalogue(lake: Lake, labels: LabelMap, manifest_keys: list[str]) -> tuple[str, dict[str, int]]:
    """Make the catalog and, before it, the table of publications.

    An image belongs to the first source (in the order given) and path that publish it. Its label is set only where
    all publications agree that say something; otherwise `body_part` and `fractured` stay empty. To name several parts,
    or one that the label map does not hold, is to disagree; to name none is to say nothing. Patient and study are those
    of the first publication that names one.

    Args:
        lake: Where manifests lie and the tables go.
        labels: What labels mean.
        manifest_keys: One manifest of each source.

    Returns:
        The catalog's key, and counts: `images` are distinct, `duplicates` are further exact copies.
    """
    inputs = [manifest_keys, labels.model_dump()]
    key, files = derived_key("catalogue", VERSION, *inputs), derived_key("publications", VERSION, *inputs)
    if lake.exists(key):
        return key, _counts(lake.get_table(key, columns=["sha256"]), lake.get_table(files, columns=["sha256"]))
    publications = check(publications_of(read_manifests(lake, manifest_keys), labels), Publications, files)
    catalog = _images(publications).assign(publications=files)
    lake.put_table(files, publications)
    catalogs.write(lake, key, catalog, Catalogued)
    return key, _counts(catalog, publications)


def _images(publications: pd.DataFrame) -> pd.DataFrame:
    """One row for each image, with what its publications say together."""
    by_image = publications.assign(raw_label=publications["raw_label"].replace("", pd.NA)).groupby("sha256")
    images = first_of_each(publications)[OF_FIRST].join(by_image[OF_FIRST_THAT_SAYS].first())
    about_parts = publications[is_about_parts(publications)]
    parts, states = (about_parts.groupby("sha256")["body_part"], by_image["fractured"])
    # a label that names several parts has none, and so disagrees with each
    images["body_part"] = parts.first().where((parts.nunique() == 1) & (parts.count() == parts.size()))
    images["fractured"] = states.first().where(states.nunique() == 1)
    return images.assign(label_origin=SOURCE).reset_index()


def _counts(catalog: pd.DataFrame, publications: pd.DataFrame) -> dict[str, int]:
    return {"images": len(catalog), "duplicates": len(publications) - len(catalog)}


def accounts(manifests: pd.DataFrame, catalog: pd.DataFrame, publications: pd.DataFrame) -> pd.DataFrame:
    """Per source: `files = images + duplicates + quarantined`, which is checked here.

    `files` counts what claims to be an image by its name. `quarantined` counts files that ingest refused and images
    that repair keeps out. `duplicates` counts exact copies beyond an image's first publication.

    Raises:
        CatalogError: The counts of a source do not add up.
    """
    claims = manifests[manifests["claims_image"]]
    published = publications[publications["sha256"].isin(catalog["sha256"])].groupby("source").size()
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
