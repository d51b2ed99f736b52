"""What the checks of all formats share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.images.errors import UndecodableError

OVER_LIMIT = "more than the limit of"
CUT, BROKEN = "cut off", "broken stream"
"""How the text begins of a stream that ends early, and of one that is damaged before its end."""


@dataclass(frozen=True)
class Stream:
    """What a stream gives, as it is stored: not yet turned upright, not yet grey."""

    image: Image.Image
    """Loaded. Pixels in `missing` have any value."""
    missing: NDArray[np.bool_] | None = None
    """(height, width): pixels that the stream lacks; None where it lacks none."""
    damage: str = ""
    """What is lost, and where; empty where the pixels are whole. It begins with CUT or BROKEN."""
    remarks: tuple[str, ...] = ()
    """Damage that touches no pixel."""


def over_limit(max_pixels: int) -> str:
    """How the reason ends for an image that only the limit keeps out."""
    return f"{OVER_LIMIT} {max_pixels} (OSTEON_MAX_PIXELS)"


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise `UndecodableError` over more pixels than the limit."""
    if width * height > max_pixels:
        raise UndecodableError(f"{width}x{height} pixels, {over_limit(max_pixels)}")


def lost(kind: str, missing: NDArray[np.bool_]) -> str:
    """Words for an area that is lost: its share, and its first row.

    Args:
        kind: CUT or BROKEN.
        missing: (height, width), with at least one pixel that is lost.
    """
    rows = np.flatnonzero(missing.any(axis=1))
    share = missing.mean()
    words = f"{share:.0%}" if share >= 0.01 else "less than 1 %"
    return f"{kind}: {words.replace('%', ' %').replace('  ', ' ')} of the area is lost from row {rows[0]} on"
