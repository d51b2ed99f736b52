"""Facts that must never be lost: appended as objects of their own, and merged when they are read.

An object lies under `history/<kind>/<id>.parquet`; its id is the hash of its content. No key holds a version of the
code, nothing is rewritten, and the order of objects does not matter. So no upgrade, kill or second run loses a fact.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon.errors import HistoryError
from osteon.lake import Lake

FOLDER = "history"


@dataclass(frozen=True)
class Kind:
    """What one kind of fact looks like, and which row wins where several are about the same thing."""

    name: str
    columns: Mapping[str, pa.DataType]
    key: tuple[str, ...]
    """What a row is about; one row of each stays. None of these is null, unless `nullable`."""
    highest: tuple[str, ...] = ()
    """Columns of which the highest value wins, the first column first."""
    order: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ranks of a column's words, the winner first; words that are not listed come last."""
    nullable: bool = False


NAMES = Kind(
    "names",
    dict.fromkeys(("sha256", "source", "path", "patient", "study"), pa.string()),
    key=("sha256", "source", "path", "patient", "study"),
    nullable=True,
)
"""Under which names images were ever published; `patient` and `study` are pseudonyms. An image without `source` and
`path` was seen before there was a history."""
PLACEMENTS = Kind(
    "placements",
    {"sha256": pa.string(), "split": pa.string()},
    key=("sha256",),
    order={"split": ("test", "val", "train")},
)
COPY, POSSIBLE, DIFFERENT = "copy", "possible", "different"
COPIES = Kind(
    "copies",
    {
        "first": pa.string(),
        "second": pa.string(),
        "verdict": pa.string(),
        "method": pa.string(),
        "score": pa.float64(),
        "inliers": pa.int64(),
        "covers_first": pa.float64(),
        "covers_second": pa.float64(),
        "region_first": pa.list_(pa.float64()),
        "region_second": pa.list_(pa.float64()),
    },
    key=("first", "second"),
    highest=("score",),
    order={"verdict": (COPY, POSSIBLE, DIFFERENT)},
)
"""Pairs of images that were compared, `first` < `second`. `covers_*` is the share of each image's area, 0 to 1, that
both show. `region_*` says where: x0, y0, x1, y1 from 0 to 1, null for the whole image."""
FINGERPRINTS = Kind(
    "fingerprints",
    {"sha256": pa.string(), "format": pa.int64(), "data": pa.binary()},
    key=("sha256",),
    highest=("format",),
)
KINDS = (NAMES, PLACEMENTS, COPIES, FINGERPRINTS)


def append(lake: Lake, kind: Kind, rows: pd.DataFrame) -> str | None:
    """Add facts. Returns the object's key, the same for the same facts in any order; None for no facts.

    Columns that are left out are null. Raises `HistoryError` for a column or a row that the kind cannot hold.
    """
    table = merge(kind, [conform(kind, rows)])
    if table.empty:
        return None
    buffer = io.BytesIO()
    schema = pa.schema(list(kind.columns.items()))
    written = pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(written, buffer, compression="zstd")
    data = buffer.getvalue()
    key = f"{FOLDER}/{kind.name}/{hashlib.sha256(data).hexdigest()[:20]}.parquet"
    lake.put_missing(key, data)
    return key


def read(lake: Lake, kind: Kind, columns: list[str] | None = None) -> pd.DataFrame:
    """All facts of a kind, merged, in one order; with all columns, or some beside those that decide the merge.

    A column that only a newer version knows is ignored; one that an older version did not write is null.
    """
    deciding = {*kind.key, *kind.highest, *kind.order}
    wanted = {name: kind.columns[name] for name in kind.columns if columns is None or name in {*columns, *deciding}}
    tables = [_known(data, wanted) for data in lake.get_all(list(lake.keys(f"{FOLDER}/{kind.name}/")))]
    if not tables:
        return conform(kind, pd.DataFrame())[list(wanted)]
    return merge(kind, [_typed(pa.concat_tables(tables).to_pandas(), wanted)])


