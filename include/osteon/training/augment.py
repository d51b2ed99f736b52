"""Augmentation in a `tf.data` pipeline: what an image could have been, worked out on its features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.images.wavelet import WaveletRecipe, analysis

Augment = Callable[[Any], Any]
"""From a batch of features (n, rows, columns, planes) to another."""
TURN = 0.07
"""Share of a full turn, either way, by which base models' images are rotated."""
DEGREES, ZOOM, SHIFT, GAIN = 10.0, 0.1, 0.06, 0.2
"""How far an image is turned, scaled, moved (share of its side) and its contrast changed, either way."""
TURNED = 0.5
"""Share of images that are turned and scaled. The others keep whole pixels: interpolation blurs, and a model that saw
only blurred images is worse on those that are not (FracAtlas, 64 pixels, two seeds: fracture AUROC 0.78 and 0.82)."""


def of_wavelets(recipe: WaveletRecipe, seed: int) -> Augment:
    """Mirror, rotation, zoom, shift and gain of the pixels that the features stand for: the transform is undone and
    done again, so that a rotated image's sub-bands are those of a rotated image."""
    import tensorflow as tf

    random = tf.random.Generator.from_seed(seed)
    forward, backward = transforms(recipe)

    def augment(x: Any) -> Any:
        count = tf.shape(x)[0]

        def draw(most: float) -> Any:
            return random.uniform((count,), -most, most)

        turned = tf.cast(random.uniform((count,)) < TURNED, tf.float32)
        angle, scale = turned * draw(math.radians(DEGREES)), 1 + turned * draw(ZOOM)
        mirror = tf.sign(draw(1.0))
        middle = (recipe.side - 1) / 2
        cos, sin = tf.cos(angle) / scale, tf.sin(angle) / scale
        shift = [middle + tf.round(draw(SHIFT * recipe.side)) for _ in range(2)]
        none = tf.zeros((count,))
        # where in the image each pixel of the new one is found (TensorFlow's order: a0 a1 a2 b0 b1 b2 c0 c1)
        rows = [mirror * cos, -sin, shift[0] - middle * (mirror * cos - sin)]
        rows += [mirror * sin, cos, shift[1] - middle * (mirror * sin + cos), none, none]
        pixels = backward(x)
        darkest = tf.reduce_min(pixels, axis=(1, 2), keepdims=True)
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=(pixels - darkest)[..., None], transforms=tf.stack(rows, axis=1), fill_value=0.0,
            output_shape=(recipe.side, recipe.side), interpolation="BILINEAR", fill_mode="CONSTANT",
        )[..., 0]  # fmt: skip
        return forward(moved + darkest) * (1 + draw(GAIN))[:, None, None, None]

    return augment


def transforms(recipe: WaveletRecipe) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The recipe's transform of standardised squares (n, side, side) into features, and back, in TensorFlow."""
    import tensorflow as tf

    levels = range(1, recipe.level + 1)
    split, join = filter_bank(recipe.wavelet, recipe.side)

    def forward(x: Any) -> Any:
        details: list[Any] = []
        for level in levels:
            (x, vertical), (horizontal, diagonal) = (split(half, 2) for half in split(x, 1))
            bands, fold = (horizontal, vertical, diagonal), 2 ** (recipe.level - level)
            details = [_folded(band[..., None] / recipe.gain(level), fold) for band in bands] + details
        return tf.concat([x[..., None] / recipe.gain(recipe.level, approximation=True), *details], axis=-1)

    def backward(features: Any) -> Any:
        x, start = features[..., 0] * recipe.gain(recipe.level, approximation=True), 1
        for level in reversed(levels):
            fold, bands = 2 ** (recipe.level - level), []
            for _ in range(3):
                planes = features[..., start : start + fold**2]
                bands.append(_unfolded(planes, fold)[..., 0] * recipe.gain(level))
                start += fold**2
            horizontal, vertical, diagonal = bands
            x = join(join(x, vertical, 2), join(horizontal, diagonal, 2), 1)
        return x

    return forward, backward


def filter_bank(wavelet: str, length: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`split(x, axis)` gives approximation and details along axis 1 or 2 of (n, rows, columns), `join` undoes it.

    Every second place of the periodic signal is filtered. The taps are read off the transform's matrix for `length`,
    and serve every even length that is not shorter than the filters.
    """
    import tensorflow as tf

    matrix = analysis(wavelet, length)
    inverse, half = np.linalg.inv(matrix), length // 2
    down = [_taps(matrix[row]) for row in (0, half)]
    up = [[_taps(inverse[row, columns]) for columns in (slice(0, half), slice(half, None))] for row in (0, 1)]

    def split(x: Any, axis: int) -> tuple[Any, Any]:
        def every_second(taps: list[tuple[int, float]]) -> Any:
            moved = [value * tf.roll(x, -place, axis) for place, value in taps]
            return tf.add_n(moved)[:, ::2] if axis == 1 else tf.add_n(moved)[:, :, ::2]

        approximation, details = map(every_second, down)
        return approximation, details

    def join(approximation: Any, details: Any, axis: int) -> Any:
        def of_row(row: list[list[tuple[int, float]]]) -> Any:
            from_approximation, from_details = row
            parts = [(approximation, *tap) for tap in from_approximation] + [(details, *tap) for tap in from_details]
            return tf.add_n([value * tf.roll(x, -place, axis) for x, place, value in parts])

        even, odd = map(of_row, up)
        shape = tf.shape(even) * [1, 2 if axis == 1 else 1, 2 if axis == 2 else 1]
        return tf.reshape(tf.stack([even, odd], axis=axis + 1), shape)

    return split, join


def _taps(row: NDArray[np.floating]) -> list[tuple[int, float]]:
    """Places, around 0 on the circle, and values of a filter that starts at 0."""
    places = np.flatnonzero(np.abs(row) > 1e-6)
    return [(int(place if place <= len(row) // 2 else place - len(row)), float(row[place])) for place in places]


def _folded(x: Any, fold: int) -> Any:
    import tensorflow as tf

    return x if fold == 1 else tf.nn.space_to_depth(x, fold)


def _unfolded(x: Any, fold: int) -> Any:
    import tensorflow as tf

    return x if fold == 1 else tf.nn.depth_to_space(x, fold)


def of_planes(seed: int) -> Augment:
    """Mirror and rotation, which a picture and its Fourier magnitudes undergo alike."""
    import keras

    layers = [
        keras.layers.RandomFlip("horizontal", seed=seed),
        keras.layers.RandomRotation(TURN, fill_mode="constant", seed=seed),
    ]

    def augment(x: Any) -> Any:
        for layer in layers:
            x = layer(x, training=True)
        return x

    return augment
