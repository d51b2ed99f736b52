"""The production shape: what `docker compose` would start, and the passwords that it would start it with."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import stat
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from osteon.settings import ROOT, Settings, load_settings

COMPOSE = ROOT / "docker-compose.yaml"
SECRET = re.compile(r"PASSWORD|SECRET|KEY")
ONCE = {"lake", "migrate"}
"""Services that do one thing and end."""


@pytest.fixture
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def env(folder: Path) -> dict[str, str]:
    """The passwords that `make_env` writes into a folder."""
    path = folder / ".env"
    runpy.run_path(str(ROOT / "docker" / "make_env.py"))["main"](path)
    made = dict(line.split("=", 1) for line in path.read_text().splitlines() if line)
    assert made.pop("OSTEON_CPUS") == str(os.cpu_count())
    assert datetime.fromisoformat(made.pop("OSTEON_SCHEDULED_FROM")) <= datetime.now(UTC)
    return made


def test_passwords_are_made_once_and_nobody_else_reads_them(tmp_path: Path) -> None:
    first = env(tmp_path)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert len(set(first.values())) == len(first) and all(len(value) >= 20 for value in first.values())
    assert env(tmp_path) == first, "a second call changes nothing"
    lines = (tmp_path / ".env").read_text().splitlines()
    (tmp_path / ".env").write_text("\n".join(line for line in lines if not line.startswith("PATIENT_KEY=")))
    second = env(tmp_path)
    assert second | {"PATIENT_KEY": ""} == first | {"PATIENT_KEY": ""} and len(second["PATIENT_KEY"]) >= 20
    (tmp_path / "other").mkdir()
    assert not set(env(tmp_path / "other").values()) & set(first.values())


def test_every_password_comes_from_the_file_and_a_missing_one_stops_it(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    made = env(tmp_path)
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                needed, optional = re.findall(r"\$\{(\w+):\?", value), re.findall(r"\$\{(OSTEON_\w+):-\}", value)
                assert (needed or optional) and set(needed) <= made.keys(), f"{name}: {variable}"
    used = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    assert used == made.keys()


def test_services_are_published_on_loopback_limited_and_watched(services: dict[str, dict[str, Any]]) -> None:
    waited_for = {other for one in services.values() for other in one.get("depends_on", {})}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert "healthcheck" in service or name in ONCE, name
    assert (
        "postgres" in waited_for and services["scheduler"]["depends_on"]["api-server"]["condition"] == "service_healthy"
    )


def test_settings_and_secrets_of_the_helm_values_are_those_that_there_are(
    services: dict[str, dict[str, Any]],
) -> None:
    text = (ROOT / "deploy" / "airflow-values.yaml").read_text()
    named = [entry["name"] for entry in yaml.safe_load(text)["env"]]
    named += [name for service in services.values() for name in service.get("environment", {})]
    settings = {f"OSTEON_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in named if name.startswith("OSTEON_")} <= settings
    secrets = set(re.findall(r"osteon-[a-z-]+", text))
    secrets -= {"osteon-airflow", "osteon-scheduler", "osteon-trainer", "osteon-entrypoint"}
    guide = (ROOT / "docs" / "kubernetes.md").read_text()
    assert secrets and all(f"`{secret}`" in guide for secret in secrets), secrets


def test_what_the_helm_values_and_the_settings_ask_for_is_within_the_quotas() -> None:
    from kubernetes.utils.quantity import parse_quantity

    folder = ROOT / "deploy" / "kubernetes"
    documents = [
        part for name in ("quota", "mlflow") for part in yaml.safe_load_all((folder / f"{name}.yaml").read_text())
    ]
    quotas = {one["metadata"]["namespace"]: one["spec"]["hard"] for one in documents if one["kind"] == "ResourceQuota"}
    (mlflow,) = (one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment")
    values = yaml.safe_load((ROOT / "deploy" / "airflow-values.yaml").read_text())
    groomer = values["scheduler"]["logGroomerSidecar"]
    always = [values[name] for name in ("scheduler", "triggerer", "dagProcessor", "apiServer")]
    tasks = [values["workers"]["kubernetes"]] * int(values["config"]["core"]["parallelism"])
    (default,) = (one["spec"]["limits"][0]["default"] for one in documents if one["kind"] == "LimitRange")
    migration = {"resources": {"limits": default}}

    def sums(parts: list[dict[str, Any]], unnamed: dict[str, str]) -> dict[str, Any]:
        return {
            name: sum(parse_quantity((unnamed | part["resources"]["limits"])[name]) for part in parts)
            for name in ("cpu", "memory", "ephemeral-storage")
        }

    pod = load_settings()
    training = {"cpu": pod.pod_cpu, "memory": pod.pod_memory, "ephemeral-storage": pod.pod_disk}
    asked = {
        "osteon": sums([*always, groomer, *tasks, *mlflow["containers"], migration], default),
        "osteon-training": sums([{"resources": {"limits": training}}] * 4, {}),
    }
    assert asked.keys() == quotas.keys() and pod.pod_namespace in quotas
    for namespace, needs in asked.items():
        for name, amount in needs.items():
            assert amount <= parse_quantity(quotas[namespace][f"limits.{name}"]), (namespace, name)


def test_the_gpu_image_is_pinned_to_what_all_others_have() -> None:
    def pinned(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))

    everywhere, gpu = pinned("requirements.txt"), pinned("requirements-gpu.txt")
    assert {name for name, version in gpu.items() if everywhere.get(name, version) != version} == set()
    assert "tensorflow" in gpu.keys() & everywhere.keys() and "nvidia-cudnn-cu12" in gpu.keys() - everywhere.keys()


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not on this machine")
    env(tmp_path)
    command = [docker, "compose", "--env-file", str(tmp_path / ".env"), "--file", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "empty").touch()
    command[command.index("--env-file") + 1] = str(tmp_path / "empty")
    assert "run `make compose`" in subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.parametrize("name", ["airflow", "trainer"])
def test_images_run_as_nobody_in_particular(name: str) -> None:
    lines = (ROOT / "docker" / f"{name}.Dockerfile").read_text().splitlines()
    user, _ = [line.split()[1] for line in lines if line.startswith("USER ")][-1].split(":")
    assert int(user) >= 10_000
    assert sum(line.startswith("FROM ") for line in lines) == 2, "what builds is not in the image"
    assert ("airflow" in " ".join(line for line in lines if "uv pip install" in line)) == (name == "airflow")
