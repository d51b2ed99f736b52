"""Architecture search by KerasTuner, saved in the lake after every trial. Only trials that completed count."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc

from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models.design import Hyperparameter, NetworkDesign
from osteon.models.space import Budget, SearchSpace
from osteon.training.augment import Augment
from osteon.training.fit import TrainValData
from osteon.training.search_state import SearchState
from osteon.training.tuner import DesignHyperModel, connected, make_tuner, space_config
from osteon.training.workers import (
    IDLE_INTERVAL,
    POLL_INTERVAL,
    ChiefAddress,
    find_chief,
    heartbeat,
    serve,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """A trial that completed."""

    trial: str
    score: float
    """The least validation loss."""
    epochs: int
    seconds: float
    worker: str
    design: NetworkDesign

    @property
    def row(self) -> dict[str, Hyperparameter]:
        """The trial as one flat row, as results in the lake have it."""
        return {name: value for name, value in vars(self).items() if name != "design"} | self.design.hyperparameters


@dataclass(frozen=True)
class SearchResult:
    """What a search found: its completed trials, the best first."""

    trials: tuple[Trial, ...]

    @property
    def design(self) -> NetworkDesign:
        """The best trial's design."""
        return self.trials[0].design

    @property
    def rows(self) -> list[dict[str, Hyperparameter]]:
        """The trials as flat rows."""
        return [trial.row for trial in self.trials]


@dataclass(frozen=True)
class Search:
    """What is searched, where, and by what it is judged. Equal ones are one study, which is resumed.

    A search that was killed goes on after its last finished trial. Each trial has a seed of its own, so it gives what
    it would have given. The study's name holds space, budget, data and seed: another question is another study.
    """

    lake: Lake
    train_val: Callable[[NetworkDesign], TrainValData]
    """What a design learns from."""
    space: SearchSpace
    augment: Callable[[NetworkDesign, int], Augment]
    """A design's augmentation, with a seed."""
    budget: Budget
    seed: int
    data: str
    """Says which data these are, as the key of the training does."""

    @cached_property
    def study(self) -> str:
        """Where in the lake the study lies."""
        config, fixed = space_config(self.space)  # what is not searched stands in every design
        asked = [config, fixed.hyperparameters, asdict(self.budget), self.data, self.seed]
        question = json.dumps(asked, sort_keys=True)
        return f"studies/{hashlib.sha256(question.encode()).hexdigest()[:16]}"

    def run(
        self,
        *,
        min_completed: int,
        start: Mapping[str, Hyperparameter | None] | None = None,
        host: str = "",
        port: int = 0,
    ) -> SearchResult:
        """Search until the budget is spent.

        Args:
            min_completed: Trials that must complete.
            start: A stored design, perhaps of another version. It is tried first where the space holds it.
            host: An address of this machine, where other processes may get trials (`help`); empty for none.
            port: The port there; 0 for any free one.

        Returns:
            The completed trials.

        Raises:
            TrainingError: Fewer trials completed, or several failed in a row.
        """
        with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder, ExitStack() as serving:
            state = SearchState(self.lake, self.study, Path(folder))
            state.restore(start)
            tuner = make_tuner(self._model(), state, self.seed)
            tuner.save()
            oracle = tuner.oracle
            if oracle.end_order:
                log.info("the search goes on after %d trials that finished before", len(oracle.end_order))
            if host:
                servicer = serving.enter_context(serve(oracle, self.lake, self.study, host, port))
                tuner.between_trials = servicer.between_trials
            tuner.search(epochs=self.budget.search_epochs, verbose=0)
            serving.close()
            if oracle.failure:
                raise TrainingError(f"the search broke off: {oracle.failure}")
            done = [one for one in oracle.trials.values() if one.status == "COMPLETED" and one.score is not None]
            if len(done) < min_completed:
                raise TrainingError(
                    f"only {len(done)} of {len(oracle.trials)} trials completed, {min_completed} are needed: "
                    "see the log"
                )
            state.finish()
        return SearchResult(tuple(self._trial(one, state) for one in sorted(done, key=lambda trial: trial.score)))

    def help(self, worker: str, patience: float) -> int:
        """Run trials for the chief of this search, until the search is finished.

        Args:
            worker: A name that no other worker has.
            patience: Seconds without a chief after which to give up.

        Returns:
            How many trials this process ran.
        """
        ran, since = 0, time.monotonic()
        while time.monotonic() - since < patience and not SearchState.finished(self.lake, self.study):
            chief = find_chief(self.lake, self.study)
            if chief:
                trials, answered = self._help_chief(chief, worker)
                ran += trials
                since = time.monotonic() if answered else since
            time.sleep(IDLE_INTERVAL if chief else POLL_INTERVAL)
        return ran

    def _help_chief(self, chief: ChiefAddress, worker: str) -> tuple[int, bool]:
        """Run trials for one chief. Returns their number, and whether the chief answered to the end."""
        with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
            state = SearchState(self.lake, self.study, Path(folder))
            tuner = make_tuner(self._model(), state, self.seed, worker)
            tuner.between_trials = lambda: time.sleep(IDLE_INTERVAL)
            with connected(tuner, chief.address, chief.token) as client:
                try:
                    with heartbeat(client, worker):
                        tuner.search(epochs=self.budget.search_epochs, verbose=0)
                    return tuner.ran, True
                except grpc.RpcError as error:
                    log.warning("the chief of the search, at %s, does not answer: %s", chief.address, error)
                    return tuner.ran, False

    def _model(self) -> DesignHyperModel:
        return DesignHyperModel(self.train_val, self.space, self.augment, self.budget)

    def _trial(self, trial: Any, state: SearchState) -> Trial:
        stats, values = state.trial_stats[trial.trial_id], trial.hyperparameters
        epochs = int(values.values.get("tuner/epochs", self.budget.search_epochs))
        return Trial(trial.trial_id, float(trial.score), epochs, stats.seconds, stats.worker, self.space(values))
