"""Training in pods of a real cluster: what goes well, what goes wrong, and that nothing is left.

Runs where KUBECONFIG names a cluster whose nodes hold the image OSTEON_TEST_IMAGE, and whose pods reach this machine at
OSTEON_TEST_HOST. Everything is made in a namespace of its own, which is removed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT
from osteon.settings import ROOT, Settings

pytestmark = pytest.mark.kubernetes
IMAGE = os.environ.get("OSTEON_TEST_IMAGE", "osteon-trainer:latest")
HOST = os.environ.get("OSTEON_TEST_HOST", "10.244.0.1")


def kubectl(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


class Relay(socketserver.ThreadingTCPServer):
    """Passes connections from an address that pods reach on to a server that listens on loopback only."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), socketserver.BaseRequestHandler)
        self.port = port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as server:
            back = threading.Thread(target=_pass, args=(server, request), daemon=True)
            back.start()
            _pass(request, server)
            back.join()


def _pass(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace for training pods, beside it one for Airflow (`-airflow`), and the rights of `deploy/kubernetes`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    name = f"osteon-test-{uuid.uuid4().hex[:8]}"
    rbac = (ROOT / "deploy" / "kubernetes" / "rbac.yaml").read_text()
    rbac = rbac.replace("namespace: osteon}", f"namespace: {name}-airflow}}")
    for one in (name, f"{name}-airflow"):
        kubectl("create", "namespace", one)
    kubectl("apply", "-f", "-", text=rbac.replace("namespace: osteon-training}", f"namespace: {name}}}"))
    yield name
    kubectl("delete", "namespace", name, f"{name}-airflow")


@pytest.fixture
def pods(
    namespace: str,
    stack: Stack,
    settings: Settings,
    airflow: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Airflow's environment for training in pods. Gives what lists the namespace's pods."""
    values = {"S3_BUCKET": settings.s3_bucket, "STATE_DIR": str(settings.state_dir), "MODEL_NAME": settings.s3_bucket}
    for name, value in values.items():
        monkeypatch.setenv(f"OSTEON_{name}", value)
    with trained_in_pods(namespace, settings, monkeypatch) as found:
        yield found


@contextmanager
def trained_in_pods(
    namespace: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, **changes: str
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The environment of an Airflow that trains in pods, which reach the settings' lake. Gives what lists the pods."""
    port = int(settings.s3_endpoint.rsplit(":", 1)[1])
    files = {"osteon_s3_access_key": settings.s3_access_key}
    files["osteon_s3_secret_key"] = settings.s3_secret_key.get_secret_value()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "osteon-lake"}, "stringData": files}
    kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(secret))
    values = {
        "BOOTSTRAP_ROUNDS": "20", "MIN_BASELINE_IMAGES": "40", "TRAINER": "kubernetes",
        "POD_NAMESPACE": namespace, "POD_IMAGE": IMAGE, "POD_GPUS": "0", "POD_CPU": "1", "POD_MEMORY": "3Gi",
        "POD_DISK": "4Gi", "POD_SHARED_MEMORY": "64Mi", "POD_SETTINGS": json.dumps({"s3_endpoint": f"http://{HOST}:{port}"}),
    }  # fmt: skip
    for name, value in (values | changes).items():
        monkeypatch.setenv(f"OSTEON_{name}", value)
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", '{"conn_type": "kubernetes"}')  # KUBECONFIG says where
    with Relay(port) as relay:
        yield lambda: json.loads(kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
        relay.shutdown()
    kubectl("delete", "pods", "-n", namespace, "--all", "--force", "--grace-period=0")


@pytest.fixture
def snapshot(pods: Any, tmp_path: Path) -> str:
    """The key of phantoms, split."""
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 150, "longer_side": [60, 80]}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": [{**entry, "parts": ["hand", "spine", "hip"]}]}))
    return prepare(Context.open("prepared"), str(sources), INSPECT, REPAIR, GROUP, REVIEW, SPLIT, seed=0)


