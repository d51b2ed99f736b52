"""What every training does first: say what it runs on, and choose whole groups to search on."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.intp]
"""Row numbers."""
log = logging.getLogger(__name__)


def sample_groups(groups: pd.Series, most: int, seed: int) -> Rows:
    """Row numbers of whole groups, drawn at random as long as they fit into `most` rows; all when there are fewer."""
    if len(groups) <= most:
        return np.arange(len(groups))
    values = groups.to_numpy()
    order = np.random.default_rng(seed).permutation(np.unique(values.astype(str)))
    size = pd.Series(values).value_counts()
    taken = set()
    for group, rows in size[order].items():
        if rows <= most:
            taken.add(group)
            most -= rows
    return np.flatnonzero([value in taken for value in values])


@cache
def prepare_devices() -> None:
    """Log what the training runs on. A GPU's memory grows as needed, and it computes in half precision."""
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    log.info("training on %s", ", ".join(gpu.name for gpu in gpus) if gpus else "the CPU: TensorFlow sees no GPU")
