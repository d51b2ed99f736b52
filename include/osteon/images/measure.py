"""What is measured in the one decode of an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from osteon.images.decode import UndecodableError, decode
from osteon.images.fingerprint import fingerprint
from osteon.images.sanity import examine

THUMB = 64
"""Side in pixels of the thumbnail that near-duplicates are verified on."""
COARSE = 16
"""Side in pixels of the thumbnail that is looked at where a glance will do."""


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
    colour: float | None = None
    """Mean spread of the channels, in grey levels."""
    mean: float | None = None
    std: float | None = None
    blank_fraction: float | None = None
    dark_band: float | None = None
    bright_band: float | None = None
    band_where: str | None = None
    contrast: float | None = None
    median: float | None = None
    gutter: float | None = None
    oval: float | None = None
    text: int | None = None
    """These as `osteon.images.sanity.Sanity` has them."""
    dhash: str | None = None
    """64-bit difference hash, 16 hex digits (N. Krawetz, "Kind of like that", 2013)."""
    thumb: bytes | None = None
    """THUMB x THUMB grey levels, row by row."""
    fingerprint: bytes | None = None
    """By what copies are found, see `osteon.images.fingerprint`. `inspect` keeps it in the history, not with these."""
    problem: str | None = None


def measure(sha256: str, data: bytes, max_pixels: int) -> Measurement:
    """Decode once and measure."""
    try:
        image = decode(data, max_pixels)
    except UndecodableError as error:
        return Measurement(sha256, problem=str(error))
    width, height = image.grey.size
    small = thumbnail(image.grey)
    return Measurement(
        sha256,
        width=width,
        height=height,
        mode=image.mode,
        truncated=image.truncated,
        decoded_fraction=1.0 - float(image.missing.mean()),
        colour=image.colour,
        **vars(examine(image.grey)),
        dhash=f"{hash_thumbnails(small[None])[0]:016x}",
        thumb=small.tobytes(),
        fingerprint=fingerprint(image.pixels, image.missing if image.truncated else None),
    )


def measure_batch(images: list[tuple[str, bytes]], max_pixels: int) -> list[Measurement]:
    """Measure several images, given by SHA-256 and bytes, on one thread: who wants more makes more processes."""
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        return [measure(digest, data, max_pixels) for digest, data in images]


def thumbnail(grey: Image.Image) -> NDArray[np.uint8]:
    """The image squeezed to (THUMB, THUMB) by area averaging."""
    return np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX))


def coarse_thumbnails(thumbs: NDArray[np.number]) -> NDArray[np.float32]:
    """Thumbnails (n, THUMB, THUMB) averaged to (n, COARSE, COARSE)."""
    cell = THUMB // COARSE
    return thumbs.reshape(len(thumbs), COARSE, cell, COARSE, cell).mean(axis=(2, 4), dtype=np.float32)


def hash_thumbnails(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64-bit difference hashes of thumbnails (n, THUMB, THUMB): is each of 8x8 cells darker than its right neighbour.

    Invariant to size and exposure. Cells are area averages.
    """
    cells = _averaging(8) @ thumbs.astype(np.float32) @ _averaging(9).T
    bits = cells[:, :, :-1] + 0.5 < cells[:, :, 1:]  # half a grey level: flat areas do not flicker
    packed = np.packbits(bits.reshape(len(thumbs), 64), axis=1)
    return packed.view(">u8").astype(np.uint64).reshape(len(thumbs))


@cache
def _averaging(cells: int) -> NDArray[np.float32]:
    """Matrix (cells, THUMB) that averages THUMB samples over equal intervals."""
    edges = np.linspace(0, THUMB, cells + 1)
    pixel = np.arange(THUMB)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(0) / (THUMB / cells)).astype(np.float32)
