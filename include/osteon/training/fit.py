"""Fit a network: class weights, augmentation, falling rate, temperature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from osteon.models.space import Budget
from osteon.training.augment import Augment
from osteon.training.sampling import Rows


@dataclass(frozen=True)
class TrainValData:
    """What a network learns from. Its images are read in batches: nothing holds the features of all."""

    read: Callable[[Rows], NDArray[np.floating]]
    """From row numbers (n,) to the features (n, rows, columns, planes) of images as they are."""
    shape: tuple[int, int, int]
    """(rows, columns, planes)"""
    allowed: NDArray[np.float32]
    """(images, classes)"""
    train: Rows
    val: Rows

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.allowed.shape[1])


def sample_weights(allowed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,): inverse square root of the class's frequency, mean 1. A marginal target weighs as its rarest class."""
    frequency = allowed.sum(axis=0).clip(1)
    weight = (allowed / np.sqrt(frequency)).max(axis=1)
    return np.asarray(weight / weight.mean(), np.float32)


def dataset(
    train_val: TrainValData, rows: Rows, batch: int, seed: int | None = None, augment: Augment | None = None
) -> Any:
    """`tf.data` of (features, allowed, weight) in batches; with a seed shuffled, with `augment` of moved images."""
    import tensorflow as tf

    allowed = train_val.allowed[rows]
    data = tf.data.Dataset.from_tensor_slices((rows, allowed, sample_weights(allowed)))
    if seed is not None:
        data = data.shuffle(len(rows), seed=seed)

    def as_they_are(rows: Rows) -> NDArray[np.float32]:
        return train_val.read(rows).astype(np.float32)

    def read(rows: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
        x = tf.numpy_function(augment or as_they_are, [rows], tf.float32, stateful=augment is not None)
        return tf.ensure_shape(x, (None, *train_val.shape)), y, weight

    return data.batch(batch).map(read).prefetch(2)


def fit(model: Any, train_val: TrainValData, *, budget: Budget, seed: int, augment: Augment | None) -> None:
    """Train while the learning rate falls along a cosine (Loshchilov and Hutter, ICLR 2017), to its end.

    The last weights stay, whichever had the least validation loss. That loss rises where a network is too sure of
    itself, while it still learns to tell classes apart. Calibration mends this (docs/models.md).
    """
    import keras

    first, epochs = float(model.optimizer.learning_rate), budget.fit_epochs
    slower = keras.callbacks.LearningRateScheduler(lambda epoch: first * (1 + math.cos(math.pi * epoch / epochs)) / 2)
    model.fit(
        dataset(train_val, train_val.train, budget.batch, seed, augment),
        validation_data=dataset(train_val, train_val.val, 128),
        validation_freq=5,  # it only tells, in the log, whether the network still learns what holds elsewhere
        epochs=epochs,
        callbacks=[slower],
        verbose=2,
    )


def calibrate(
    values: NDArray[np.float64], allowed: NDArray[np.float32], fractured: NDArray[np.bool_]
) -> tuple[float, float]:
    """The temperature, 0.25 to 10, and the bias, -5 to 5, that make validation logits (n, classes) likeliest.

    The bias is added to the logits of the `fractured` classes first. It is 0 where the images hold one state only. The
    method is temperature scaling (Guo et al., ICML 2017) with one bias (Alexandari et al., ICML 2020). A loss that
    weighs a rare state more makes it more likely by that weight, which no temperature takes back.
    """

    def loss(both: NDArray[np.float64]) -> float:
        scaled = log_softmax((values + both[1] * fractured) / np.exp(both[0]), axis=1)
        return float(-logsumexp(np.where(allowed > 0, scaled, -1e9), axis=1).mean())

    of_one = allowed[allowed.sum(axis=1) == 1]
    most = 5.0 if 0 < (of_one @ fractured).sum() < len(of_one) else 0.0
    bounds = ((np.log(0.25), np.log(10)), (-most, most))
    log_t, bias = minimize(loss, (0.0, 0.0), bounds=bounds, method="L-BFGS-B").x
    return float(np.exp(log_t)), float(bias)
