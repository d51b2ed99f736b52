"""How an image is scaled before a model sees it, and before it is shown as a thumbnail.

`osteon.features` keeps scaled images in the lake: raise its VERSION when `letterbox` gives other pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def letterbox(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale an image to fit a square, keep its aspect, and pad with black.

    Args:
        pixels: (height, width).
        side: Of the square, in pixels.

    Returns:
        (side, side).
    """
    square = np.zeros((side, side), np.uint8)
    top, left, height, width = placement(pixels.shape, side)
    small = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    square[top : top + height, left : left + width] = np.asarray(small)
    return square


def placement(shape: tuple[int, ...], side: int) -> tuple[int, int, int, int]:
    """Where `letterbox` puts an image of (height, width): `top, left, height, width` in the square."""
    scale = side / max(shape)
    height, width = (max(1, round(length * scale)) for length in shape)
    return (side - height) // 2, (side - width) // 2, height, width
