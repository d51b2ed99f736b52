"""The weekly DAG of a whole Airflow, whose trainings are pods of a real cluster; what `test_cluster` needs, this does.

Airflow starts again while pods run, a task is cleared, a run is ended by hand.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from osteon.embedded.run import DAG_ID, AirflowClient
from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.registry.versions import champion
from osteon.runs import Run
from tests.conftest import fresh_settings
from tests.dags.test_cluster import kubectl, namespace, none_left, trained_in_pods

__all__ = ["namespace"]  # a fixture
pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1500)]
RUNS = f"/dags/{DAG_ID}/dagRuns"


class Weekly:
    """A whole stack, and what a person may do with its weekly DAG."""

    def __init__(self, stack: Stack, pods: Callable[[], list[dict[str, Any]]]) -> None:
        self.stack, self.pods = stack, pods
        self.sources = stack.home / "sources.yaml"
        entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 150, "longer_side": [60, 80]}
        self.sources.write_text(yaml.safe_dump({"sources": [{**entry, "parts": ["hand", "spine", "hip"]}]}))
        self.log_in()
        self.airflow.wait_for_dag(DAG_ID)
        self.airflow.call("PATCH", f"/dags/{DAG_ID}", {"is_paused": False})

    def log_in(self) -> None:
        self.airflow = AirflowClient(self.stack.urls()["airflow"], *self.stack.login())

    def trigger(self, **form: Any) -> str:
        conf = {"sources": str(self.sources), "budget": "smoke", "ask": False, **form}
        return str(self.airflow.call("POST", RUNS, {"logical_date": None, "conf": conf})["dag_run_id"])

    def state(self, run: str) -> str:
        return str(self.airflow.call("GET", f"{RUNS}/{run}")["state"])

    def log(self, run: str, task: str) -> str:
        """Of the first try of a mapped task's first."""
        return str(self.airflow.call("GET", f"{RUNS}/{run}/taskInstances/{task}/logs/1?map_index=0"))

    def running(self, task: str) -> dict[str, Any] | None:
        """The pod of a task that runs now."""
        found = [pod for pod in self.pods() if pod["metadata"]["labels"]["task_id"] == task]
        return next((pod for pod in found if pod["status"]["phase"] == "Running"), None)


@pytest.fixture(scope="module")
def weekly(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weekly]:
    stack = Stack(fresh_settings(tmp_path_factory.mktemp("weekly")))
    with pytest.MonkeyPatch.context() as patch, trained_in_pods(
        namespace, stack.applied_settings(), patch, POD_CPU="300m", POD_MEMORY="2Gi"
    ) as pods:  # fmt: skip
        stack.up()
        try:
            yield Weekly(stack, pods)
        finally:
            stack.down()


def until(found: Callable[[], Any], what: str, seconds: float = 600) -> Any:
    """What `found` gives, as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(1)
    return value


@pytest.fixture
def watched(namespace: str, tmp_path: Path) -> Iterator[Callable[[], list[list[str]]]]:
    """`kubectl get pods --watch`. Gives what it said so far: uid, task, index and phase of pods."""
    labels = "TASK:.metadata.labels.task_id,INDEX:.metadata.labels.map_index"
    command = ["kubectl", "get", "pods", "-n", namespace, "--watch", "--no-headers"]
    command += ["-o", f"custom-columns=UID:.metadata.uid,{labels},PHASE:.status.phase"]
    path = tmp_path / "pods"
    with path.open("w") as file, subprocess.Popen(command, stdout=file) as process:
        yield lambda: [line.split() for line in path.read_text().splitlines()]
        process.terminate()


def test_the_weekly_dag_trains_in_pods_while_airflow_starts_again(weekly: Weekly, watched: Any) -> None:
    run = weekly.trigger(workers=3)
    until(lambda: weekly.running("train") and weekly.running("help_search"), "training and helper")
    until(lambda: "[base] INFO" in weekly.log(run, "train"), "line of the pod in its task's log", 120)
    assert weekly.running("train"), "the log is told while the pod runs"
    supervisor = psutil.Process(int((weekly.stack.home / "supervisord.pid").read_text()))
    for name in ("triggerer", "scheduler"):
        (part,) = (child for child in supervisor.children() if name in child.cmdline())
        part.kill()
        psutil.wait_procs([part], timeout=30)
    assert weekly.stack.up() == ["airflow"]
    weekly.log_in()
    until(lambda: weekly.state(run) in ("success", "failed"), "end of the run", 900)
    assert weekly.state(run) == "success"

    assert none_left(weekly.pods)
    trained = Counter((task, index) for _, task, index in {tuple(line[:3]) for line in watched()})
    tasks = {"train": 1, "train_rivals": 3, "help_search": 2}
    one_each = Counter((task, str(index)) for task, count in tasks.items() for index in range(count))
    assert trained == one_each, "each was trained in one pod"
    settings = weekly.stack.applied_settings()
    lake = Lake.from_settings(settings)
    summary = lake.get_json(f"{Run(lake, run).prefix}/summary.json")
    trials = summary["models"]["cnn_bilstm"]["trials"]
    assert len({trial["trial"] for trial in trials}) == len(trials) == 3
    assert {trial["worker"] for trial in trials} > {"tuner0"}, "pods that help ran trials"
    assert summary["registered"] == {**summary["registered"], "version": "1", "alias": "champion"}
    held = champion(settings, settings.model_name)
    assert held is not None and held.version == "1"


def test_pods_go_when_their_task_is_cleared_or_their_run_is_ended(weekly: Weekly, namespace: str) -> None:
    run = weekly.trigger(force_retrain=True)
    first = until(lambda: weekly.running("train"), "training")["metadata"]["uid"]

    def gone() -> bool:
        return first not in [pod["metadata"]["uid"] for pod in weekly.pods()]

    clear = {"dry_run": False, "dag_run_id": run, "task_ids": ["train"], "only_failed": False}
    cleared = weekly.airflow.call("POST", f"/dags/{DAG_ID}/clearTaskInstances", clear)
    assert [task["task_id"] for task in cleared["task_instances"]] == ["train"]
    until(gone, "removal of the cleared task's pod", 120)
    until(lambda: weekly.running("train"), "training anew")
    weekly.airflow.call("PATCH", f"{RUNS}/{run}", {"state": "failed"})
    assert none_left(weekly.pods)
    assert kubectl("get", "pods", "-n", namespace, "-o", "name") == ""
