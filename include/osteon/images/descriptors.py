"""The basis that SIFT's descriptors are kept in: mirror images and negatives only change signs in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COEFFICIENTS = 48
"""Numbers that are kept of a descriptor's 128."""
SCALE = 32.0
"""By which a descriptor's coefficients are multiplied before they are rounded to 8 bits."""


def _cosines(size: int) -> NDArray[np.float64]:
    """Orthonormal discrete cosine transform: row k is even for even k, odd for odd k."""
    k, x = np.arange(size)[:, None], np.arange(size)[None]
    rows = np.cos(np.pi * (x + 0.5) * k / size)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _waves() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal real Fourier transform of 8 orientations, and -1 for each row that is odd, 1 for each even one."""
    turn = 2 * np.pi * np.arange(8) / 8
    rows = [np.ones(8)] + [wave(n * turn) for n in (1, 2, 3) for wave in (np.cos, np.sin)] + [np.cos(4 * turn)]
    matrix = np.array(rows)
    parity = np.array([1, 1, -1, 1, -1, 1, -1, 1], float)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True), parity


def _basis() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Matrix (128, 128) from a SIFT descriptor to coefficients, and the signs that these change by.

    The smoothest coefficients come first. Signs change where the picture is mirrored, and where it is a negative.

    SIFT's 4x4x8 histogram of a mirrored patch is the same with one spatial axis and the orientations reversed; that of
    a negative is turned by half, as its gradients point the other way. In this basis both change signs, and no more.
    """
    cosines, (waves, odd) = _cosines(4), _waves()
    matrix = np.einsum("ra,cb,od->rcoabd", cosines, cosines, waves).reshape(128, 128)
    row, column, wave = np.meshgrid(np.arange(4), np.arange(4), np.arange(8), indexing="ij")
    mirror, negative = (-1.0) ** row * odd[wave], (-1.0) ** (row + column)
    smoothness = row + column + 0.85 * np.array([0, 1, 1, 2, 2, 3, 3, 4])[wave]
    order = np.argsort(smoothness.ravel(), kind="stable")
    return (
        matrix[order].astype(np.float32),
        mirror.ravel()[order].astype(np.float32),
        negative.ravel()[order].astype(np.float32),
    )


BASIS, MIRROR, NEGATIVE = _basis()
MEAN = np.zeros(COEFFICIENTS, np.float32)
"""Of the coefficients, rounded, over films of two publishers. What is not 0 stays as it is in every view."""
MEAN[[0, 1, 5, 11, 13, 14, 20, 23, 30, 35, 39]] = (
    *(0.714, 0.142, 0.244, -0.088, -0.056, 0.048),
    *(-0.117, 0.034, 0.058, -0.053, -0.032),
)
VIEWS = {
    "as it is": np.ones(COEFFICIENTS, np.float32),
    "mirrored": MIRROR[:COEFFICIENTS],
    "negative": NEGATIVE[:COEFFICIENTS],
    "mirrored negative": (MIRROR * NEGATIVE)[:COEFFICIENTS],
}
"""Signs (COEFFICIENTS,) that turn the descriptors of a film into those of its mirror image and of its negative."""


def describe(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is kept of SIFT's descriptors (n, 128): coefficients (n, COEFFICIENTS), whole numbers from -127 to 127."""
    roots = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1))
    return np.asarray(np.clip(((roots @ BASIS[:COEFFICIENTS].T - MEAN) * SCALE).round(), -127, 127))
