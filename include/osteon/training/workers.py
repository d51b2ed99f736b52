"""Several processes at one search: KerasTuner's oracle answers over gRPC, and whoever asks it runs the next trial.

The process that leads the search runs trials as if it were alone, and says in the lake where it is to be reached, and
with which token: only who reads the lake is answered. What is said is not encrypted.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from osteon.lake import Lake

PAUSE, BEAT, SILENCE = 0.5, 10.0, 60.0
"""Seconds between questions while there is nothing to do; between signs of life; without one until a worker is lost."""
PATIENCE = 30.0
"""Seconds until a leader's answer is no longer waited for."""
LOOK = 3.0
"""Seconds between looks into the lake for a leader, while there is none."""

TOKEN = "osteon-token"
"""The gRPC metadata that holds a search's token."""


class SharedOracle(Protocol):
    """What is needed of a KerasTuner oracle here."""

    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]

    def release(self, worker: str) -> None: ...


class Servicer(oracle_chief.OracleServicer):  # type: ignore[misc]
    """KerasTuner's, which notes when it heard of a worker."""

    oracle: SharedOracle

    def __init__(self, oracle: SharedOracle) -> None:
        super().__init__(oracle)
        self.heard: dict[str, float] = {}

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.heard[request.tuner_id] = time.monotonic()
        return super().CreateTrial(request, context)

    def between_trials(self) -> None:
        """What the leader does before it asks for its next trial: give back those of lost workers."""
        if not self.oracle.ongoing_trials:
            return
        time.sleep(PAUSE)
        for worker in list(self.oracle.ongoing_trials):
            if time.monotonic() - self.heard[worker] > SILENCE:
                self.oracle.release(worker)

    def dismiss(self) -> None:
        """Wait until all workers asked once more and heard that the search is over, or were not heard of for long."""
        end = time.monotonic() + 10 * PAUSE
        while self.oracle.tuner_ids and time.monotonic() < end:
            time.sleep(PAUSE)


class Door(grpc.ServerInterceptor):  # type: ignore[misc]
    """Answers nobody who does not know the token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def intercept_service(self, continuation: Any, call: Any) -> Any:
        said = dict(call.invocation_metadata).get(TOKEN, "")
        if secrets.compare_digest(said, self.token):
            return continuation(call)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token of the search is wrong")
        )


@contextmanager
def serve(oracle: SharedOracle, lake: Lake, study: str, host: str, port: int) -> Iterator[Servicer]:
    """Answer workers at `host`, an address of this machine, and `port`, or any free one if that is 0."""
    servicer = Servicer(oracle)
    token = secrets.token_hex(20)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), interceptors=[Door(token)])
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"{host}:{port}")
    server.start()
    lake.put_json(_place(study), {"address": f"{host}:{bound}", "token": token})
    try:
        yield servicer
        servicer.dismiss()
    finally:
        lake.put_json(_place(study), None)
        server.stop(grace=None)


def leader(lake: Lake, study: str) -> dict[str, str] | None:
    """`address` (`host:port`) and `token` of the process that leads a search, if there is one."""
    found: dict[str, str] | None = lake.get_json(_place(study)) if lake.exists(_place(study)) else None
    return found


def _place(study: str) -> str:
    return f"{study}/leader.json"


@contextmanager
def asking(address: str, token: str, worker: str) -> Iterator[None]:
    """A tuner that is made in here gets its trials from the leader at `address`: KerasTuner reads the environment."""

    class Client(oracle_client.OracleClient):  # type: ignore[misc]
        def __init__(self, oracle: Any) -> None:
            super().__init__(oracle)
            for name, call in vars(self.stub).items():
                setattr(self.stub, name, partial(call, metadata=((TOKEN, token),)))

    host, _, port = address.rpartition(":")
    names = {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": port, "KERASTUNER_TUNER_ID": worker}
    before = oracle_client.TIMEOUT, oracle_client.OracleClient
    oracle_client.TIMEOUT, oracle_client.OracleClient = PATIENCE, Client
    os.environ.update(names)
    try:
        yield
    finally:
        oracle_client.TIMEOUT, oracle_client.OracleClient = before
        for name in names:
            del os.environ[name]


@contextmanager
def signs_of_life(client: Any, worker: str) -> Iterator[None]:
    """Ask again and again for the trial that is being run: the leader answers with the same, and hears of it."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(BEAT):
            try:
                client.create_trial(worker)
            except grpc.RpcError:
                return  # the search itself is about to find that out

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
