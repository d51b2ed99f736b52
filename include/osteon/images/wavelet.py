"""Wavelet sub-bands of a letterboxed radiograph (discrete wavelet transform, S. Mallat 1989, by PyWavelets)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pywt
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class WaveletRecipe:
    """How an image becomes the model's input. Equal recipes give equal features; a model carries its own."""

    side: int = 128
    """Pixels of the square that the image is letterboxed into."""
    wavelet: str = "haar"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, bands) of the features."""
        coefficients = pywt.dwt_coeff_len(self.side, pywt.Wavelet(self.wavelet).dec_len, "periodization")
        return coefficients, coefficients, 4

    def transform(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey levels (height, width) to features: approximation, horizontal, vertical and diagonal detail.

        Grey levels are standardised by the image's own mean and deviation first, so that exposure does not count;
        details are doubled, for they are small beside the approximation.
        """
        square = letterbox(pixels, self.side).astype(np.float32)
        square = (square - square.mean()) / (square.std() + 1.0)
        approximation, details = pywt.dwt2(square, self.wavelet, mode="periodization")
        return np.stack([approximation / 2, *(2 * band for band in details)], axis=-1).astype(np.float16)


def letterbox(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale (height, width) to fit a square of `side`, keep the aspect, and pad with black."""
    height, width = pixels.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
    square = np.zeros((side, side), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
