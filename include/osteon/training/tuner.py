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
import keras
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from osteon.models import network
from osteon.models.design import NetworkDesign
from osteon.models.space import Budget, SearchSpace
from osteon.training.augment import Augment
from osteon.training.fit import TrainValData, dataset
from osteon.training.search_state import SearchState

log = logging.getLogger(__name__)
MAX_CONSECUTIVE_FAILURES = 3
CALL_TIMEOUT = 30.0
"""Seconds until a chief's answer is no longer waited for."""
TOKEN = "osteon-token"  # noqa: S105 - the name of a field
"""The gRPC metadata that holds a search's token."""

Method = TypeVar("Method", bound=Callable[..., Any])


def synchronized(method: Method) -> Method:
    """KerasTuner's lock around a method of an oracle, typed."""
    locked: Method = keras_tuner.synchronized(method)
    return locked


class DesignHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]
    """Builds and fits the designs that a search suggests."""

    def __init__(
        self,
        train_val: Callable[[NetworkDesign], TrainValData],
        space: SearchSpace,
        augment: Callable[[NetworkDesign, int], Augment],
        budget: Budget,
    ) -> None:
        super().__init__()
        self.train_val, self.space, self.augment, self.budget = train_val, space, augment, budget
        self.seed = 0

    def build(self, hp: Any) -> Any:
        """Build the network of a trial, with the weights of its seed."""
        design = self.space(hp)
        train_val = self.train_val(design)
        keras.utils.set_random_seed(self.seed)
        return network.build(design, train_val.shape, train_val.classes)

    def fit(self, hp: Any, model: Any, **keywords: Any) -> Any:
        """Fit it. Returns Keras' history."""
        design = self.space(hp)
        train_val = self.train_val(design)
        train = dataset(train_val, train_val.train, self.budget.batch, self.seed, self.augment(design, self.seed))
        val = dataset(train_val, train_val.val, 128)
        return model.fit(train, validation_data=val, **keywords)


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
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "RUNNING":
            self.state.started_at.setdefault((trial.trial_id, tuner_id), time.monotonic())
        elif trial.status == "STOPPED" and self.ongoing_trials and not self.failure:
            trial.status = "IDLE"  # the chief of a random search would leave before the others' last trials ended
            self.tuner_ids.add(tuner_id)
        return trial

    @synchronized
    def end_trial(self, trial: Any) -> None:
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
        return {"status": "STOPPED"} if self.failure else super().populate_space(trial_id)  # type: ignore[misc]


class HyperbandOracle(PersistentOracleMixin, keras_tuner.oracles.HyperbandOracle):  # type: ignore[misc]
    """Hyperband (Li et al., JMLR 18, 2018)."""


class RandomSearchOracle(PersistentOracleMixin, keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Random search."""


class SeededTunerMixin:
    """A tuner that seeds each trial by its number, and shares its weights with trials that go on from it."""

    state: SearchState
    first_seed: int
    hypermodel: Any
    ran = 0
    """Trials so far."""

    @staticmethod
    def between_trials() -> None:
        """Called before the tuner asks for a trial."""

    def pre_create_trial(self) -> None:
        super().pre_create_trial()  # type: ignore[misc]
        self.between_trials()

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> Any:
        if before := trial.hyperparameters.values.get("tuner/trial_id"):
            self.state.get_weights(before)
        self.hypermodel.seed = self.first_seed + int(trial.trial_id)
        return super().run_trial(trial, *arguments, **keywords)  # type: ignore[misc]

    def on_trial_end(self, trial: Any) -> None:
        self.state.put_weights(trial.trial_id)
        self.ran += 1
        super().on_trial_end(trial)  # type: ignore[misc]


class HyperbandTuner(SeededTunerMixin, keras_tuner.Hyperband):  # type: ignore[misc]
    """Goes on from the weights of an earlier round."""

    def __init__(self, oracle: HyperbandOracle, model: DesignHyperModel, **keywords: str) -> None:
        keras_tuner.Tuner.__init__(self, oracle=oracle, hypermodel=model, **keywords)


class RandomSearchTuner(SeededTunerMixin, keras_tuner.Tuner):  # type: ignore[misc]
    """Fits each design from its first epoch on."""


def make_tuner(model: DesignHyperModel, state: SearchState, seed: int, worker: str = "tuner0") -> Any:
    """Make the tuner of a search: a Hyperband, or a random search where the budget counts trials.

    Args:
        model: What builds and fits a design.
        state: The search's state; a project that lies in its folder is resumed.
        seed: Of the designs that are drawn; of trials the first.
        worker: Name of this process, which no other has.
    """
    budget = model.budget
    common = {
        "objective": keras_tuner.Objective("val_loss", "min"),
        "seed": seed + 1,  # KerasTuner takes 0 for "any"
        "max_consecutive_failed_trials": sys.maxsize,  # it would raise in whoever ended the trial, and keep its lock
    }
    if budget.trials is None:
        oracle: Any = HyperbandOracle(max_epochs=budget.search_epochs, factor=budget.factor, **common)
        kind: Any = HyperbandTuner
    else:
        oracle, kind = RandomSearchOracle(max_trials=budget.trials, **common), RandomSearchTuner
    oracle.state, oracle.space = state, model.space
    project = {"directory": str(state.folder.parent), "project_name": state.folder.name}
    tuner = kind(oracle, model, tuner_id=worker, **project)
    tuner.state, tuner.first_seed = state, seed * 10_000
    return tuner


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

    def __init__(self, oracle: Any, channel: grpc.Channel, worker: str) -> None:
        self._oracle, self.tuner_id = oracle, worker
        self.stub = protos.get_service_grpc().OracleStub(channel)
        self.multi_worker, self.should_report = False, True
        self.verbose = 0

    def save(self) -> None:
        """Do nothing: the chief saves its oracle."""


@contextmanager
def connected(tuner: Any, address: str, token: str) -> Iterator[OracleClient]:
    """Let a tuner get its trials from the chief at `address` (`host:port`)."""
    with grpc.insecure_channel(address) as channel:
        authorised = grpc.intercept_channel(channel, _Authorised(token))
        tuner.oracle = OracleClient(tuner.oracle, authorised, tuner.tuner_id)
        yield tuner.oracle
