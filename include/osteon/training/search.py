"""Architecture search by KerasTuner, kept in the lake after every trial; only trials that completed count."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import keras
import keras_tuner

from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models import network
from osteon.models.space import Budget, Choose
from osteon.training.augment import Augment
from osteon.training.fit import Lesson, dataset
from osteon.training.workers import LOOK, PAUSE, asking, leader, serve, signs_of_life

log = logging.getLogger(__name__)
MOST_FAILURES = 3
"""Trials in a row."""


@dataclass(frozen=True)
class Search:
    """What is searched, where, and by what it is judged. Equal ones are one study, which is resumed.

    A search that was killed goes on where its last finished trial left it: each trial has a seed of its own, so that it
    gives what it would have given. The study's name holds space, budget, data and seed, so another question never
    resumes this one.
    """

    lake: Lake
    lesson: Callable[[dict[str, Any]], Lesson]
    """What a design learns from."""
    choose: Choose
    augment: Callable[[dict[str, Any], int], Augment]
    """A design's augmentation, with a seed."""
    budget: Budget
    seed: int
    data: str
    """Says which data these are, as the key of the training does."""

    @cached_property
    def study(self) -> str:
        """Where in the lake the study lies."""
        space = keras_tuner.HyperParameters()
        fixed = self.choose(space)  # what is not searched stands in every design
        asked = [space.get_config()["space"], fixed, asdict(self.budget), self.data, self.seed]
        question = json.dumps(asked, sort_keys=True)
        return f"studies/{hashlib.sha256(question.encode()).hexdigest()[:16]}"

    def run(
        self, *, min_completed: int, start: dict[str, Any] | None = None, host: str = "", port: int = 0
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The best design, and every completed trial (`trial, score, epochs, seconds, worker, ...`), best first.

        `start` is a design that is tried first, where the space holds it. With a `host`, an address of this machine,
        and a `port`, other processes may `help`. Raises `TrainingError` when fewer than `min_completed` trials
        completed.
        """
        with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
            study = Study(self.lake, self.study, Path(folder))
            study.restore(start)
            tuner = self._tuner(study)
            tuner.save()
            oracle = tuner.oracle
            if oracle.end_order:
                log.info("the search goes on after %d trials that finished before", len(oracle.end_order))
            with ExitStack() as door:
                if host:
                    servicer = door.enter_context(serve(oracle, self.lake, self.study, host, port))
                    tuner.between_trials = servicer.between_trials
                tuner.search(epochs=self.budget.search_epochs, verbose=0)
            if oracle.broken:
                raise TrainingError(f"the search broke off: {oracle.broken}") from oracle.broken
            done = [one for one in oracle.trials.values() if one.status == "COMPLETED" and one.score is not None]
            if len(done) < min_completed:
                raise TrainingError(
                    f"only {len(done)} of {len(oracle.trials)} trials completed, {min_completed} are needed: "
                    "see the log"
                )
            study.finish()
        done.sort(key=lambda trial: trial.score)
        trials = [
            {"trial": trial.trial_id, "score": float(trial.score), "epochs": _epochs(trial, self.budget)}
            | study.told[trial.trial_id]
            | self.choose(trial.hyperparameters)
            for trial in done
        ]
        return self.choose(done[0].hyperparameters), trials

    def help(self, worker: str, patience: float) -> int:
        """Run trials for the process that leads this search until it is finished, or until nobody has led it for
        `patience` seconds. Returns how many trials it ran. `worker` is a name that no other worker has."""
        ran, since = 0, time.monotonic()
        while time.monotonic() - since < patience and not Study.finished(self.lake, self.study):
            if found := leader(self.lake, self.study):
                with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder, asking(**found, worker=worker):
                    tuner = self._tuner(Study(self.lake, self.study, Path(folder)))
                    tuner.between_trials = lambda: time.sleep(PAUSE)
                    try:
                        with signs_of_life(tuner.oracle, worker):
                            tuner.search(epochs=self.budget.search_epochs, verbose=0)
                        since = time.monotonic()
                    except grpc.RpcError as error:
                        log.warning("who leads the search, at %s, does not answer: %s", found["address"], error)
                    ran += tuner.ran
            time.sleep(PAUSE if found else LOOK)
        return ran

    def _tuner(self, study: Study) -> Any:
        common = {
            "objective": keras_tuner.Objective("val_loss", "min"),
            "seed": self.seed + 1,  # KerasTuner takes 0 for "any"
            "max_consecutive_failed_trials": MOST_FAILURES,
        }
        candidates = Candidates(self.lesson, self.choose, self.augment, self.budget)
        if self.budget.trials is None:
            oracle: Any = Hyperband(max_epochs=self.budget.search_epochs, factor=self.budget.factor, **common)
            worker: Any = HyperbandWorker
        else:
            oracle, worker = RandomSearch(max_trials=self.budget.trials, **common), RandomSearchWorker
        oracle.study, oracle.describe = study, self.choose
        tuner = worker(oracle, candidates, directory=str(study.folder.parent), project_name=study.folder.name)
        tuner.study, tuner.first_seed = study, self.seed * 10_000
        return tuner


class Study:
    """A KerasTuner project in the lake. What is needed to go on is one object, so it is there as a whole or not."""

    def __init__(self, lake: Lake, prefix: str, folder: Path) -> None:
        self.lake, self.prefix, self.folder = lake, prefix, folder / "study"
        self.state = f"{prefix}/state.json"
        self.start: dict[str, Any] | None = None
        self.began: dict[tuple[str, str], float] = {}
        """When a worker began a trial."""
        self.told: dict[str, dict[str, Any]] = {}
        """Of each trial that ended: `seconds, worker`."""

    @staticmethod
    def finished(lake: Lake, prefix: str) -> bool:
        state = f"{prefix}/state.json"
        return lake.exists(state) and bool(lake.get_json(state)["finished"])

    def restore(self, start: dict[str, Any] | None) -> None:
        """Bring back what was kept. `start` is then the design that the study started with: this one, if it is new."""
        if not self.lake.exists(self.state):
            self.start = start
            return
        kept = self.lake.get_json(self.state)
        for path, text in kept["files"].items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        self.start, self.told = kept["start"], kept["told"]

    def keep(self, finished: bool = False) -> None:
        files = {str(path.relative_to(self.folder)): path.read_text() for path in sorted(self.folder.rglob("*.json"))}
        self.lake.put_json(self.state, {"start": self.start, "told": self.told, "finished": finished, "files": files})

    def put_weights(self, trial: str) -> None:
        """Keep a trial's weights and how to build them, for the one that goes on from it."""
        for path in (self.folder / f"trial_{trial}").glob("*"):  # a trial that failed early has no folder
            if path.name != "trial.json":  # the oracle's
                self.lake.put_bytes(f"{self.prefix}/weights/{trial}/{path.name}", path.read_bytes())

    def get_weights(self, trial: str) -> None:
        """Bring back the weights of a trial that another process ran, or this one before it was killed."""
        folder = self.folder / f"trial_{trial}"
        if not any(folder.glob("*.h5")):
            self.lake.get_folder(f"{self.prefix}/weights/{trial}", folder)

    def finish(self) -> None:
        """Drop the weights: the winner is trained on its own."""
        self.keep(finished=True)
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
    """What an oracle does besides: begin with the design that the study starts with, keep the study, and tell of every
    trial that ended, whoever ran it."""

    study: Study
    describe: Choose
    broken: RuntimeError | None = None
    """Why the search ends early."""
    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]
    _retry_queue: list[str]
    hyperparameters: Any
    _duplicate: Callable[[dict[str, Any]], bool]

    def _random_values(self) -> dict[str, Any] | None:
        start = self.study.start
        if start is not None:
            space = self.hyperparameters.space
            values = {hp.name: start.get(hp.name) for hp in space}
            tried = self.hyperparameters.copy()
            tried.values = values
            design = self.describe(tried)  # a value that another rules out does not come out as it went in
            known = all(values[hp.name] in hp.values and design[hp.name] == values[hp.name] for hp in space)
            if known and not self._duplicate(values):
                return values
        drawn: dict[str, Any] | None = super()._random_values()  # type: ignore[misc]
        return drawn

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Any:
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "RUNNING":
            self.study.began.setdefault((trial.trial_id, tuner_id), time.monotonic())
        elif trial.status == "STOPPED" and self.ongoing_trials and not self.broken:
            trial.status = "IDLE"  # who leads a random search would leave before the others' last trials ended
            self.tuner_ids.add(tuner_id)
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        number = trial.trial_id
        running = [worker for worker, one in self.ongoing_trials.items() if one.trial_id == number]
        if not running:  # of a worker that was given up: another runs it, or ran it
            return
        super().end_trial(trial)  # type: ignore[misc]
        self.save()  # type: ignore[attr-defined]  # KerasTuner did while the trial was still among the ongoing
        ended = self.get_trial(number)  # type: ignore[attr-defined]
        seconds = round(time.monotonic() - self.study.began[number, running[0]], 1)
        self.study.told[number] = {"seconds": seconds, "worker": running[0]}
        design = self.describe(ended.hyperparameters)
        if ended.score is None:
            log.warning("trial %s failed: %s %s", number, design, ended.message)
        else:
            log.info("trial %s: validation loss %.3f, %.0f s, %s", number, ended.score, seconds, design)
        self.study.keep()

    @keras_tuner.synchronized
    def release(self, worker: str) -> None:
        """Let another worker run the trial of one that is lost."""
        if trial := self.ongoing_trials.pop(worker, None):
            log.warning("worker %s is lost; trial %s is run again", worker, trial.trial_id)
            self._retry_queue.append(trial.trial_id)
            self.tuner_ids.discard(worker)

    def populate_space(self, trial_id: str) -> Any:
        return {"status": "STOPPED"} if self.broken else super().populate_space(trial_id)  # type: ignore[misc]

    def _check_consecutive_failures(self) -> None:
        """KerasTuner would raise in whoever ended the trial, another process perhaps, and keep its lock for good."""
        try:
            super()._check_consecutive_failures()  # type: ignore[misc]
        except RuntimeError as error:
            self.broken = error


