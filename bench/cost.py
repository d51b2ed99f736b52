"""CPU seconds of a search, trials times epochs alike: Osteon's space against the model that it replaces.

Both look at the same images, Osteon at the side at which it searches. Both read them transformed, though the old
pipeline had no such cache.
"""

from __future__ import annotations

import json
import random
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
from old_model import OldRecipe, build_old
from stages import store

from models import snapshot
from osteon.models import network, space
from osteon.pipeline import Pipeline
from osteon.training.fit import Lesson, dataset
from osteon.training.train import Course

TRIALS, EPOCHS = 6, 3


class Drawn:
    """Stands in for KerasTuner's hyperparameters: draws at random, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def Int(self, name: str, least: int, most: int) -> int:  # noqa: N802 - KerasTuner's names
        return self.random.randint(least, most)

    def conditional_scope(self, name: str, values: list[Any]) -> AbstractContextManager[None]:
        return nullcontext()

    def Choice(self, name: str, values: list[Any]) -> Any:  # noqa: N802
        return self.random.choice(values)


def main(budget: str) -> None:
    with store():
        line = Pipeline("cost")
        course = Course(line.settings, line.lake, snapshot(line), budget, 0)
        rows = course.learn[: course.plan.search_images]
        old = course.features(OldRecipe())  # type: ignore[arg-type]
        designs = [space.cnn_bilstm(course.plan.side)(Drawn(seed)) for seed in range(TRIALS)]
        recipes = [course.recipe(design, course.plan.search_side) for design in designs]
        for recipe in recipes:
            course.features(recipe)

        def trial(model: Any, lesson: Lesson, augment: Any) -> None:
            train = dataset(lesson, lesson.train, course.plan.batch, 0, augment)
            model.fit(train, validation_data=dataset(lesson, lesson.val, 128), epochs=EPOCHS, verbose=0)

        def theirs(seed: int) -> None:
            lesson = Lesson(old, course.allowed, rows, course.check)
            trial(build_old(old.shape[1:], lesson.classes), lesson, None)

        def ours(seed: int) -> None:
            lesson = course.lesson(recipes[seed], rows)
            model = network.build(designs[seed], lesson.shape, lesson.classes)
            trial(model, lesson, course.augment(recipes[seed], 0))

        theirs(0)  # what is loaded once
        seconds = {}
        for name, run in (("old model", theirs), ("osteon", ours)):
            start = time.process_time()
            for seed in range(TRIALS):
                keras.backend.clear_session()
                run(seed)
            seconds[name] = time.process_time() - start
    ratio = seconds["osteon"] / seconds["old model"]
    print(json.dumps({"trials": TRIALS, "epochs": EPOCHS, "images": len(rows), "ratio": round(ratio, 2)} | seconds))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "standard")
