"""What every training does first: say what it runs on, and choose whole clusters to search on."""

from __future__ import annotations

import gc
import logging
import os
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.intp]
"""Row numbers."""
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""What TensorFlow reads from the environment when it first computes."""
log = logging.getLogger(__name__)


def sample_clusters(clusters: pd.Series, most: int, seed: int) -> Rows:
    """Row numbers of whole clusters, drawn at random as long as they fit into `most` rows; all when there are fewer."""
    if len(clusters) <= most:
        return np.arange(len(clusters))
    values = clusters.to_numpy()
    order = np.random.default_rng(seed).permutation(np.unique(values.astype(str)))
    size = pd.Series(values).value_counts()
    taken = set()
    for cluster, rows in size[order].items():
        if rows <= most:
            taken.add(cluster)
            most -= rows
    return np.flatnonzero([value in taken for value in values])


@cache
def prepare_keras() -> None:
    """Log what the training runs on, and set Keras up for it once what is to be learnt from is loaded.

    A GPU's memory grows as needed, and it computes in half precision. On a CPU TensorFlow has one thread, unless the
    environment says otherwise. More threads take no less time for networks of this size. They sum in another order, so
    that a seed would give other weights where there are more cores.

    Graphs are not rewritten function by function. A short trial then takes a fourteenth less, a step takes as long as
    before, and the weights are the same. What is loaded by now stays, so that the clean-up before each trial need not
    look through it.
    """
    import keras
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    else:
        for variable in THREADS:
            os.environ.setdefault(variable, "1")
        tf.config.optimizer.set_experimental_options({"function_optimization": False})
    gc.collect()
    gc.freeze()
    log.info("training on %s", ", ".join(gpu.name for gpu in gpus) if gpus else "the CPU: TensorFlow sees no GPU")
