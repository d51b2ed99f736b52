"""The tables that flow between stages: which columns each stage leaves, their types, and the values they may have.

A catalog has the columns of the stages that it came through, and no others: each schema adds those of its stage.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import pandas as pd
import pandera.pandas as pa
from pandera import dtypes
from pandera.engines import pandas_engine
from pandera.typing import DataFrame

from osteon.errors import CatalogError

SPLITS = ("train", "val", "test")
SOURCE, HUMAN, BASE_MODEL = "source", "human", "base-model"
"""The `label_origin` of an image: who named its body part last, a publisher, a curator or a base model."""
MEASURED = r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"
"""Further columns, such as `sharpness.variance`: what a check measured, by its family and column (see
`osteon.images.families`). Their type is the one that they were written with, so whoever reads a catalog need not have
the check."""
JOINT = "+"
"""Between the words of one cell, as between the parts of a raw label."""
PROBLEMS = {
    "column_in_dataframe": "is missing",
    "column_in_schema": "is not known",
    "not_nullable": "is empty",
    "field_uniqueness": "is there twice",
}
"""Words for what pandera finds, where they are not the check's own."""


@pandas_engine.Engine.register_dtype
@dtypes.immutable
class Text(pandas_engine.DataType):
    """Pandas' `string`, whose missing value is `pandas.NA`; pandera's own has NaN, which compares otherwise."""

    type: Any = pd.StringDtype(na_value=pd.NA)

    def check(self, pandera_dtype: dtypes.DataType, data_container: Any = None) -> bool:
        """Whether a column has this type."""
        return data_container is None or bool(data_container.dtype == self.type)

    def coerce(self, data_container: Any) -> Any:
        """The column in this type."""
        return data_container.astype(self.type)

    def __str__(self) -> str:
        return "string"


class Table(pa.DataFrameModel):
    """What all tables share: no unknown column, and values that are cast to the types of their columns."""

    class Config:
        strict = True
        coerce = True


class PublishedFile(Table):
    """What a publisher says of one file."""

    source: Text = pa.Field()
    source_version: Text = pa.Field()
    path: Text = pa.Field()
    licence: Text = pa.Field()
    attribution: Text = pa.Field()
    raw_label: Text = pa.Field(nullable=True)
    raw_split: Text = pa.Field(nullable=True)
    patient: Text = pa.Field(nullable=True)  # a pseudonym, as is the study: see osteon.pseudonyms
    study: Text = pa.Field(nullable=True)


class Manifest(PublishedFile):
    """One row for each file of one version of a source. `ingest` leaves it."""

    claims_image: pd.BooleanDtype = pa.Field()
    sha256: Text = pa.Field(nullable=True)
    bytes: pd.Int64Dtype = pa.Field(nullable=True, ge=0)
    reason: Text = pa.Field(nullable=True)
    content: Text = pa.Field(nullable=True)  # what its bytes are; empty in manifests that an earlier version left

    class Config:
        name = "ingest"


class Publications(PublishedFile):
    """One row for each file that is an image of the catalog, in the order of sources and paths. `catalogue` leaves it.

    `body_part` and `fractured` are what the file's own label says. `named_parts` are all parts that it names, and
    `unknown_words` those that the label map does not hold, each joined by JOINT.
    """

    sha256: Text = pa.Field()
    bytes: pd.Int64Dtype = pa.Field(ge=0)
    body_part: Text = pa.Field(nullable=True)
    fractured: pd.BooleanDtype = pa.Field(nullable=True)
    named_parts: Text = pa.Field(nullable=True)
    unknown_words: Text = pa.Field(nullable=True)

    class Config:
        name = "catalogue"


class Catalogued(Table):
    """One row for each distinct image, after `catalogue`."""

    sha256: Text = pa.Field(unique=True)
    bytes: pd.Int64Dtype = pa.Field(ge=0)
    source: Text = pa.Field()
    source_version: Text = pa.Field()
    path: Text = pa.Field()
    licence: Text = pa.Field()
    attribution: Text = pa.Field()
    publications: Text = pa.Field(nullable=True)  # empty in snapshots that an earlier version left
    raw_label: Text = pa.Field(nullable=True)
    body_part: Text = pa.Field(nullable=True)
    fractured: pd.BooleanDtype = pa.Field(nullable=True)
    label_origin: Text = pa.Field(isin=(SOURCE, HUMAN, BASE_MODEL))
    patient: Text = pa.Field(nullable=True)
    study: Text = pa.Field(nullable=True)
    measured: Any | None = pa.Field(alias=MEASURED, regex=True, nullable=True)

    class Config:
        name = "catalogue"


class Inspected(Catalogued):
    """After `inspect`. What could not be decoded has no measurements, and a `reason`."""

    width: pd.Int64Dtype = pa.Field(nullable=True, gt=0)
    height: pd.Int64Dtype = pa.Field(nullable=True, gt=0)
    mode: Text = pa.Field(nullable=True)
    truncated: pd.BooleanDtype = pa.Field(nullable=True)
    blank_fraction: pd.Float64Dtype = pa.Field(nullable=True, ge=0, le=1)
    mean: pd.Float64Dtype = pa.Field(nullable=True, ge=0, le=255)
    std: pd.Float64Dtype = pa.Field(nullable=True, ge=0, le=128)
    dhash: Text = pa.Field(nullable=True, str_matches=r"^[0-9a-f]{16}$")
    reason: Text = pa.Field(nullable=True)

    class Config:
        name = "inspect"


