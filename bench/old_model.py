"""The main model of the study that Osteon replaces, rebuilt from its description, to measure against.

It looks at the Haar approximation of a stretched image only, and its recurrent layer reads a sequence of length one
(`Reshape((1, -1))`). Sizes are chosen so that it has the 3.67 million weights of the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pywt
from numpy.typing import NDArray
from PIL import Image

from osteon.models.network import marginal_cross_entropy

LSTM_UNITS = 95


@dataclass(frozen=True)
class OldRecipe:
    """Stretched to a square, grey levels 0 to 1, the approximation of one Haar step."""

    side: int = 128

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.side // 2, self.side // 2, 1

    def apply_batch(self, letterboxed: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Undoes the letterboxing as well as it can: what stays black at the edges is cut away."""
        return np.stack([self.apply(_cut(square)) for square in letterboxed])

    def mirrored(self, features: NDArray[np.float16]) -> NDArray[np.float16]:
        """The study looked once."""
        return features

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float16]:
        square = np.asarray(Image.fromarray(pixels).resize((self.side, self.side)), np.float32) / 255
        approximation, _ = pywt.dwt2(square, "haar")
        halved: NDArray[np.float16] = (approximation / 2)[..., None].astype(np.float16)
        return halved


def _cut(square: NDArray[np.uint8]) -> NDArray[np.uint8]:
    lines = [np.flatnonzero(square.any(axis=axis)) for axis in (1, 0)]
    if any(len(line) == 0 for line in lines):
        return square
    rows, columns = (slice(line[0], line[-1] + 1) for line in lines)
    return square[rows, columns]


def build_old(shape: tuple[int, int, int], classes: int) -> Any:
    """A compiled `keras.Model` from the approximation to logits."""
    import keras

    layers = keras.layers
    inputs = keras.Input(shape)
    x = inputs
    for filters in (32, 64, 128):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 3, activation="relu")(x))
    x = layers.Reshape((1, -1))(layers.Flatten()(x))
    x = layers.Dropout(0.5)(layers.Bidirectional(layers.LSTM(LSTM_UNITS))(x))
    model = keras.Model(inputs, layers.Dense(classes)(x))
    model.compile(keras.optimizers.Adam(1e-3), loss=marginal_cross_entropy)
    return model
