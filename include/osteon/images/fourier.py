"""Pixels and the logarithm of their Fourier magnitudes, of a letterboxed radiograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from osteon.images.letterbox import letterbox

Planes = Literal["pixels", "fourier", "both"]


@dataclass(frozen=True)
class FourierTransform:
    """How an image becomes a base model's input. Equal transforms give equal features. A model carries its own."""

    side: int = 128
    """Side in pixels that the image is letterboxed to."""
    planes: Planes = "both"
    stored_name: ClassVar[str] = "FourierRecipe"
    """Its name in stored models."""
    version: ClassVar[int] = 1
    """Version of what `apply` does: raise it when the same fields give other features."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, columns, planes) of the features."""
        return self.side, self.side, 2 if self.planes == "both" else 1

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey levels (height, width) to (side, side, planes)."""
        return np.asarray(self.apply_batch(letterbox(pixels, self.side)[None])[0])

    def apply_batch(self, letterboxed: NDArray[np.uint8]) -> NDArray[np.float16]:
        """The same from letterboxed images, (n, side, side); each plane has mean 0 and deviation 1.

        The magnitude log(1 + |F|) has the zero frequency in its middle. It turns as the picture turns. It stays the
        same when the picture is shifted, so it does not say where things are.
        """
        images, window = letterboxed.astype(np.float32), np.hanning(self.side)
        centred = images - images.mean(axis=(1, 2), keepdims=True)
        spectrum = np.fft.fftshift(np.fft.fft2(centred * window * window[:, None]), axes=(1, 2))
        planes = {"pixels": images, "fourier": np.log1p(np.abs(spectrum))}
        chosen = planes if self.planes == "both" else {self.planes: planes[self.planes]}
        return np.stack([_standard(plane) for plane in chosen.values()], axis=-1).astype(np.float16)

    def mirrored(self, features: NDArray[np.float16]) -> NDArray[np.float16]:
        """What the same images, seen in a mirror, have as features: (n, side, side, planes)."""
        flipped = features[:, :, ::-1].copy()
        if self.planes != "pixels":  # the zero frequency stays where it is
            flipped[..., -1] = np.roll(flipped[..., -1], 1 - self.side % 2, axis=2)
        return flipped

    def only(self, planes: Planes, features: NDArray[np.float16]) -> tuple[FourierTransform, NDArray[np.float16]]:
        """The transform to some of the planes of this one, which has both, and its features of the same images."""
        part = {"pixels": slice(0, 1), "fourier": slice(1, 2), "both": slice(0, 2)}[planes]
        return FourierTransform(self.side, planes), features[..., part]


def _standard(planes: NDArray[np.floating]) -> NDArray[np.floating]:
    mean, deviation = (of(planes, axis=(1, 2), keepdims=True) for of in (np.mean, np.std))
    return np.asarray((planes - mean) / (deviation + 1e-3))
