"""The one table that flows: one row per distinct image. How it is read and written, and its snapshot id."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar, overload

import pandas as pd
from pandera.typing import DataFrame

from osteon.errors import CatalogError
from osteon.labels import STATES, UNKNOWN, LabelMap
from osteon.lake import Lake
from osteon.schemas import BASE_MODEL as BASE_MODEL
from osteon.schemas import HUMAN as HUMAN
from osteon.schemas import SPLITS as SPLITS
from osteon.schemas import STAGES, Catalogued, Publications, Split, check, columns_of, measured_in, name_of

M = TypeVar("M", bound=Catalogued)


@overload
def read(lake: Lake, key: str) -> DataFrame[Catalogued]: ...
@overload
def read(lake: Lake, key: str, needs: type[M]) -> DataFrame[M]: ...
def read(lake: Lake, key: str, needs: type[Catalogued] = Catalogued) -> DataFrame[Any]:
    """Read a catalog, and check it as what the last stage left that it came through.

    Args:
        lake: Where it lies.
        key: Its key.
        needs: What it has to be at least: a catalog that came through this stage.

    Returns:
        One row for each image, in the order of `sha256`, with the columns of all stages that it came through.

    Raises:
        CatalogError: It did not come through that stage, or does not fit its schema.
        LakeError: There is none.
    """
    table = lake.get_table(key)
    if "published" in table:
        table = of_earlier_version(table)
    model = next((stage for stage in reversed(STAGES) if set(columns_of(stage)) <= set(table)), Catalogued)
    if not issubclass(model, needs):
        raise CatalogError(f"{key} came through the stages up to `{name_of(model)}` only: run them up to "
                           f"`{name_of(needs)}`, and name the catalog that it leaves")  # fmt: skip
    return check(table, model, key)


def write(lake: Lake, key: str, catalog: pd.DataFrame, model: type[Catalogued]) -> str:
    """Write what a stage leaves, in the order of `sha256`. Columns of later stages are left out: they hold no longer.

    Args:
        lake: Where to.
        key: Of the catalog.
        catalog: One row for each image.
        model: The schema of the stage.

    Returns:
        The key.

    Raises:
        CatalogError: The catalog does not fit.
    """
    later = [name for name in columns_of(Split) if name in catalog and name not in columns_of(model)]
    lake.put_table(key, check(catalog.drop(columns=later), model, key).sort_values("sha256", ignore_index=True))
    return key


def complete(catalog: pd.DataFrame) -> pd.DataFrame:
    """The catalog with the columns of all stages: those of stages that it did not come through are empty."""
    kinds = columns_of(Split)
    lacking = {name: pd.Series(pd.NA, catalog.index, kind) for name, kind in kinds.items() if name not in catalog}
    return catalog.assign(**lacking)[[*kinds, *measured_in(catalog)]].astype(kinds)


def of_earlier_version(table: pd.DataFrame) -> pd.DataFrame:
    """A snapshot that an earlier version left, as this one would: champions learnt from such.

    It held all columns from the start, and publications in one of them. `split` wrote into `reason` why an image takes
    no part. The oldest have no clusters: there a cluster is a group.
    """
    known = complete(table.drop(columns="published"))
    return known.assign(cluster=known["cluster"].fillna(known["group"]), exclusion_reason=known["reason"])


def read_publications(lake: Lake, catalog: pd.DataFrame) -> DataFrame[Publications]:
    """Every file that the images of a catalog were published as, in the order of sources and paths.

    Raises:
        CatalogError: An earlier version left the catalog.
    """
    if catalog.empty:
        return check(pd.DataFrame(columns=list(columns_of(Publications))), Publications, "publications of no image")
    keys = catalog["publications"].unique()
    if len(keys) != 1 or pd.isna(keys[0]):
        raise CatalogError("the catalog does not say where its publications are: run all stages from `catalogue`")
    return check(lake.get_table(str(keys[0])), Publications, str(keys[0]))


def usable(catalog: pd.DataFrame) -> pd.Series:
    """Whether each image may take part: it is not quarantined, or `repair` has not looked at it yet."""
    return ~catalog["quarantined"].fillna(False).astype(bool)


def eligible(catalog: pd.DataFrame) -> pd.Series[bool]:
    """Whether each image takes part in training, as far as the stages say that it came through."""
    return catalog["exclusion_reason"].isna() & catalog["reason"].isna()


def labelled_by_people(catalog: pd.DataFrame) -> pd.Series:
    """Whether a publisher or a curator named the body part.

    A label that a model gave may teach, and never judges: the images that base models agree on are the easy ones.
    """
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
