"""Run the weekly DAG in the embedded Airflow, watch it, and fetch what it left."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import BaseModel

from osteon.embedded.stack import Stack
from osteon.errors import OsteonError, ServiceError
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import run_all
from osteon.reports.summary import Summary, summary_key
from osteon.runs import Run
from osteon.settings import Settings

log = logging.getLogger(__name__)
DAG_ID = "xray_weekly"
KNOWN_WITHIN = 180.0
"""Seconds that Airflow has to parse the DAG."""


TOLD = ("success", "failed", "up_for_retry", "upstream_failed", "skipped")
"""States of a task that are logged."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run_id: str
    state: str
    summary: Summary | None
    failed: str
    """The failed tasks, or the error; empty where nothing failed."""
    places: dict[str, str] = field(default_factory=dict)
    """What it left on this machine, by what it is."""


class TaskInstance(BaseModel):
    """A task of a run, as Airflow's REST API tells it."""

    task_id: str
    map_index: int
    """Of a mapped task; -1 for any other."""
    state: str | None
    """None before the scheduler has looked at it."""

    @property
    def name(self) -> str:
        """The task, with its index where it is mapped."""
        return f"{self.task_id}[{self.map_index}]" if self.map_index >= 0 else self.task_id


class AirflowClient:
    """The few calls of Airflow's REST API that a run needs."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.session = requests.Session()
        token = self.session.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=30)
        token.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call Airflow's API.

        Args:
            method: Of HTTP.
            path: Below `/api/v2`.
            body: Sent as JSON.

        Returns:
            The answer's JSON.

        Raises:
            ServiceError: Airflow refused it.
        """
        answer = self.session.request(method, f"{self.url}/api/v2{path}", json=body, timeout=60)
        if not answer.ok:
            raise ServiceError(f"Airflow refused {method} {path} ({answer.status_code}): {answer.text[:500]}")
        return answer.json()

    def tasks(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """The task instances of a run."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500")
        return [TaskInstance.model_validate(item) for item in found["task_instances"]]

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until the DAG is parsed. Raises `ServiceError` with its import errors."""
        deadline = time.monotonic() + KNOWN_WITHIN
        while True:
            known = {dag["dag_id"] for dag in self.call("GET", "/dags")["dags"]}
            if dag_id in known:
                return
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors:
                raise ServiceError(f"the DAG cannot be imported:\n{errors[0]['stack_trace']}")
            if time.monotonic() > deadline:
                raise ServiceError(f"Airflow does not know the DAG {dag_id} after {KNOWN_WITHIN:.0f} s")
            time.sleep(1)


def run_dag(settings: Settings, conf: Mapping[str, Any]) -> Outcome:
    """Start what does not run, run the DAG to its end, and stop what was started for it."""
    stack = Stack(settings)
    started = stack.up()
    try:
        client = AirflowClient(stack.urls()["airflow"], *stack.login())
        client.wait_for_dag(DAG_ID)
        client.call("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})
        run_id = client.call("POST", f"/dags/{DAG_ID}/dagRuns", {"logical_date": None, "conf": dict(conf)})[
            "dag_run_id"
        ]
        log.info("run %s started", run_id)
        state = _watch(client, run_id)
        failed = ", ".join(task.name for task in client.tasks(DAG_ID, run_id) if task.state == "failed")
        applied = stack.applied_settings()
        lake = Lake.from_settings(applied)
        return _outcome(stack, lake, Run(lake, run_id), state, f"failed: {failed}" if failed else "")
    finally:
        stack.down(started)


def run_here(settings: Settings, conf: Mapping[str, Any]) -> Outcome:
    """Run all stages in this process, without Airflow. Where no lake is configured, the embedded one is used.

    Args:
        settings: Where the lake and MLflow are.
        conf: The same as `run_dag` takes. `ask` and `workers` have no effect: nobody is asked, one process searches.
    """
    stack = Stack(settings)
    started = [] if settings.s3_access_key else stack.up(("s3", "mlflow"))
    try:
        if not settings.s3_access_key:
            os.environ.update(stack.environment())
        run_id = f"local__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
        context, failed = Context.open(run_id), ""
        try:
            run_all(context, conf, conf["stop_after"])
        except OsteonError as error:
            failed = str(error)
        return _outcome(stack, context.lake, context.run, "failed" if failed else "success", failed)
    finally:
        stack.down(started)


def _watch(client: AirflowClient, run_id: str) -> str:
    """Log what becomes of the tasks until the run has ended. Returns its state."""
    seen: dict[str, str | None] = {}
    while True:
        state = str(client.call("GET", f"/dags/{DAG_ID}/dagRuns/{run_id}")["state"])
        for task in client.tasks(DAG_ID, run_id):
            if seen.get(task.name) != task.state and task.state in TOLD:
                log.info("%-24s %s", task.name, task.state)
            seen[task.name] = task.state
        if state in ("success", "failed"):
            return state
        time.sleep(1)


def _outcome(stack: Stack, lake: Lake, run: Run, state: str, failed: str) -> Outcome:
    """Read the summary and bring the report and the Data Docs to this machine, where a browser can open them."""
    summary = lake.find_model(Summary, summary_key(run))
    places = {"mails": str(stack.home / "mail"), "logs": str(stack.home / "airflow" / "logs")}
    if summary is not None:
        folder = stack.home / "reports" / run.prefix.rsplit("/", 1)[-1]
        folder.mkdir(parents=True, exist_ok=True)
        lake.get_folder(summary.report.rsplit("/", 1)[0], folder)
        places = {"report": str(folder / "index.html"), **places}
        if summary.data_docs:
            lake.get_folder(summary.data_docs, folder / "data-docs")
            places = {"data docs": str(folder / "data-docs" / "index.html"), **places}
    return Outcome(run.run_id, state, summary, failed, places)
