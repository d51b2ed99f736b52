"""Pillow as a decoder: of the formats that are meant only, and over a cut stream as far as it comes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import CUT, Stream, check_size, lost

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "AVIF", "PPM")
"""The plugins of Pillow that are ever tried. JPEG opens MPO as well."""
TRUNCATED = "image file is truncated"
"""How Pillow's strict decoder begins its message about a stream that ends too early."""


def opened(data: bytes, max_pixels: int, *formats: str) -> Image.Image:
    """The image, its pixels not yet decoded. Raises `UndecodableError` over more than `max_pixels`."""
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit is the process's; the size is checked before decoding
    image = Image.open(io.BytesIO(data), formats=formats or FORMATS)
    check_size(*image.size, max_pixels)
    return image


def loaded(data: bytes, max_pixels: int, *formats: str) -> Stream:
    """Decode what Pillow can. Of a cut stream, the rows behind the last that holds anything are missing.

    Raises:
        UndecodableError: Pillow cannot decode it.
    """
    image = opened(data, max_pixels, *formats)
    try:
        image.load()
    except OSError as error:
        if not str(error).startswith(TRUNCATED):
            raise UndecodableError(f"damaged: {error}") from None
        # keeps the rows decoded so far, of the buffer, and decodes nothing anew
        image.tile = []  # type: ignore[attr-defined]
        missing = np.zeros((image.height, image.width), bool)
        values = np.asarray(image if image.mode != "P" else image.convert("RGB"))
        rows = np.flatnonzero(values.reshape(image.height, -1).any(axis=1))
        missing[rows[-1] + 1 if len(rows) else 0 :] = True
        if not missing.any():
            return Stream(image, None, f"{CUT}: the last row is damaged")
        return Stream(image, missing, lost(CUT, missing))
    return Stream(image)
