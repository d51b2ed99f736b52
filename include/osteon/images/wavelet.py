"""Wavelet sub-bands of a letterboxed radiograph (discrete wavelet transform, S. Mallat 1989, by PyWavelets)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pywt
from numpy.typing import NDArray

from osteon.images.letterbox import letterbox

LAZY = "lazy"
"""The lazy wavelet (W. Sweldens 1996) only sorts pixels into even and odd ones: an input without wavelets."""
MODE = "periodization"
"""Keeps as many coefficients as there are pixels."""


@dataclass(frozen=True)
class WaveletTransform:
    """How an image becomes a model's input. Equal transforms give equal features. A model carries its own."""

    side: int = 128
    """Side in pixels that the image is letterboxed to; a multiple of 2**level."""
    wavelet: str = "haar"
    """A family member that PyWavelets knows, or `lazy`."""
    level: int = 1
    """How many times the approximation is taken apart; at 0 the features are the pixels."""
    stored_name: ClassVar[str] = "WaveletRecipe"
    """Its name in stored models."""
    version: ClassVar[int] = 1
    """Version of what `apply` does: raise it when the same fields give other features."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, planes) of the features: as many numbers as the resized image has pixels."""
        return self.side >> self.level, self.side >> self.level, 4**self.level

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey levels (height, width) to features (rows, columns, planes)."""
        return np.asarray(self.apply_batch(letterbox(pixels, self.side)[None])[0])

    def apply_batch(self, letterboxed: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The same from letterboxed images, (n, side, side) to (n, rows, columns, planes).

        Grey levels are standardised by the image's own mean and deviation first, so that exposure does not count. The
        planes are the approximation, then from the coarsest level to the finest horizontal, vertical and diagonal
        details. Finer details have more rows and columns: every f-th goes to a plane of its own.
        """
        images = letterboxed.astype(np.float32)
        mean, deviation = (of(images, axis=(1, 2), keepdims=True) for of in (np.mean, np.std))
        return self._analysed((images - mean) / (deviation + 1))

    def mirrored(self, features: NDArray[np.float16]) -> NDArray[np.float16]:
        """What the same images, seen in a mirror, have as features: (n, rows, columns, planes)."""
        return self._analysed(self.invert(features)[:, :, ::-1])

    def invert(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Undo the transform. Returns standardised images (n, side, side)."""
        x = features.astype(np.float32)
        approximation, start = x[..., 0] * self.gain(self.level, approximation=True), 1
        details = []
        for level in range(self.level, 0, -1):
            fold, bands = 2 ** (self.level - level), []
            for _ in range(3):
                band = np.empty((len(x), self.side >> level, self.side >> level), np.float32)
                for plane, (row, column) in enumerate(np.ndindex(fold, fold), start):
                    band[:, row::fold, column::fold] = x[..., plane] * self.gain(level)
                bands.append(band)
                start += fold**2
            details.append(tuple(bands))
        return np.asarray(pywt.waverec2([approximation, *details], filters(self.wavelet), MODE, axes=(1, 2)))

    def _analysed(self, images: NDArray[np.float32]) -> NDArray[np.float16]:
        approximation, *details = pywt.wavedec2(images, filters(self.wavelet), MODE, self.level, axes=(1, 2))
        planes = [approximation / self.gain(self.level, approximation=True)]
        for level, bands in zip(range(self.level, 0, -1), details, strict=True):
            fold = 2 ** (self.level - level)
            for band in bands:
                scaled = band / self.gain(level)
                planes += [scaled[:, row::fold, column::fold] for row, column in np.ndindex(fold, fold)]
        return np.stack(planes, axis=-1).astype(np.float16)

    def gain(self, level: int, approximation: bool = False) -> float:
        """What the coefficients of a level are divided by: details are small beside the approximation."""
        if self.wavelet == LAZY:
            return 1.0
        return 2.0**level if approximation else 2.0 ** (level - 2)


def filters(wavelet: str) -> pywt.Wavelet:
    """The filter bank by its name. Raises `ValueError` for a name that PyWavelets does not know."""
    if wavelet == LAZY:
        return pywt.Wavelet(LAZY, filter_bank=([0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]))
    return pywt.Wavelet(wavelet)
