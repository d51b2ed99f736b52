"""Where the lake keeps measurements: a folder for each version of each family, to which any process only adds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from hashlib import sha256

import pandas as pd

from osteon.images.decode import OVER_LIMIT, over_limit
from osteon.images.families import Family, Kind
from osteon.images.measure import IMAGE, Measured, Request
from osteon.lake import Lake

BOUND = "(OSTEON_DECODE_"
"""What the reason holds of an image that took longer, or needed more, than a setting allows."""
OLD = "measurements/v5/"
"""Tables of all measurements together, as Osteon kept them before there were families. They stay, and are read."""
IN_OLD = {
    "image": 1,
    "bands": 1,
    "channels": 1,
    "exposures": 1,
    "levels": 1,
    "outline": 1,
    "thumbnail": 1,
    "writing": 1,
}
"""Families whose columns the old tables hold, and the version that measured them."""


def read_measurements(lake: Lake, max_pixels: int, families: Sequence[Family] = ()) -> pd.DataFrame:
    """Read what was measured, one row per image in the order of `sha256`.

    Args:
        lake: Where it lies.
        max_pixels: Limit that the image was decoded under. A measurement that another limit refused does not count.
        families: Families beside `IMAGE` whose columns are wanted.

    Returns:
        `sha256`, `problem`, the columns of `IMAGE`, and those of the other families as `Family.full_names` has them.
        A family that did not measure an image leaves its columns empty.
    """
    old = lake.get_all(list(lake.keys(OLD)))
    table = _valid(max_pixels, _rows(lake, IMAGE, old))
    for family in families:
        more = _rows(lake, family, old).drop(columns="problem").rename(columns=family.full_names)
        table = table.merge(more, on="sha256", how="left", validate="one_to_one")
    return table


def requests(
    lake: Lake,
    max_pixels: int,
    digests: Iterable[str],
    families: Sequence[Family],
    fingerprinted: set[str],
    bounds: tuple[str, ...] = (),
) -> list[Request]:
    """What each of some images lacks, in the order of their digests; none of one that lacks nothing.

    Args:
        lake: Where measurements lie.
        max_pixels: See `read_measurements`.
        digests: The images.
        families: Families beside `IMAGE` that each is to have.
        fingerprinted: Images that need no fingerprint.
        bounds: Reasons of today for images that took too long or needed too much. One of other bounds is tried again.
    """
    old = lake.get_all(list(lake.keys(OLD)))
    rows = _rows(lake, IMAGE, old)
    outdated = rows["problem"].fillna("").str.contains(BOUND, regex=False) & ~rows["problem"].isin(bounds)
    known = _valid(max_pixels, rows[~outdated])
    quarantine_reason, decoded = set(known.loc[known["problem"].notna(), "sha256"]), set(known["sha256"])
    having = {family.name: set(_rows(lake, family, old)["sha256"]) for family in families}
    found = []
    for digest in sorted(set(digests) - quarantine_reason):
        lacking = [family for family in families if digest not in having[family.name]]
        lacking = lacking if digest in decoded else [IMAGE, *lacking]
        request = Request(digest, tuple(lacking), digest not in fingerprinted)
        if request.families or request.fingerprint:
            found.append(request)
    return found


def keep(lake: Lake, measured: Sequence[Measured], families: Sequence[Family]) -> None:
    """Add measurements to the lake, one object for each family. Adding the same again does nothing.

    Args:
        lake: Where they are to lie.
        measured: Of each image once.
        families: Those beside `IMAGE` that measured it.
    """
    quarantine_reason = [one for one in measured if one.problem is not None]
    bad: list[dict[str, object]] = [{"sha256": one.sha256, "problem": one.problem} for one in quarantine_reason]
    for family in (IMAGE, *families):
        by = [one for one in measured if family.name in one.values]
        rows: list[dict[str, object]] = [{"sha256": one.sha256, **one.values[family.name]} for one in by]
        rows += bad if family is IMAGE else []
        if rows:
            _write(lake, family, rows)


def _write(lake: Lake, family: Family, rows: list[dict[str, object]]) -> None:
    table = _typed(pd.DataFrame(rows), _kinds(family)).sort_values("sha256")
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    data = buffer.getvalue()
    lake.put_missing(f"{family.folder}{sha256(data).hexdigest()[:20]}.parquet", data)


def _rows(lake: Lake, family: Family, old: list[bytes]) -> pd.DataFrame:
    """All rows of a family: one per image, of `IMAGE` one per image and limit. Of families, only what was decoded."""
    kinds = _kinds(family)
    tables = [pd.read_parquet(io.BytesIO(data)) for data in lake.get_all(list(lake.keys(family.folder)))]
    if IN_OLD.get(family.name) == family.version:
        wanted = ["sha256", "problem", *family.columns]
        tables += [pd.read_parquet(io.BytesIO(data), columns=wanted) for data in old]
    full = [_typed(table, kinds) for table in tables if len(table)]
    rows = pd.concat(full, ignore_index=True) if full else _typed(pd.DataFrame(), kinds)
    if family is IMAGE:
        return rows
    rows = rows[rows["problem"].isna()].sort_values("sha256", kind="stable")
    return rows.drop_duplicates("sha256", ignore_index=True)


def _kinds(family: Family) -> dict[str, Kind]:
    return {"sha256": "string", "problem": "string", **family.columns}


def _typed(table: pd.DataFrame, kinds: dict[str, Kind]) -> pd.DataFrame:
    full = table.reindex(columns=list(kinds))
    return full.astype({name: "object" if kind == "bytes" else kind for name, kind in kinds.items()})


def _valid(max_pixels: int, known: pd.DataFrame) -> pd.DataFrame:
    """Of each image the measurement that holds under this limit.

    An image that another limit refused, or let pass, has none: it is then measured again.
    """
    problem = known["problem"].fillna("")
    refused = problem.str.contains(OVER_LIMIT, regex=False) & ~problem.str.endswith(over_limit(max_pixels))
    large = (known["width"].astype("Float64") * known["height"].astype("Float64") > max_pixels).fillna(False)
    valid = known[~refused & ~large].assign(bad=known["problem"].notna()).sort_values(["sha256", "bad"], kind="stable")
    valid = valid.drop(columns="bad")
    return valid.drop_duplicates("sha256", ignore_index=True)
