"""KerasTuner as Osteon uses it. No other module imports it; `tests/training/test_tuner.py` checks its private names."""

from __future__ import annotations

import logging
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from osteon.errors import TrainingError
from osteon.models.design import NetworkDesign
from osteon.models.space import Budget, SearchSpace
from osteon.training.search_state import SearchState
from osteon.training.suggestions import EndedTrial, Outcome, Suggestion

log = logging.getLogger(__name__)
MAX_CONSECUTIVE_FAILURES = 3
OBJECTIVE = "val_loss"
CALL_TIMEOUT = 30.0
"""Seconds until a chief's answer is no longer waited for."""
TOKEN = "osteon-token"  # noqa: S105 - the name of a field
"""The gRPC metadata that holds a search's token."""

Method = TypeVar("Method", bound=Callable[..., Any])


def synchronized(method: Method) -> Method:
    """KerasTuner's lock around a method of an oracle, typed."""
    locked: Method = keras_tuner.synchronized(method)
    return locked


class _Space(keras_tuner.HyperModel):  # type: ignore[misc]
    """Tells KerasTuner what may be chosen. It builds no network: the search does."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    def build(self, hp: Any) -> NetworkDesign:
        """Draw a design, by which KerasTuner learns what the space has."""
        return self.space(hp)


class PersistentOracleMixin:
    """An oracle that tries a given design first, keeps its state in the lake, and gives back trials of lost workers."""

    state: SearchState
    space: SearchSpace
    failure: str = ""
    """Why the search ends early."""
    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]
    trials: dict[str, Any]
    end_order: list[str]
    hyperparameters: Any
    _retry_queue: list[str]
    _duplicate: Callable[[dict[str, Any]], bool]

    def _random_values(self) -> dict[str, Any] | None:
        start = self.state.start
        if start is not None:
            space = self.hyperparameters.space
            values = {hp.name: start.get(hp.name) for hp in space}
            tried = self.hyperparameters.copy()
            tried.values = values
            design = self.space(tried).hyperparameters  # a value that another rules out does not come out as it went in
            known = all(values[hp.name] in hp.values and design[hp.name] == values[hp.name] for hp in space)
            if known and not self._duplicate(values):
                return values
        drawn: dict[str, Any] | None = super()._random_values()  # type: ignore[misc]
        return drawn

    @synchronized
    def create_trial(self, tuner_id: str) -> Any:
        """The next trial; an idle one while other workers run the last ones."""
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "RUNNING":
            self.state.started_at.setdefault((trial.trial_id, tuner_id), time.monotonic())
        elif trial.status == "STOPPED" and self.ongoing_trials and not self.failure:
            trial.status = "IDLE"  # the chief of a random search would leave before the others' last trials ended
            self.tuner_ids.add(tuner_id)
        return trial

    @synchronized
    def end_trial(self, trial: Any) -> None:
        """Take how a trial ended, and write the search's state into the lake."""
        number = trial.trial_id
        running = [worker for worker, one in self.ongoing_trials.items() if one.trial_id == number]
        if not running:  # of a worker that was given up: another runs it, or ran it
            return
        super().end_trial(trial)  # type: ignore[misc]
        self.save()  # type: ignore[attr-defined]  # KerasTuner did while the trial was still among the ongoing
        ended, stats = self.trials[number], self.state.end_trial(number, running[0])
        design = self.space(ended.hyperparameters).hyperparameters
        if ended.score is None:
            log.warning("trial %s failed: %s %s", number, design, ended.message)
        else:
            log.info("trial %s: validation loss %.3f, %.0f s, %s", number, ended.score, stats.seconds, design)
        last = [self.trials[one] for one in self.end_order[-MAX_CONSECUTIVE_FAILURES:]]
        if len(last) == MAX_CONSECUTIVE_FAILURES and all(one.status == "FAILED" for one in last):
            self.failure = f"{len(last)} trials failed in a row. The last one: {ended.message}"
        self.state.save()

    @synchronized
    def release(self, worker: str) -> None:
        """Let another worker run the trial of one that is lost."""
        if trial := self.ongoing_trials.pop(worker, None):
            log.warning("worker %s is lost; trial %s is run again", worker, trial.trial_id)
            self._retry_queue.append(trial.trial_id)
            self.tuner_ids.discard(worker)

    def populate_space(self, trial_id: str) -> Any:
        """Values for a new trial; none after too many failures."""
        return {"status": "STOPPED"} if self.failure else super().populate_space(trial_id)  # type: ignore[misc]