def train(
    catalog: str, folder: Path, monkeypatch: pytest.MonkeyPatch, model: str = "cnn_plain", retries: int = 0
) -> tuple[str, list[tuple[str, str]]]:
    """One training of the DAG's kind. Gives its task's state, and kind and text of the errors of its tries."""
    from airflow.dag_processing.dagbag import DagBag

    dags, errors = ROOT / "tests" / "dags" / "cluster", folder / "errors"
    errors.write_text("")
    monkeypatch.setenv("OSTEON_TEST_ERRORS", str(errors))
    monkeypatch.setenv("OSTEON_TEST_RETRIES", str(retries))
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(dags))
    bag = DagBag(str(dags))
    assert bag.import_errors == {}
    result = bag.dags["trains"].test(
        run_conf={"catalog": catalog, "model": model, "sources": str(folder / "sources.yaml")}
    )
    (state,) = (str(one.state) for one in result.get_task_instances() if one.task_id == "train")
    return state, [tuple(json.loads(line)) for line in errors.read_text().splitlines()]


def test_airflow_may_handle_training_pods_its_scheduler_pods_of_tasks_and_nobody_anything_else(namespace: str) -> None:
    own = {"selfsubjectaccessreviews.authorization.k8s.io", "selfsubjectrulesreviews.authorization.k8s.io"}

    def allowed(account: str, place: str) -> dict[str, set[str]]:
        listed = kubectl("auth", "can-i", "--list", "-n", place, f"--as=system:serviceaccount:{account}")
        lines = [line for line in listed.splitlines()[1:] if not line.startswith(("/", " ")) and "[" in line]
        found = {line.split()[0]: set(re.findall(r"[a-z]+", line.rsplit("[", 1)[1])) for line in lines}
        return {name: verbs for name, verbs in found.items() if name not in own}

    handle = {"pods": {"create", "get", "list", "watch", "patch", "delete"}}
    observe = {"pods/log": {"get"}, "events": {"list", "watch"}}
    airflow, scheduler = f"{namespace}-airflow:osteon-airflow", f"{namespace}-airflow:osteon-scheduler"
    assert allowed(airflow, namespace) == handle | observe
    assert allowed(scheduler, f"{namespace}-airflow") == handle
    for account, place in ((airflow, f"{namespace}-airflow"), (scheduler, namespace), (airflow, "default")):
        assert allowed(account, place) == {}, (account, place)
    assert allowed(f"{namespace}:osteon-trainer", namespace) == {}


