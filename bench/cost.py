"""CPU seconds of a search, trials times epochs alike: Osteon's space against the model that it replaces.

Both look at the same images, Osteon at the side at which it searches. The old pipeline decodes and transforms them,
once here; Osteon reads the squares that its lake keeps, and transforms and moves them in each trial. Osteon's settings
of Keras are a part of what is measured, but for TensorFlow's threads: one for both, as `osteon train` has.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np
from old_model import OldRecipe, build_old
from stages import store

from models import old_train_val, snapshot
from osteon.features import load_resized_images
from osteon.images.decode import decode
from osteon.models import space
from osteon.models.design import NetworkDesign
from osteon.pipeline.context import Context
from osteon.training.data import TrainingData
from osteon.training.fit import dataset
from osteon.training.sampling import THREADS, prepare_keras
from osteon.training.train import search_of

TRIALS, EPOCHS = 6, 3


class Drawn:
    """Stands in for KerasTuner's hyperparameters: draws at random, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a draw that can be repeated, no secret

    def Int(self, name: str, least: int, most: int) -> int:  # noqa: N802 - KerasTuner's names
        return self.random.randint(least, most)

    def conditional_scope(self, name: str, values: list[Any]) -> AbstractContextManager[None]:
        return nullcontext()

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: N802
        return self.random.choice(values)


def trial(data: TrainingData, design: NetworkDesign, seed: int, epochs: int) -> float:
    """The least validation loss of a design, fitted as the main model's search fits it."""
    return min(search_of(data, data.learn, "", lambda hp: design).fit(design, seed, epochs=range(epochs)))


def main(budget: str) -> None:
    os.environ.update(dict.fromkeys(THREADS, "1"))
    with store():
        context = Context.open("cost")
        data = TrainingData(context.settings, context.lake, snapshot(context), budget, 0)
        designs = [space.cnn_bilstm(data.plan.side)(Drawn(seed)) for seed in range(TRIALS)]
        train_val = search_of(data, data.learn, "", lambda hp: designs[0]).train_val(designs[0])
        old = old_train_val(data, train_val.train, train_val.val)
        digests = data.images["sha256"].iloc[np.concatenate([old.train, old.val])]

        def read_theirs() -> None:
            for digest in digests:
                OldRecipe().apply(decode(context.lake.get_image(digest), context.settings.max_pixels).pixels)

        def read_ours() -> None:
            load_resized_images(context.settings, context.lake, data.images, data.plan.search_side)

        def theirs(seed: int) -> None:  # noqa: ARG001 - called as `ours` is
            keras.backend.clear_session()
            train, val = dataset(old, old.train, data.plan.batch, 0), dataset(old, old.val, 128)
            build_old(old.shape, old.classes).fit(train, validation_data=val, epochs=EPOCHS, verbose=0)

        def ours(seed: int) -> None:
            trial(data, designs[seed], seed, EPOCHS)

        read, fitted = {}, {}
        for name, reading, fit in (("old", read_theirs, theirs), ("osteon", read_ours, ours)):
            if fit is ours:
                prepare_keras()
            read[name] = seconds_of(reading)
            fit(0)  # what is loaded once
            fitted[name] = sum(seconds_of(partial(fit, seed)) for seed in range(TRIALS))
    print(json.dumps({"trials": TRIALS, "epochs": EPOCHS, "images": len(old.train), "checked": len(old.val)}))
    both = {name: read[name] + fitted[name] for name in read}
    for what, seconds in (("to read the images once", read), ("to fit", fitted), ("both", both)):
        ratio = round(seconds["osteon"] / seconds["old"], 3)
        print(
            json.dumps({"CPU seconds": what, **{name: round(one, 1) for name, one in seconds.items()}, "ratio": ratio})
        )


def seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "standard")
