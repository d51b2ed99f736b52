"""Architecture search, saved in the lake after every trial. Only trials that completed count.

Which design comes next, a `Suggester` says: `osteon.training.tuner`.
"""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc

from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models import network
from osteon.models.design import Hyperparameter, NetworkDesign
from osteon.models.space import Budget, SearchSpace
from osteon.training.augment import Augment
from osteon.training.fit import TrainValData, dataset
from osteon.training.search_state import SearchState
from osteon.training.suggestions import EndedTrial, Outcome, Suggester, Suggestion
from osteon.training.tuner import make_suggester, space_config
from osteon.training.workers import IDLE_INTERVAL, POLL_INTERVAL, ChiefAddress, find_chief, follow, serve

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
        with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
            state = SearchState(self.lake, self.study, Path(folder))
            state.restore(start)
            suggester = make_suggester(self.space, self.budget, state, self.seed)
            with serve(suggester, self.lake, self.study, host, port) if host else nullcontext():
                ran = sum(1 for _ in self._run_trials(suggester, state))
            log.info("this process ran %d trials of the search", ran)
            trials = suggester.finish()
            done = [(trial.loss, trial) for trial in trials if trial.loss is not None]
            if len(done) < min_completed:
                raise TrainingError(
                    f"only {len(done)} of {len(trials)} trials completed, {min_completed} are needed: see the log"
                )
            state.finish()
        return SearchResult(tuple(_trial(loss, one, state) for loss, one in sorted(done, key=lambda pair: pair[0])))

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
        ran = 0
        with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
            state = SearchState(self.lake, self.study, Path(folder))
            try:
                with follow(chief, self.space, self.budget.search_epochs, worker) as suggester:
                    for _ in self._run_trials(suggester, state):
                        ran += 1
                return ran, True
            except grpc.RpcError as error:
                log.warning("the chief of the search, at %s, does not answer: %s", chief.address, error)
                return ran, False

    def _run_trials(self, suggester: Suggester, state: SearchState) -> Iterator[str]:
        """Run what is suggested, until the search is over. Yields the number of each trial that ended."""
        while suggestion := suggester.suggest():
            if suggestion.resumes is not None:
                state.get_weights(suggestion.resumes)
            try:
                outcome = self._run_trial(suggestion, state)
            except Exception:  # the suggester counts failures, and tells them
                outcome = Outcome(None, problem=traceback.format_exc())
            state.put_weights(suggestion.trial)
            suggester.report(suggestion, outcome)
            yield suggestion.trial

    def _run_trial(self, suggestion: Suggestion, state: SearchState) -> Outcome:
        begin = None if suggestion.resumes is None else state.weights_of(suggestion.resumes)
        seed = self.seed * 10_000 + int(suggestion.trial)
        losses = self.fit(
            suggestion.design,
            seed,
            epochs=range(suggestion.first_epoch, suggestion.epochs),
            begin=begin,
            best=state.weights_of(suggestion.trial),
        )
        return Outcome(min(losses), losses.index(min(losses)))

    def fit(
        self, design: NetworkDesign, seed: int, *, epochs: range, begin: Path | None = None, best: Path | None = None
    ) -> list[float]:
        """Fit a design on what the search learns from.

        Args:
            design: What is fitted.
            seed: Of its weights, and of the order and the changes of images.
            epochs: From the first to the last.
            begin: Weights to begin with.
            best: Where the weights of the epoch with the least validation loss go.

        Returns:
            The validation loss after each epoch.
        """
        import keras

        keras.backend.clear_session()
        gc.collect()
        train_val = self.train_val(design)
        keras.utils.set_random_seed(seed)
        model = network.build(design, train_val.shape, train_val.classes)
        if begin is not None:
            model.load_weights(begin)
        train = dataset(train_val, train_val.train, self.budget.batch, seed, self.augment(design, seed))
        history = model.fit(
            train,
            validation_data=dataset(train_val, train_val.val, 128),
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            callbacks=[] if best is None else [_keep_best(best)],
            verbose=0,
        )
        return [float(loss) for loss in history.history["val_loss"]]


def _keep_best(path: Path) -> Any:
    import keras

    path.parent.mkdir(parents=True, exist_ok=True)
    return keras.callbacks.ModelCheckpoint(
        path, monitor="val_loss", mode="min", save_best_only=True, save_weights_only=True
    )


def _trial(loss: float, trial: EndedTrial, state: SearchState) -> Trial:
    stats = state.trial_stats[trial.trial]
    return Trial(trial.trial, float(loss), trial.epochs, stats.seconds, stats.worker, trial.design)
