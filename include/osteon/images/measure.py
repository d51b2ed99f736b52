"""What is measured in the one decode of an image: by every family that lacks it, and the fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.errors import ExtensionError
from osteon.images.decode import Decoded, decode
from osteon.images.errors import UndecodableError
from osteon.images.families import Family
from osteon.images.fingerprint import fingerprint

THUMB = 64
"""Side in pixels of the thumbnail that hashes and doubts about labels are made on."""
COARSE = 16
"""Side in pixels of the thumbnail that is looked at where a glance will do."""
PADDED = 2
"""Grey levels that a line of padding spans at most; the quietest air is louder."""


def _measure_image(image: Decoded) -> dict[str, object]:
    width, height = image.grey.size
    counts, levels = image.histogram, np.arange(256)
    mean = float(counts @ levels / counts.sum())
    return {
        "width": width,
        "height": height,
        "mode": image.mode,
        "truncated": image.truncated,
        "decoded_fraction": 1.0 - float(image.missing.mean()),
        "mean": mean,
        "std": float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum())),
        "blank_fraction": float(1 - (image.row_spans > PADDED).mean() * (image.column_spans > PADDED).mean()),
        "dhash": f"{hash_thumbnails(thumbnail(image.grey)[None])[0]:016x}",
    }


IMAGE = Family(
    "image",
    version=2,
    columns={
        "width": "Int64",
        "height": "Int64",
        "mode": "string",
        "truncated": "boolean",
        "decoded_fraction": "Float64",
        "mean": "Float64",
        "std": "Float64",
        "blank_fraction": "Float64",
        "dhash": "string",
    },
    measure=_measure_image,
)
"""What every image has, whatever checks there are. Tables have these columns without the family's name before them.

`width` and `height` are in pixels, `mean` and `std` in grey levels, `mode` is Pillow's. `decoded_fraction` is the share
of the area that the stream gave, 0 to 1. `blank_fraction` is the share of the area that lies in flat rows or columns,
0 to 1. `dhash` is a 64-bit difference hash in 16 hex digits (N. Krawetz, "Kind of like that", 2013)."""


@dataclass(frozen=True)
class Request:
    """What is wanted of one image."""

    sha256: str
    families: tuple[Family, ...]
    fingerprint: bool


@dataclass(frozen=True)
class Measured:
    """What was measured of one image."""

    sha256: str
    problem: str | None = None
    """Why it cannot be decoded; then nothing else is measured."""
    values: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By name of a family its columns and their values."""
    fingerprint: bytes | None = None
    """By what copies are found, see `osteon.images.fingerprint`. It is kept in the history, not with measurements."""


def measure(request: Request, data: bytes, max_pixels: int) -> Measured:
    """Decode an image once and measure what is wanted of it.

    Args:
        request: The image, and what is wanted of it.
        data: Bytes of its file.
        max_pixels: Width times height from which on it is not decoded.

    Raises:
        ExtensionError: A family fails, or gives other columns than it declares. The message names both.
        MemoryError: It needs more memory than there is.
    """
    try:
        image = decode(data, max_pixels)
    except UndecodableError as error:
        return Measured(request.sha256, problem=str(error))
    values = {family.name: _values(family, image, request.sha256) for family in request.families}
    wanted = fingerprint(image.pixels, image.missing if image.truncated else None) if request.fingerprint else None
    return Measured(request.sha256, values=values, fingerprint=wanted)


def _values(family: Family, image: Decoded, sha256: str) -> Mapping[str, object]:
    who = f"measurement `{family.name}` of {family.measure.__module__}"
    try:
        values = family.measure(image)
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise ExtensionError(
            f"{who} fails on image {sha256} with {type(error).__name__}: {error}. Correct it, or uninstall its package"
        ) from error
    if set(values) != set(family.columns):
        raise ExtensionError(f"{who} gives {', '.join(values)} instead of its columns {', '.join(family.columns)}")
    return values


def thumbnail(grey: Image.Image) -> NDArray[np.uint8]:
    """The image squeezed to (THUMB, THUMB) by area averaging."""
    return np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX))


def coarse_thumbnails(thumbs: NDArray[np.number]) -> NDArray[np.float32]:
    """Thumbnails (n, THUMB, THUMB) averaged to (n, COARSE, COARSE)."""
    cell = THUMB // COARSE
    return np.asarray(thumbs.reshape(len(thumbs), COARSE, cell, COARSE, cell).mean(axis=(2, 4), dtype=np.float32))


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