def conform(kind: Kind, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with exactly the kind's columns and types. Raises `HistoryError` where that cannot be."""
    if unknown := sorted(set(rows.columns) - set(kind.columns)):
        raise HistoryError(f"{kind.name} have no column {', '.join(unknown)}: they have {', '.join(kind.columns)}")
    full = _typed(rows.reindex(columns=list(kind.columns)), kind.columns)
    required = kind.key[:1] if kind.nullable else kind.key
    if full[list(required)].isna().any(axis=None):
        raise HistoryError(f"a row of {kind.name} has no {' or '.join(required)}: give it one")
    if kind is COPIES and (wrong := full[~(full["first"] < full["second"])]).shape[0]:
        first, second = wrong.iloc[0][["first", "second"]]
        raise HistoryError(f"the pair {first}, {second} is not in order: the smaller digest comes first")
    return full


def merge(kind: Kind, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One row for each key, in the order of keys: the same for any order and repetition of the rows."""
    rows = pd.concat(tables, ignore_index=True) if len(tables) > 1 else tables[0]
    ranks = pd.DataFrame(index=rows.index)
    for name in kind.key:
        ranks[name] = rows[name]
    for name, words in kind.order.items():
        ranks[name] = rows[name].map({word: rank for rank, word in enumerate(words)}).fillna(len(words)).astype(int)
    for name in kind.highest:
        ranks[name] = -rows[name].astype("Float64")
    for name in rows.columns.difference(ranks.columns, sort=False):  # what is left decides where all else is equal
        lists = pa.types.is_list(kind.columns[name])
        ranks[name] = rows[name].map(repr) if lists else rows[name]
    first = ranks.sort_values(list(ranks.columns), kind="stable").drop_duplicates(list(kind.key)).index
    return rows.loc[first].reset_index(drop=True)


def digests_ever_seen(lake: Lake) -> pd.Index:
    """SHA-256 of every image that was ever named, placed or compared, in order."""
    names, placed = read(lake, NAMES, ["sha256"]), read(lake, PLACEMENTS)
    return digests_in(names, placed, read(lake, COPIES, ["verdict"]))


def digests_in(names: pd.DataFrame, placements: pd.DataFrame, copies: pd.DataFrame) -> pd.Index:
    """SHA-256 of every image in facts that are read already, in order."""
    columns = [names["sha256"], placements["sha256"], copies["first"], copies["second"]]
    digests: pd.Index = pd.Index(sorted(set(pd.concat(columns, ignore_index=True))), dtype="string")
    return digests


def _known(data: bytes, wanted: Mapping[str, pa.DataType]) -> pa.Table:
    file = pq.ParquetFile(io.BytesIO(data))
    held = file.read(columns=[name for name in wanted if name in file.schema_arrow.names])
    columns = [
        held.column(name).cast(kind) if name in held.column_names else pa.nulls(held.num_rows, kind)
        for name, kind in wanted.items()
    ]
    return pa.table(columns, schema=pa.schema(list(wanted.items())))


def _typed(frame: pd.DataFrame, columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Pandas' own types that know null; lists are tuples."""
    result = {}
    for name, kind in columns.items():
        values = frame[name]
        if pa.types.is_list(kind):
            values = values.astype(object)
            result[name] = pd.Series([tuple(map(float, x)) if x is not None and pd.api.types.is_list_like(x) else None
                                      for x in values], index=frame.index, dtype=object)  # fmt: skip
        elif pa.types.is_binary(kind):
            result[name] = values.astype(object).where(values.notna(), None)
        else:
            dtype: Any = "string" if pa.types.is_string(kind) else "Int64" if pa.types.is_integer(kind) else "Float64"
            result[name] = values.astype(dtype)
    return pd.DataFrame(result, index=frame.index)
