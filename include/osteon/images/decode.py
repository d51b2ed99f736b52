"""One decode of one image: its pixels as 8-bit grey, and whether its stream is whole."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from osteon.images.errors import UndecodableError
from osteon.images.grey import colour_of, to_grey

REDUCED, DETAILED = 256, 800
"""Pixels of the longer side of the two reductions that several measurements share."""
OVER_LIMIT = "more than the limit of"
TRUNCATED = "image file is truncated"
"""How Pillow's strict decoder begins its message about a stream that ends too early."""


@dataclass(frozen=True)
class Decoded:
    """An image after its one decode."""

    grey: Image.Image
    """Mode `L`, 0 = black; upright as its EXIF orientation says. Rows never decoded are 0."""
    mode: str
    """Pillow's mode before the conversion: `L`, `RGB`, `I;16`, ..."""
    truncated: bool
    colour: float
    """Mean difference between the brightest and the darkest channel, in grey levels; 0 for a grey image."""
    missing: NDArray[np.bool_]
    """(height, width): what a truncated stream lacks. Of its rows, as they are stored, those after the last that holds
    anything but zero."""

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The same as an array (height, width)."""
        return np.asarray(self.grey)

    @cached_property
    def detailed(self) -> NDArray[np.uint8]:
        """Pixels (height, width) after area averaging to at most DETAILED pixels a side."""
        return np.asarray(self._detailed_image)

    @cached_property
    def reduced(self) -> NDArray[np.uint8]:
        """Pixels (height, width) after area averaging to at most REDUCED pixels a side."""
        return np.asarray(_reduce(self._detailed_image, REDUCED))

    @cached_property
    def row_spans(self) -> NDArray[np.uint8]:
        """(height of `reduced`,): grey levels between the darkest and the brightest pixel of each row."""
        return np.asarray(np.ptp(self.reduced, axis=1))

    @cached_property
    def column_spans(self) -> NDArray[np.uint8]:
        """(width of `reduced`,): the same for each column."""
        return np.asarray(np.ptp(self.reduced, axis=0))

    @cached_property
    def histogram(self) -> NDArray[np.int64]:
        """(256,): pixels of `reduced` by grey level."""
        return np.bincount(self.reduced.ravel(), minlength=256)

    @cached_property
    def _detailed_image(self) -> Image.Image:
        return _reduce(self.grey, DETAILED)


def _reduce(image: Image.Image, side: int) -> Image.Image:
    factor = -(-max(image.size) // side)
    return image.reduce(factor) if factor > 1 else image


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode an image once. A truncated stream is reported, and gives the rows that could be decoded.

    The size is checked before anything is decoded. Raises `UndecodableError`: not an image, more than `max_pixels`
    pixels, several frames, a damaged stream, a mode that cannot become grey.
    """
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is the process's; max_pixels is checked before decoding
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _decoded(image, data, max_pixels)
    except UnidentifiedImageError:
        raise UndecodableError("not an image") from None
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:  # over damaged bytes, Pillow's decoders raise whatever comes
        raise UndecodableError(f"damaged: {error}") from None


def _decoded(image: Image.Image, data: bytes, max_pixels: int) -> Decoded:
    width, height = image.size
    if width * height > max_pixels:
        raise UndecodableError(f"{width}x{height} pixels, {over_limit(max_pixels)}")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise UndecodableError(f"{frames} frames: several pictures in one file")
    mode, truncated = image.mode, False
    try:
        image.load()
    except OSError as error:
        if not str(error).startswith(TRUNCATED):
            raise
        truncated = True
        # keeps the rows decoded so far, of the buffer, and decodes nothing anew
        image.tile = []  # type: ignore[attr-defined]
    grey, missing = to_grey(image, data), np.zeros((height, width), bool)
    if truncated:
        rows = np.flatnonzero(np.asarray(grey).any(axis=1))
        missing[rows[-1] + 1 if len(rows) else 0 :] = True
    colour = colour_of(image)
    if (orientation := _orientation(image)) != 1:
        grey, missing = _upright(np.asarray(grey), orientation), np.asarray(_upright(missing, orientation))
    return Decoded(grey, mode, truncated, colour, missing)


def _orientation(image: Image.Image) -> int:
    """EXIF's number (CIPA DC-008); 1 is upright."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF says nothing of pixels that are whole
        return 1


def _upright(pixels: NDArray[np.generic], orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return ImageOps.exif_transpose(image)


def over_limit(max_pixels: int) -> str:
    """How the reason ends for an image that only the limit keeps out."""
    return f"{OVER_LIMIT} {max_pixels} (OSTEON_MAX_PIXELS)"
