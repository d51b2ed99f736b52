"""What is measured in the one decode of an image, kept so that no image is ever decoded for it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from osteon import catalog as catalogs
from osteon.images.decode import OVER_LIMIT, UndecodableError, decode, over_limit
from osteon.images.sanity import examine
from osteon.lake import Lake, derived_key
from osteon.progress import parallel
from osteon.settings import Settings

VERSION = 2
MEASUREMENTS = f"measurements/v{VERSION}.parquet"
THUMB = 64
"""Side in pixels of the thumbnail that near-duplicates are verified on."""
FLAT = 2
"""Grey levels; a row or column whose values span no more than this is flat."""


@dataclass(frozen=True)
class Measurement:
    """One image's measurements. Everything but `sha256` and `problem` is None where it could not be decoded."""

    sha256: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    truncated: bool | None = None
    decoded_fraction: float | None = None
    """Share of the rows that the stream gave, 0 to 1."""
    blank_fraction: float | None = None
    """Share of the area that lies in flat rows or columns, 0 to 1."""
    mean: float | None = None
    std: float | None = None
    colour: float | None = None
    """Mean spread of the channels, in grey levels."""
    dark_band: float | None = None
    bright_band: float | None = None
    band_where: str | None = None
    contrast: float | None = None
    median: float | None = None
    gutter: float | None = None
    """These six as `osteon.images.sanity.Sanity` has them."""
    dhash: str | None = None
    """64-bit difference hash, 16 hex digits (N. Krawetz, "Kind of like that", 2013)."""
    thumb: bytes | None = None
    """THUMB x THUMB grey levels, row by row."""
    problem: str | None = None


def measure(sha256: str, data: bytes, max_pixels: int) -> Measurement:
    """Decode once and measure."""
    try:
        image = decode(data, max_pixels)
    except UndecodableError as error:
        return Measurement(sha256, problem=str(error))
    pixels = image.pixels
    height, width = pixels.shape
    flat_rows = np.ptp(pixels, axis=1) <= FLAT
    flat_columns = np.ptp(pixels, axis=0) <= FLAT
    small = thumbnail(pixels)
    return Measurement(
        sha256,
        width=width,
        height=height,
        mode=image.mode,
        truncated=image.truncated,
        decoded_fraction=image.decoded_rows / height if image.truncated else 1.0,
        blank_fraction=float(1 - (1 - flat_rows.mean()) * (1 - flat_columns.mean())),
        mean=float(pixels.mean()),
        std=float(pixels.std()),
        colour=image.colour,
        **asdict(examine(pixels)),
        dhash=f"{hash_thumbnails(small[None])[0]:016x}",
        thumb=small.tobytes(),
    )


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image squeezed to (THUMB, THUMB) by area averaging."""
    return np.asarray(Image.fromarray(pixels).resize((THUMB, THUMB), Image.Resampling.BOX))


def hash_thumbnails(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64-bit difference hashes of thumbnails (n, THUMB, THUMB): is each of 8x8 cells darker than its right neighbour.

    Invariant to size and exposure. Cells are area averages.
    """
    cells = _averaging(8) @ thumbs.astype(np.float32) @ _averaging(9).T
    bits = cells[:, :, :-1] + 0.5 < cells[:, :, 1:]  # half a grey level: flat areas do not flicker
    packed = np.packbits(bits.reshape(len(thumbs), 64), axis=1)
    return packed.view(">u8").astype(np.uint64).reshape(len(thumbs))


def _averaging(cells: int) -> NDArray[np.float32]:
    """Matrix (cells, THUMB) that averages THUMB samples over equal intervals."""
    edges = np.linspace(0, THUMB, cells + 1)
    pixel = np.arange(THUMB)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(0) / (THUMB / cells)).astype(np.float32)


def read_measurements(lake: Lake) -> pd.DataFrame:
    """All measurements so far, one row per image ever inspected."""
    if not lake.exists(MEASUREMENTS):
        return pd.DataFrame({name: pd.Series(dtype="object") for name in Measurement.__dataclass_fields__})
    return lake.get_table(MEASUREMENTS)


def inspect(settings: Settings, lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Fill the catalog's measured columns. Returns its key and counts (`images`, `decoded`, `truncated`).

    Only images without a measurement are fetched and decoded.
    """
    limits = [settings.max_pixels]
    key = derived_key("inspect", VERSION, catalog_key, limits)
    if lake.exists(key):
        done = lake.get_table(key, columns=["truncated"])
        return key, {"images": len(done), "decoded": 0, "truncated": int(done["truncated"].sum())}
    catalog = catalogs.read(lake, catalog_key)
    known = read_measurements(lake)
    problem = known["problem"].fillna("")
    refused = problem.str.contains(OVER_LIMIT, regex=False) & ~problem.str.endswith(over_limit(settings.max_pixels))
    large = (known["width"].astype("Float64") * known["height"].astype("Float64") > settings.max_pixels).fillna(False)
    known = known[~refused & ~large]  # what another limit refused, or let pass, is measured again
    fresh = sorted(set(catalog["sha256"]) - set(known["sha256"]))
    rows = parallel(
        lambda digest: asdict(measure(digest, lake.get_image(digest), settings.max_pixels)),
        fresh,
        workers=settings.upload_workers,
        title="inspect",
    )
    if fresh:
        known = pd.concat([known, pd.DataFrame(rows)], ignore_index=True) if len(known) else pd.DataFrame(rows)
        lake.put_table(MEASUREMENTS, known)
    measured = known.set_index("sha256").loc[catalog["sha256"].tolist()]
    for column in ("width", "height", "mode", "truncated", "blank_fraction", "mean", "std", "dhash"):
        catalog[column] = measured[column].to_numpy()
    catalog["reason"] = measured["problem"].to_numpy()
    catalogs.write(lake, key, catalog)
    return key, {
        "images": len(catalog),
        "decoded": len(fresh),
        "truncated": int((measured["truncated"] == True).sum()),  # noqa: E712 - the column holds None as well
    }
