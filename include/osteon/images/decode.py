"""One decode of one image: its pixels as 8-bit grey, and whether its stream is whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from osteon.images.errors import UndecodableError
from osteon.images.grey import colour_of, to_grey
from osteon.images.streams.base import OVER_LIMIT as OVER_LIMIT
from osteon.images.streams.base import over_limit as over_limit
from osteon.images.streams.pillow import opened
from osteon.images.streams.read import other_pictures, reader_of

REDUCED, DETAILED = 256, 800
"""Pixels of the longer side of the two reductions that several measurements share."""


@dataclass(frozen=True)
class Decoded:
    """An image after its one decode."""

    grey: Image.Image
    """Mode `L`, 0 = black; upright as its EXIF orientation says. What is missing is 0."""
    mode: str
    """Pillow's mode before the conversion: `L`, `RGB`, `I;16`, ..."""
    truncated: bool
    """Whether the stream lacks anything: an area, or detail."""
    colour: float
    """Mean difference between the brightest and the darkest channel, in grey levels; 0 for a grey image."""
    missing: NDArray[np.bool_]
    """(height, width): the area that the stream does not give."""
    damage: str = ""
    """What the stream lacks in words, with place and share; empty for a whole one. See `osteon.images.streams.base`."""
    remarks: tuple[str, ...] = ()
    """Damage that touches no pixel."""

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
    """Decode an image once. A damaged stream is reported, and gives what could be decoded.

    Args:
        data: The file.
        max_pixels: Width times height from which on it is not decoded. It is looked at before.

    Returns:
        The first picture of the file.

    Raises:
        UndecodableError: Not an image, too large, several pictures, nothing that can be decoded, transparent,
            a mode that cannot become grey. The message says which, and names the format.
    """
    try:
        return _decoded(data, max_pixels)
    except UnidentifiedImageError:
        raise UndecodableError("damaged: its header makes no sense; fetch it again") from None
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:  # over damaged bytes, decoders raise whatever comes
        raise UndecodableError(f"damaged: {error}") from None


def _decoded(data: bytes, max_pixels: int) -> Decoded:
    reader, data, remarks = reader_of(data)
    orientation, more = _header(data, max_pixels)
    stream = reader(data, max_pixels)
    image = stream.image
    height, width = image.height, image.width
    grey, missing = to_grey(image, data, stream.missing), np.zeros((height, width), bool)
    if stream.missing is not None:
        missing = stream.missing
        grey = Image.fromarray(np.where(missing, np.uint8(0), np.asarray(grey)))
    colour = colour_of(image)
    if (orientation := orientation or _orientation(image)) != 1:
        grey, missing = _upright(np.asarray(grey), orientation), np.asarray(_upright(missing, orientation))
    return Decoded(
        grey, image.mode, bool(stream.damage), colour, missing, stream.damage, (*remarks, *more, *stream.remarks)
    )


def _header(data: bytes, max_pixels: int) -> tuple[int | None, tuple[str, ...]]:
    """The orientation, and a remark on previews; None where Pillow cannot open the file. Raises `UndecodableError`."""
    try:
        image = opened(data, max_pixels)
    except (OSError, SyntaxError, ValueError):  # the format's own reader says what is wrong
        return None, ()
    with image:
        orientation = _orientation(image)
        previews, others = other_pictures(image)
    if others:
        raise UndecodableError(f"{1 + previews + others} frames: several pictures in one file")
    return orientation, (f"{previews} further pictures are previews",) if previews else ()


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