class HyperbandOracle(PersistentOracleMixin, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Hyperband (Li et al., JMLR 18, 2018)."""


class RandomSearchOracle(PersistentOracleMixin, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search."""


class OracleSuggester:
    """Suggests the trials of an oracle, of this process or of another.

    Args:
        oracle: KerasTuner's oracle, or a client of one.
        space: What designs are drawn from.
        epochs: Of a trial, where the oracle sets none.
        worker: Name of this process, which no other has.
    """

    def __init__(self, oracle: Any, space: SearchSpace, epochs: int, worker: str = "tuner0") -> None:
        self.oracle, self.space, self.epochs, self.worker = oracle, space, epochs, worker
        self.between_trials: Callable[[], None] = lambda: None
        """Called before the oracle is asked for a trial."""
        self._running: dict[str, Any] = {}

    def suggest(self) -> Suggestion | None:
        """The next trial; None when the search is over."""
        status = "IDLE"
        while status == "IDLE":
            self.between_trials()
            trial = self.oracle.create_trial(self.worker)
            status = trial.status
        if status == "STOPPED":
            return None
        self._running[trial.trial_id] = trial
        values = trial.hyperparameters.values
        first_epoch, resumes = values.get("tuner/initial_epoch", 0), values.get("tuner/trial_id")
        return Suggestion(trial.trial_id, self.space(trial.hyperparameters), self._epochs(trial), first_epoch, resumes)

    def report(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Take how a suggested trial ended."""
        trial = self._running.pop(suggestion.trial)
        if outcome.loss is None:
            trial.status, trial.message = "INVALID", outcome.problem
        else:
            self.oracle.update_trial(trial.trial_id, {OBJECTIVE: outcome.loss}, step=outcome.epoch)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)

    def finish(self) -> list[EndedTrial]:
        """All trials. Raises `TrainingError` where several failed in a row."""
        if self.oracle.failure:
            raise TrainingError(f"the search broke off: {self.oracle.failure}")
        return [self._ended(trial) for trial in self.oracle.trials.values()]

    def _ended(self, trial: Any) -> EndedTrial:
        loss = trial.score if trial.status == "COMPLETED" else None
        return EndedTrial(trial.trial_id, self.space(trial.hyperparameters), self._epochs(trial), loss)

    def _epochs(self, trial: Any) -> int:
        return int(trial.hyperparameters.values.get("tuner/epochs", self.epochs))


def make_suggester(space: SearchSpace, budget: Budget, state: SearchState, seed: int) -> OracleSuggester:
    """Lead a search: by Hyperband, or at random where the budget counts trials.

    Args:
        space: What designs are drawn from.
        budget: How many epochs and trials there are.
        state: The search's state; a project that lies in its folder is resumed.
        seed: Of the designs that are drawn.
    """
    common = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min"),
        "seed": seed + 1,  # KerasTuner takes 0 for "any"
        "max_consecutive_failed_trials": sys.maxsize,  # it would raise in whoever ended the trial, and keep its lock
    }
    if budget.trials is None:
        oracle: Any = HyperbandOracle(max_epochs=budget.search_epochs, factor=budget.factor, **common)
    else:
        oracle = RandomSearchOracle(max_trials=budget.trials, **common)
    oracle.state, oracle.space, oracle.verbose = state, space, 0
    project = {"directory": str(state.folder.parent), "project_name": state.folder.name}
    keras_tuner.Tuner(oracle, _Space(space), **project).save()  # it reads a project, or begins one
    if oracle.end_order:
        log.info("the search goes on after %d trials that finished before", len(oracle.end_order))
    return OracleSuggester(oracle, space, budget.search_epochs)


def space_config(space: SearchSpace) -> tuple[list[Any], NetworkDesign]:
    """What a space may choose from, as KerasTuner writes it, and its first design, with what is not searched."""
    hyperparameters = keras_tuner.HyperParameters()
    design = space(hyperparameters)
    return hyperparameters.get_config()["space"], design


class Servicer(oracle_chief.OracleServicer):  # type: ignore[misc]
    """KerasTuner's gRPC service, which also notes when each worker was last seen."""

    def __init__(self, oracle: Any) -> None:
        super().__init__(oracle)
        self.last_seen: dict[str, float] = {}

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer a worker, and note that it lives."""
        self.last_seen[request.tuner_id] = time.monotonic()
        return super().CreateTrial(request, context)


def start_server(servicer: Servicer, address: str, interceptor: grpc.ServerInterceptor) -> tuple[grpc.Server, int]:
    """Start the service at `host:port`. Returns the server and its port: any free one where that was 0."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), interceptors=[interceptor])
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    return server, port


_Call = namedtuple("_Call", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"))


class _Authorised(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Sends the token with each call, and waits `CALL_TIMEOUT` instead of KerasTuner's hour."""

    def __init__(self, token: str) -> None:
        self.token = token

    def intercept_unary_unary(self, continuation: Any, call: Any, request: Any) -> Any:
        metadata = (*(call.metadata or ()), (TOKEN, self.token))
        details = _Call(call.method, CALL_TIMEOUT, metadata, call.credentials, call.wait_for_ready, call.compression)
        return continuation(details, request)


class OracleClient(oracle_client.OracleClient):  # type: ignore[misc]
    """An oracle in another process. KerasTuner's own constructor reads the address from the environment."""

    def __init__(self, channel: grpc.Channel, worker: str) -> None:
        self._oracle, self.tuner_id = None, worker
        self.stub = protos.get_service_grpc().OracleStub(channel)
        self.multi_worker, self.should_report = False, True
        self.verbose = 0

    def save(self) -> None:
        """Do nothing: the chief saves its oracle."""


@contextmanager
def connected(address: str, token: str, worker: str) -> Iterator[OracleClient]:
    """The oracle of the chief at `address` (`host:port`), for one worker."""
    with grpc.insecure_channel(address) as channel:
        yield OracleClient(grpc.intercept_channel(channel, _Authorised(token)), worker)
