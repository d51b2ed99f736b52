"""Fit a model: class weights, light augmentation, early stopping, temperature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from osteon.training.augment import Augment


def sample_weights(allowed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,): inverse square root of the class's frequency, mean 1. A marginal target weighs as its rarest class."""
    frequency = allowed.sum(axis=0).clip(1)
    weight = (allowed / np.sqrt(frequency)).max(axis=1)
    return (weight / weight.mean()).astype(np.float32)


def dataset(
    features: NDArray[np.float16],
    allowed: NDArray[np.float32],
    batch: int,
    seed: int | None = None,
    augment: Augment | None = None,
) -> Any:
    """`tf.data` of (features, allowed, weight) in batches; with a seed shuffled, with `augment` augmented."""
    import tensorflow as tf

    weights = sample_weights(allowed)
    data = tf.data.Dataset.from_tensor_slices((features, allowed, weights))
    if seed is not None:
        data = data.shuffle(len(features), seed=seed)
    data = data.batch(batch).map(lambda x, y, w: (tf.cast(x, tf.float32), y, w))
    if augment is not None:
        data = data.map(lambda x, y, w: (augment(x), y, w))
    return data.prefetch(2)


def fit(
    model: Any,
    train: tuple[NDArray[np.float16], NDArray[np.float32]],
    val: tuple[NDArray[np.float16], NDArray[np.float32]],
    *,
    epochs: int,
    patience: int,
    batch: int,
    seed: int,
    augment: Augment,
) -> int:
    """Train with early stopping on the validation loss; the best weights stay. Returns the number of epochs run."""
    import keras

    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    slower = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.4, patience=max(2, patience // 3))
    history = model.fit(
        dataset(*train, batch, seed, augment),
        validation_data=dataset(*val, 128),
        epochs=epochs,
        callbacks=[stop, slower],
        verbose=2,
    )
    return len(history.history["loss"])


def logits(model: Any, features: NDArray[np.float16], batch: int = 256) -> NDArray[np.float64]:
    """(n, classes) by plain calls of the model: for few images many times faster than `model.predict`."""
    parts = [
        np.asarray(model(features[i : i + batch].astype(np.float32), training=False))
        for i in range(0, len(features), batch)
    ]
    return np.concatenate(parts).astype(np.float64)


def temperature(values: NDArray[np.float64], allowed: NDArray[np.float32]) -> float:
    """The temperature that makes validation logits likeliest (Guo et al., ICML 2017), between 0.25 and 10."""

    def loss(log_t: float) -> float:
        scaled = log_softmax(values / np.exp(log_t), axis=1)
        return float(-logsumexp(np.where(allowed > 0, scaled, -1e9), axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.25), np.log(10)), method="bounded").x))
