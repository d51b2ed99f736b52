"""Architecture search by KerasTuner, kept in the lake after every trial; only trials that completed count."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models import network
from osteon.models.space import Budget, Choose
from osteon.training.augment import Augment
from osteon.training.fit import Lesson, dataset

log = logging.getLogger(__name__)
MOST_FAILURES = 3
"""Trials in a row."""


def search(
    lake: Lake,
    lesson: Callable[[dict[str, Any]], Lesson],
    *,
    choose: Choose,
    augment: Callable[[dict[str, Any], int], Augment],
    budget: Budget,
    seed: int,
    data: str,
    start: dict[str, Any] | None = None,
    min_completed: int,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best design of the space `choose`, and every completed trial (`trial, score, epochs, ...`), best first.

    `lesson(design)` gives what a design learns from, `augment(design, seed)` its augmentation; `data` says which data
    these are, as the key of the training does. `start` is a design that is tried first, where the space holds it. A
    search that was killed goes on where its last finished trial left it: each trial has a seed of its own, so that it
    gives what it would have given. The study's name holds space, budget, data and seed, so another question never
    resumes this one. Raises `TrainingError` when fewer than `min_completed` trials completed.
    """
    space = keras_tuner.HyperParameters()
    choose(space)
    question = json.dumps([space.get_config()["space"], asdict(budget), data, seed], sort_keys=True)
    name = hashlib.sha256(question.encode()).hexdigest()[:16]
    with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
        study = Study(lake, f"studies/{name}", Path(folder) / name)
        study.restore(start)
        common: dict[str, Any] = {"objective": keras_tuner.Objective("val_loss", "min"), "seed": seed + 1}  # 0 is "any"
        common |= {"max_consecutive_failed_trials": MOST_FAILURES}
        candidates = Candidates(lesson, choose, augment, budget)
        places = {"directory": folder, "project_name": name}
        tuner: Any
        if budget.trials is None:
            oracle = StartedHyperband(max_epochs=budget.search_epochs, factor=budget.factor, **common)
            oracle.start = study.start
            tuner = KeptHyperband(oracle, candidates, **places)
        else:
            tuner = KeptRandomSearch(candidates, max_trials=budget.trials, **common, **places)
        tuner.study, tuner.first_seed = study, seed * 10_000
        finished = len(tuner.oracle.end_order)
        if finished:
            log.info("the search goes on after %d trials that finished before", finished)
        try:
            tuner.search(epochs=budget.search_epochs, verbose=0)
        except RuntimeError as error:  # so KerasTuner ends a search whose trials fail one after the other
            raise TrainingError(f"the search broke off: {error}") from error
        every = tuner.oracle.trials.values()
        done = [trial for trial in every if trial.status == "COMPLETED" and trial.score is not None]
        if len(done) < min_completed:
            raise TrainingError(
                f"only {len(done)} of {len(every)} trials completed, {min_completed} are needed: see the log"
            )
        study.finish()
    done.sort(key=lambda trial: trial.score)
    trials = [
        {"trial": trial.trial_id, "score": float(trial.score), "epochs": _epochs(trial, budget)}
        | choose(trial.hyperparameters)
        for trial in done
    ]
    return choose(done[0].hyperparameters), trials


class Study:
    """A KerasTuner project in the lake. What is needed to go on is one object, so it is there as a whole or not."""

    def __init__(self, lake: Lake, prefix: str, folder: Path) -> None:
        self.lake, self.prefix, self.folder = lake, prefix, folder
        self.state = f"{prefix}/state.json"
        self.start: dict[str, Any] | None = None

    def restore(self, start: dict[str, Any] | None) -> None:
        """Bring back what was kept. `start` is then the design that the study started with: this one, if it is new."""
        if not self.lake.exists(self.state):
            self.start = start
            return
        kept = self.lake.get_json(self.state)
        for path, text in kept["files"].items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        self.lake.get_folder(f"{self.prefix}/weights", self.folder)
        self.start = kept["start"]

    def keep(self, trial: str) -> None:
        """Keep a finished trial's weights, for those that go on from it, and then the state."""
        for path in sorted(self.folder.glob(f"trial_{trial}/*.h5")):
            self.lake.put_bytes(f"{self.prefix}/weights/{path.relative_to(self.folder)}", path.read_bytes())
        files = {str(path.relative_to(self.folder)): path.read_text() for path in sorted(self.folder.rglob("*.json"))}
        self.lake.put_json(self.state, {"start": self.start, "files": files})

    def finish(self) -> None:
        """Drop the weights: the winner is trained on its own."""
        self.lake.remove_folder(f"{self.prefix}/weights")


class Candidates(keras_tuner.HyperModel):  # type: ignore[misc]
    """Builds and fits one design after the other."""

    def __init__(
        self,
        lesson: Callable[[dict[str, Any]], Lesson],
        choose: Choose,
        augment: Callable[[dict[str, Any], int], Augment],
        budget: Budget,
    ) -> None:
        super().__init__()
        self.lesson, self.choose, self.augment, self.budget = lesson, choose, augment, budget
        self.seed = 0

    def build(self, hp: Any) -> Any:
        design = self.choose(hp)
        lesson = self.lesson(design)
        keras.utils.set_random_seed(self.seed)
        return network.build(design, lesson.shape, lesson.classes)

    def fit(self, hp: Any, model: Any, **keywords: Any) -> Any:
        design = self.choose(hp)
        lesson = self.lesson(design)
        train = dataset(lesson, lesson.train, self.budget.batch, self.seed, self.augment(design, self.seed))
        val = dataset(lesson, lesson.val, 128)
        return model.fit(train, validation_data=val, **keywords)


class Kept:
    """What a tuner does besides: seed each trial by its number, tell its score, and keep the study."""

    study: Study
    first_seed: int
    hypermodel: Any
    oracle: Any

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> Any:
        self.hypermodel.seed = self.first_seed + int(trial.trial_id)
        return super().run_trial(trial, *arguments, **keywords)  # type: ignore[misc]

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)  # type: ignore[misc]
        ended = self.oracle.get_trial(trial.trial_id)
        design = self.hypermodel.choose(ended.hyperparameters)
        if ended.score is None:
            log.warning("trial %s failed: %s %s", ended.trial_id, design, ended.message)
        else:
            epochs = _epochs(ended, self.hypermodel.budget)
            log.info("trial %s: validation loss %.3f, %d epochs, %s", ended.trial_id, ended.score, epochs, design)
        self.study.keep(trial.trial_id)


class StartedHyperband(keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Hyperband whose first design may be given."""

    start: dict[str, Any] | None = None

    def _random_values(self) -> dict[str, Any] | None:
        if self.start is not None:
            space = self.hyperparameters.space
            values = {hp.name: self.start.get(hp.name) for hp in space}
            if all(values[hp.name] in hp.values for hp in space) and not self._duplicate(values):
                return values
        drawn: dict[str, Any] | None = super()._random_values()
        return drawn


class KeptHyperband(Kept, keras_tuner.Hyperband):  # type: ignore[misc]
    def __init__(self, oracle: StartedHyperband, candidates: Candidates, **places: str) -> None:
        keras_tuner.Tuner.__init__(self, oracle=oracle, hypermodel=candidates, **places)


class KeptRandomSearch(Kept, keras_tuner.RandomSearch):  # type: ignore[misc]
    pass


def _epochs(trial: Any, budget: Budget) -> int:
    return int(trial.hyperparameters.values.get("tuner/epochs", budget.search_epochs))