def test_a_training_in_a_pod_leaves_its_result_in_the_lake_and_no_pod(
    snapshot: str, pods: Any, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(snapshot, tmp_path, monkeypatch) == ("success", [])
    (key,) = (key for key in lake.keys("models/cnn_plain/") if key.endswith("result.json"))
    assert lake.get_json(key)["n_train"] > 0
    assert none_left(pods)
    start = time.monotonic()
    assert train(snapshot, tmp_path, monkeypatch) == ("success", []) and time.monotonic() - start < 20, (
        "no pod is needed"
    )


def test_what_osteon_says_is_wrong_stands_in_the_error_and_is_not_tried_again(
    snapshot: str, pods: Any, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = json.loads(os.environ["OSTEON_POD_SETTINGS"]) | {"s3_bucket": f"{settings.s3_bucket}-empty"}
    monkeypatch.setenv("OSTEON_POD_SETTINGS", json.dumps(seen))
    state, (error,) = train(snapshot, tmp_path, monkeypatch, retries=2)
    kind, text = error
    assert (state, kind) == ("failed", "TrainingError")
    assert "exit status 1" in text and "osteon: " in text.splitlines()[-1] and snapshot in text.splitlines()[-1]
    assert none_left(pods)


def test_a_pod_waits_while_the_quota_is_used_up(
    snapshot: str, pods: Any, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps(quota))
    monkeypatch.setattr("osteon_airflow.pods.QUOTA_PAUSE", timedelta(seconds=5))
    freed = threading.Timer(20, kubectl, ("delete", "resourcequota", "full", "-n", namespace))
    freed.start()
    start = time.monotonic()
    try:
        assert train(snapshot, tmp_path, monkeypatch) == ("success", []) and time.monotonic() - start > 20
    finally:
        freed.join()
    assert none_left(pods)


def test_a_pod_that_takes_too_much_memory_is_named_so_and_tried_again(
    snapshot: str, pods: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTEON_POD_MEMORY", "150Mi")
    state, errors = train(snapshot, tmp_path, monkeypatch, retries=1)
    assert state == "failed" and len(errors) == 2 and none_left(pods)
    assert all(kind == "TrainingInterruptedError" and "OOMKilled" in text for kind, text in errors)


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [("POD_IMAGE", "osteon-that-nobody-built:1", "osteon-that-nobody-built"), ("POD_GPUS", "99", "nvidia.com/gpu")],
    ids=["image", "gpu"],
)
def test_a_pod_that_cannot_start_says_why(
    setting: str, value: str, told: str, snapshot: str, pods: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OSTEON_{setting}", value)
    monkeypatch.setenv("OSTEON_POD_START_MINUTES", "0.5")
    monkeypatch.setenv("OSTEON_POD_QUEUE_HOURS", "0.01")
    state, (error,) = train(snapshot, tmp_path, monkeypatch)
    assert state == "failed" and told in error[1]
    assert none_left(pods)


def drain(pod: dict[str, Any]) -> None:
    node, selector = pod["spec"]["nodeName"], f"--pod-selector=dag_id={pod['metadata']['labels']['dag_id']}"
    try:
        kubectl("drain", node, selector, "--delete-emptydir-data", "--force", "--ignore-daemonsets", "--grace-period=1")
    finally:
        kubectl("uncordon", node)


def fill_memory(pod: dict[str, Any]) -> None:
    """What lies in shared memory counts towards the limit, and no process can be ended for it but the one that trains.

    That ends the command as well, sooner or later.
    """
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    fill = ["dd", "if=/dev/zero", "of=/dev/shm/fill", "bs=1M"]
    subprocess.run(["kubectl", "exec", name, "-n", namespace, "--", *fill], capture_output=True, check=False)


def lose(pod: dict[str, Any]) -> None:
    """As Kubernetes removes the pods of a node that is gone: nobody tells the container."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    kubectl("delete", "pod", name, "-n", namespace, "--force", "--grace-period=0")


@pytest.mark.parametrize(("breaks", "told"), [(drain, ""), (fill_memory, "OOMKilled"), (lose, "")])
def test_a_search_goes_on_after_its_pod_broke_off(
    breaks: Callable[[dict[str, Any]], None],
    told: str,
    snapshot: str,
    pods: Any,
    lake: Lake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MEMORY", "SHARED_MEMORY"):
        monkeypatch.setenv(f"OSTEON_POD_{name}", "1500Mi")
    finished: dict[str, Any] = {}

    def break_off() -> None:
        while not (states := [key for key in lake.keys("studies/") if key.endswith("state.json")]):
            time.sleep(1)
        (pod,) = pods()
        finished.update(lake.get_json(states[0])["told"])
        breaks(pod)

    breaking = threading.Thread(target=break_off, daemon=True)
    breaking.start()
    state, errors = train(snapshot, tmp_path, monkeypatch, "cnn_bilstm", retries=2)
    breaking.join(10)
    assert state == "success" and [kind for kind, _ in errors] == ["TrainingInterruptedError"]
    assert told in errors[0][1]
    (key,) = (key for key in lake.keys("models/cnn_bilstm/") if key.endswith("result.json"))
    trials = {trial["trial"]: trial for trial in lake.get_json(key)["trials"]}
    assert finished and len(trials) > len(finished)
    ran = {name: {what: trials[name][what] for what in told} for name, told in finished.items()}
    assert ran == finished, "no finished trial ran again: its seconds would be others"
    assert none_left(pods)


def none_left(pods: Callable[[], Sequence[object]]) -> bool:
    """Whether all pods go; Kubernetes takes some seconds to remove what was deleted."""
    deadline = time.monotonic() + 60
    while pods() and time.monotonic() < deadline:
        time.sleep(1)
    return not pods()
