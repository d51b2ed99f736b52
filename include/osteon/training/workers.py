"""Several processes at one search: the chief's oracle answers over gRPC, and whoever asks it runs the next trial.

The chief runs trials as if it were alone. It writes its address and a token into the lake: only who reads the lake gets
an answer. What is sent is not encrypted.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from pydantic import BaseModel

from osteon.lake import Lake
from osteon.models.space import SearchSpace
from osteon.training.tuner import (
    TOKEN,
    OracleClient,
    OracleSuggester,
    PersistentOracleMixin,
    Servicer,
    connected,
    start_server,
)

IDLE_INTERVAL = 0.5
"""Seconds between questions while there is nothing to do."""
HEARTBEAT_INTERVAL = 10.0
WORKER_TIMEOUT = 60.0
"""Seconds without a heartbeat until a worker is lost."""
POLL_INTERVAL = 3.0
"""Seconds between looks into the lake for a chief, while there is none."""


class ChiefAddress(BaseModel):
    """Where the chief of a search answers."""

    address: str
    """`host:port`"""
    token: str


class ChiefServicer(Servicer):
    """The service of a chief, which gives back the trials of lost workers and waits for workers at the end."""

    oracle: PersistentOracleMixin

    def between_trials(self) -> None:
        """Give back the trials of lost workers. The chief calls it before it asks for its next trial."""
        if not self.oracle.ongoing_trials:
            return
        time.sleep(IDLE_INTERVAL)
        for worker in list(self.oracle.ongoing_trials):
            if time.monotonic() - self.last_seen[worker] > WORKER_TIMEOUT:
                self.oracle.release(worker)

    def wait_for_workers(self) -> None:
        """Wait until all workers asked once more and heard that the search is over, for a few seconds at most."""
        end = time.monotonic() + 10 * IDLE_INTERVAL
        while self.oracle.tuner_ids and time.monotonic() < end:
            time.sleep(IDLE_INTERVAL)


class TokenAuthInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without the token."""

    def __init__(self, token: str) -> None:
        self.token = token

    def intercept_service(self, continuation: Any, call: Any) -> Any:
        """Pass the call on, or refuse it with UNAUTHENTICATED."""
        given = dict(call.invocation_metadata).get(TOKEN, "")
        if secrets.compare_digest(given, self.token):
            return continuation(call)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token of the search is wrong")
        )


@contextmanager
def serve(suggester: OracleSuggester, lake: Lake, study: str, host: str, port: int) -> Iterator[None]:
    """Let others run trials of `suggester`, at `host`, an address of this machine, and `port`, or any free one if 0."""
    servicer, token = ChiefServicer(suggester.oracle), secrets.token_hex(20)
    suggester.between_trials = servicer.between_trials
    server, bound = start_server(servicer, f"{host}:{port}", TokenAuthInterceptor(token))
    lake.put_json(_key(study), ChiefAddress(address=f"{host}:{bound}", token=token).model_dump())
    try:
        yield
        servicer.wait_for_workers()
    finally:
        lake.put_json(_key(study), None)
        server.stop(grace=None)


@contextmanager
def follow(chief: ChiefAddress, space: SearchSpace, epochs: int, worker: str) -> Iterator[OracleSuggester]:
    """Get trials from the chief of a search. Raises `grpc.RpcError` where it does not answer."""
    with connected(chief.address, chief.token, worker) as client, heartbeat(client, worker):
        suggester = OracleSuggester(client, space, epochs, worker)
        suggester.between_trials = lambda: time.sleep(IDLE_INTERVAL)
        yield suggester


def find_chief(lake: Lake, study: str) -> ChiefAddress | None:
    """Where the chief of a search answers, if there is one."""
    found = lake.get_json(_key(study)) if lake.exists(_key(study)) else None
    return ChiefAddress.model_validate(found) if found else None


def _key(study: str) -> str:
    return f"{study}/leader.json"


@contextmanager
def heartbeat(client: OracleClient, worker: str) -> Iterator[None]:
    """Ask again and again for the trial that is being run: the chief answers with the same, and notes the time."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(HEARTBEAT_INTERVAL):
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
