"""Whether a picture is a radiograph or its negative, told from shapes: it needs no air beside the body.

The answer comes from a small convolutional network without biases, with tanh as activation. Such a network is odd: the
negative of a picture gets the same number with the other sign. So what it says of a radiograph and of its negative
never differs but in the sign. `bench/polarity.py` trains it and measures how often it is right, also on altered films
and on body parts that it did not see.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CANVAS, AREA = 96, 64 * 64
"""Side of the square that the network sees, and pixels that a picture fills of it: more only where it is long."""
MIN_SIDE = 8
FLAT = 2
"""Grey levels that a row or a column of padding spans at most."""
CLIPPED = 3.0
"""Standard deviations from the mean beyond which a grey level counts no more."""
FILE = Path(__file__).with_name("polarity.npz")
"""Kernels (rows, columns, planes in, planes out) of the convolutions, each of stride 2, then weights (planes, 1)."""


def brightness_of_bones(pixels: NDArray[np.uint8]) -> float:
    """Log odds that bones are bright; below 0 the picture looks like a negative.

    Args:
        pixels: (height, width). Flat rows and columns do not count: they are padding.
    """
    return log_odds(network_input(pixels))


def log_odds(seen: NDArray[np.floating]) -> float:
    """The same of what `network_input` gives."""
    *kernels, weights = _weights()
    planes = seen.astype(np.float32)[:, :, None]
    for kernel in kernels:
        planes = np.tanh(_convolved(planes, kernel))
    return float(planes.mean(axis=(0, 1)) @ weights[:, 0])


def network_input(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture (height, width) as the network sees it: (CANVAS, CANVAS), of mean 0 and deviation 1, 0 around it."""
    picture = _without_padding(pixels)
    height, width = picture.shape
    scale = min(CANVAS / max(height, width), (AREA / (height * width)) ** 0.5)
    rows, columns = (min(CANVAS, max(MIN_SIDE, round(length * scale))) for length in (height, width))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(picture, (columns, rows), interpolation=way), np.float32)
    small = (small - small.mean()) / (small.std() + 1e-3)
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    top, left = (CANVAS - rows) // 2, (CANVAS - columns) // 2
    canvas[top : top + rows, left : left + columns] = np.clip(small, -CLIPPED, CLIPPED)
    return canvas


def _without_padding(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = pixels
    for axis in (1, 0, 1):  # rows once more: beside a bright frame no row was flat
        kept = np.ptp(picture, axis=axis) > FLAT
        if not kept.any():
            return pixels
        picture = picture[kept] if axis == 1 else picture[:, kept]
    return picture


def _convolved(planes: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Planes (side, side, planes in) under a kernel, with stride 2 and the padding that Keras calls `same`."""
    size, side = kernel.shape[0], planes.shape[0]
    padding = max((-(-side // 2) - 1) * 2 + size - side, 0)
    before, after = padding // 2, padding - padding // 2
    padded = np.pad(planes, ((before, after), (before, after), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(0, 1))[::2, ::2]
    return np.tensordot(windows, kernel.transpose(2, 0, 1, 3), axes=3)


@cache
def _weights() -> list[NDArray[np.float32]]:
    with np.load(FILE) as kept:
        return [kept[name].astype(np.float32) for name in kept.files]