class Hyperband(Kept, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    pass


class RandomSearch(Kept, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    pass


class Worker:
    """What a tuner does besides: seed each trial by its number, and share its weights with those that go on from it."""

    study: Study
    first_seed: int
    hypermodel: Any
    ran = 0
    """Trials so far."""

    @staticmethod
    def between_trials() -> None:
        """Called before each question for a trial."""

    def pre_create_trial(self) -> None:
        super().pre_create_trial()  # type: ignore[misc]
        self.between_trials()

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> Any:
        if before := trial.hyperparameters.values.get("tuner/trial_id"):
            self.study.get_weights(before)
        self.hypermodel.seed = self.first_seed + int(trial.trial_id)
        return super().run_trial(trial, *arguments, **keywords)  # type: ignore[misc]

    def on_trial_end(self, trial: Any) -> None:
        self.study.put_weights(trial.trial_id)
        self.ran += 1
        super().on_trial_end(trial)  # type: ignore[misc]


class HyperbandWorker(Worker, keras_tuner.Hyperband):  # type: ignore[misc]
    def __init__(self, oracle: Hyperband, candidates: Candidates, **places: str) -> None:
        keras_tuner.Tuner.__init__(self, oracle=oracle, hypermodel=candidates, **places)


class RandomSearchWorker(Worker, keras_tuner.Tuner):  # type: ignore[misc]
    pass


def _epochs(trial: Any, budget: Budget) -> int:
    return int(trial.hyperparameters.values.get("tuner/epochs", budget.search_epochs))
