"""One decode of one image: its pixels as 8-bit grey, and whether its stream is whole."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

COLOUR_SAMPLES = (48, 48)
"""Pixels, evenly spread, that colour is measured on."""
OVER_LIMIT = "more than the limit of"
TRUNCATED = "image file is truncated"
"""How Pillow's strict decoder begins its message about a stream that ends too early."""


class UndecodableError(Exception):
    """The bytes give no usable image. The message is the reason that the catalog records."""


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

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """The same as an array (height, width)."""
        return np.asarray(self.grey)

    @property
    def decoded_rows(self) -> int:
        """Rows from the top down to the last one that holds anything but zero."""
        rows = np.flatnonzero(self.pixels.any(axis=1))
        return int(rows[-1]) + 1 if len(rows) else 0


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode an image once. A truncated stream is reported, and gives the rows that could be decoded.

    The size is checked before anything is decoded. Raises `UndecodableError`: not an image, more than `max_pixels`
    pixels, several frames, a damaged stream.
    """
    try:
        Image.MAX_IMAGE_PIXELS = (
            None  # Pillow's own limit is the process's; max_pixels is checked below, before decoding
        )
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise UndecodableError("not an image") from None
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise UndecodableError(f"damaged header: {error}") from None
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise UndecodableError(f"{width}x{height} pixels, {over_limit(max_pixels)}")
        if getattr(image, "n_frames", 1) > 1:
            raise UndecodableError(f"{image.n_frames} frames: several pictures in one file")  # type: ignore[attr-defined]
        mode, truncated = image.mode, False
        try:
            image.load()
        except (OSError, SyntaxError, ValueError, struct.error, EOFError) as error:
            if not str(error).startswith(TRUNCATED):
                raise UndecodableError(f"damaged: {error}") from None
            truncated = True
            image.tile = []  # keeps the rows decoded so far, of the buffer, and decodes nothing anew
        upright = ImageOps.exif_transpose(image) if image.getexif() else image
        return Decoded(_to_grey(upright), mode, truncated, _colour(upright))


def over_limit(max_pixels: int) -> str:
    """How the reason ends for an image that only the limit keeps out."""
    return f"{OVER_LIMIT} {max_pixels} (OSTEON_MAX_PIXELS)"


def _colour(image: Image.Image) -> float:
    if image.mode in {"1", "L", "LA", "La"} or image.mode.startswith(("I", "F")):
        return 0.0
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(rgb.resize(COLOUR_SAMPLES, Image.Resampling.NEAREST)), 2, 0)
    highest, lowest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return float((highest - lowest).mean())


def _to_grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16- and 32-bit radiographs: stretch what is there to 8 bits
        values = np.asarray(image, dtype=np.float32)
        low, high = float(values.min()), float(values.max())
        scale = 255.0 / (high - low) if high > low else 0.0
        return Image.fromarray(((values - low) * scale).round().astype(np.uint8))
    if image.mode in {"P", "PA", "LA", "La", "RGBA", "RGBa"}:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return image if image.mode == "L" else image.convert("L")
