"""Mend damaged images as new objects, and keep hopeless ones out with a reason. Raw bytes are never changed."""

from __future__ import annotations

import io

import pandas as pd
from PIL import Image

from osteon import catalog as catalogs
from osteon.curation.decisions import decisions
from osteon.curation.measurements import read_measurements
from osteon.curation.review import kept
from osteon.images.decode import decode
from osteon.lake import Lake, derived_key
from osteon.progress import parallel
from osteon.schemas import Inspected, Repaired
from osteon.settings import Settings

VERSION = 4
HOPELESS = 0.25
"""A damaged image of which less than this share of the area can be decoded is quarantined."""
BLANK_STD = 2.0
"""Grey levels; an image whose standard deviation is below shows nothing."""


def repair_image(data: bytes, max_pixels: int) -> bytes:
    """A lossless PNG of what can be decoded; the area that the stream lacks is zero."""
    buffer = io.BytesIO()
    Image.fromarray(decode(data, max_pixels).pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def quarantine_reason(row: pd.Series, min_side: int) -> str | None:
    """Why an image cannot be used, from its measurements; None when it can."""
    if isinstance(row["problem"], str):
        return str(row["problem"])
    if min(row["width"], row["height"]) < min_side:
        return f"{row['width']:.0f}x{row['height']:.0f} pixels, a side below {min_side}"
    if row["truncated"] and row["decoded_fraction"] < HOPELESS:
        return f"truncated: only {row['decoded_fraction']:.0%} of its area can be decoded"
    if row["std"] < BLANK_STD:
        return "blank: it shows nothing"
    return None


def repair(settings: Settings, lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Set `repaired_sha256`, `quarantined` and `reason`. Returns the key and counts (`repaired`, `quarantined`).

    What a curator wants used is not quarantined, as long as it can be decoded.
    """
    catalog = catalogs.read(lake, catalog_key, Inspected)
    wanted = kept(catalog, catalogs.read_publications(lake, catalog), decisions(lake))
    key = derived_key("repair", VERSION, catalog_key, settings.min_side, catalog.loc[wanted, "sha256"].tolist())
    if lake.exists(key):
        return key, _counts(lake.get_table(key, columns=["repaired_sha256", "quarantined"]))
    measured = (
        read_measurements(lake, settings.max_pixels).set_index("sha256").loc[catalog["sha256"].tolist()].reset_index()
    )
    rows = zip(wanted, measured.iterrows(), strict=True)
    reasons = [None if keep else quarantine_reason(row, settings.min_side) for keep, (_, row) in rows]
    catalog["reason"] = reasons
    catalog["quarantined"] = [reason is not None for reason in reasons]
    mendable = catalog.index[catalog["truncated"].fillna(False) & ~catalog["quarantined"]]
    digests = parallel(
        lambda digest: lake.put_image(repair_image(lake.get_image(digest), settings.max_pixels))[0],
        catalog.loc[mendable, "sha256"].tolist(),
        workers=settings.upload_workers,
        title="repair",
    )
    catalog["repaired_sha256"] = pd.Series(digests, index=mendable, dtype="string")
    catalogs.write(lake, key, catalog, Repaired)
    return key, _counts(catalog)


def _counts(catalog: pd.DataFrame) -> dict[str, int]:
    return {"repaired": int(catalog["repaired_sha256"].notna().sum()), "quarantined": int(catalog["quarantined"].sum())}