class Repaired(Inspected):
    """After `repair`."""

    repaired_sha256: Text = pa.Field(nullable=True)
    quarantined: pd.BooleanDtype = pa.Field()

    class Config:
        name = "repair"


class Grouped(Repaired):
    """After `group`."""

    group: Text = pa.Field(nullable=True)
    cluster: Text = pa.Field(nullable=True)

    class Config:
        name = "group"

    @pa.dataframe_check(error="group and cluster: an image that is not quarantined has both", n_failure_cases=1)
    def is_grouped(cls, table: pd.DataFrame) -> pd.Series[bool]:  # noqa: N805
        return table["quarantined"] | (table["group"].notna() & table["cluster"].notna())


class Reviewed(Grouped):
    """After `review`, and after `relabel` and `answers`, which change labels. See `osteon.curation.eligibility`."""

    conflict: Text = pa.Field(nullable=True)
    exclusion_reason: Text = pa.Field(nullable=True)

    class Config:
        name = "review"

    @pa.dataframe_check(error="exclusion_reason: it is there where `reason` or `conflict` is", n_failure_cases=1)
    def is_judged(cls, table: pd.DataFrame) -> pd.Series[bool]:  # noqa: N805
        return table["exclusion_reason"].notna() | (table["reason"].isna() & table["conflict"].isna())


class Split(Reviewed):
    """After `split`: a snapshot."""

    split: Text = pa.Field(nullable=True, isin=SPLITS)

    class Config:
        name = "split"

    @pa.dataframe_check(error="split: an image has one unless it has an `exclusion_reason`", n_failure_cases=1)
    def is_placed(cls, table: pd.DataFrame) -> pd.Series[bool]:  # noqa: N805
        return table["split"].notna() == table["exclusion_reason"].isna()


STAGES: tuple[type[Catalogued], ...] = (Catalogued, Inspected, Repaired, Grouped, Reviewed, Split)
"""What a catalog may be, in the order of the stages."""
M = TypeVar("M", bound=Table)


def name_of(model: type[Table]) -> str:
    """Name of the stage that leaves such a table."""
    return str(model.to_schema().name)


def columns_of(model: type[Table]) -> dict[str, Any]:
    """Pandas type of each column that such a table always has, in their order."""
    return {str(name): column.dtype.type for name, column in model.to_schema().columns.items() if not column.regex}


def measured_in(table: pd.DataFrame) -> list[str]:
    """Columns that checks of other packages measured, in order."""
    return sorted(name for name in table.columns if re.fullmatch(MEASURED, name))


def check(table: pd.DataFrame, model: type[M], where: str) -> DataFrame[M]:
    """Check a table at the door of a stage.

    Args:
        table: What is read or written.
        model: What it has to be.
        where: Its key in the lake, for the message.

    Returns:
        The table, with the types of its schema and its columns in order.

    Raises:
        CatalogError: It does not fit. The message names the stage, the columns and the first offender of each.
    """
    more = measured_in(table)
    if untyped := [name for name in more if table[name].dtype == "object"]:
        raise CatalogError(f"{where}: the measured column {untyped[0]} has no type: give it Float64, Int64, string or "
                           "boolean")  # fmt: skip
    rows = table.reset_index(drop=True)
    try:
        found = model.validate(rows, lazy=True)
    except pa.errors.SchemaErrors as error:
        told = "; ".join(_problems(rows, error.failure_cases))
        raise CatalogError(f"{where} is no table that `{name_of(model)}` leaves: {told}") from error
    return found[[*columns_of(model), *more]]


def _problems(table: pd.DataFrame, cases: pd.DataFrame) -> dict[str, None]:
    """One sentence for each column or rule that is broken, with its first offender; in order, and each once."""
    told: dict[str, str] = {}
    for case in cases.to_dict("records"):
        column, rule, value = (str(case[name]) for name in ("column", "check", "failure_case"))
        if rule in ("column_in_dataframe", "column_in_schema"):
            told.setdefault(value, f"column {value} {PROBLEMS[rule]}")
            continue
        row = "" if pd.isna(case["index"]) else f" ({_name(table.loc[table.index == case['index']].iloc[0])})"
        if case["schema_context"] == "DataFrameSchema":
            told.setdefault(rule, f"{rule}{row}")
        else:
            told.setdefault(column, f"column {column} {PROBLEMS.get(rule, f'holds {value}, not {rule}')}{row}")
    return dict.fromkeys(told.values())


def _name(row: pd.Series[Any]) -> str:
    digest = row.get("sha256")
    return f"image {digest[:12]}" if isinstance(digest, str) else f"{row.get('source')}:{row.get('path')}"
