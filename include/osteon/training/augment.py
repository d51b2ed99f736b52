"""Augmentation of features in a `tf.data` pipeline: what an image could have been, worked out on its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Augment = Callable[[Any], Any]
"""From a batch of features (n, rows, columns, planes) to another."""
TURN = 0.07
"""Share of a full turn, either way."""


def of_wavelets(seed: int) -> Augment:
    """Mirror, shift and gain. A wavelet transform commutes with a mirror (columns reversed, horizontal differences
    change sign) and with gain, so these are exact on sub-bands."""
    import tensorflow as tf

    # PyWavelets orders the details horizontal, vertical, diagonal; the last two are differences along columns
    signs = tf.constant([1.0, 1.0, -1.0, -1.0])
    random = tf.random.Generator.from_seed(seed)

    def augment(x: Any) -> Any:
        count = tf.shape(x)[0]
        flip = random.uniform((count, 1, 1, 1)) < 0.5
        x = tf.where(flip, tf.reverse(x, [2]) * signs, x)
        shift = tf.cast(random.uniform((2,), -3, 4, dtype=tf.int32), tf.int32)
        x = tf.roll(x, shift, axis=[1, 2])
        return x * random.uniform((count, 1, 1, 1), 0.9, 1.1)

    return augment


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
