"""Servers and folders that tests share. Every server is started here, on free loopback ports, and stopped again."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.settings import ROOT, Settings, load_settings

REAL_DATA = ROOT.parent / "shared" / "data"


def fresh_settings(folder: Path) -> Settings:
    """Settings of a stack of its own: its own state folder and free ports, nothing from the environment."""
    names = ("airflow_port", "s3_port", "mlflow_port", "smtp_port", "mail_port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return load_settings(state_dir=folder, upload_workers=4, bootstrap_rounds=40, **ports)


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """No variable of the person who runs the tests reaches them."""
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.startswith(("OSTEON_", "AIRFLOW_", "MLFLOW_")):
            patch.delenv(name)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def stack(clean_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running S3 store, MLflow and mail catcher."""
    running = Stack(fresh_settings(tmp_path_factory.mktemp("stack")))
    running.up(["s3", "mail", "mlflow"])
    yield running
    running.down()


def own_settings(stack: Stack, folder: Path) -> Settings:
    """Settings for the running servers, with a bucket and a state folder of their own."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    return stack.applied_settings().model_copy(update={"s3_bucket": bucket, "state_dir": folder / "state"})


@pytest.fixture
def settings(stack: Stack, tmp_path: Path) -> Settings:
    """Settings of the test's own, for the running servers."""
    return own_settings(stack, tmp_path)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake.from_settings(settings)


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings as variables, for `Pipeline` and for processes."""
    names = {"s3_endpoint", "s3_access_key", "s3_bucket", "mlflow_url", "state_dir", "upload_workers"}
    values = settings.model_dump(include=names)
    values["s3_secret_key"] = settings.s3_secret_key.get_secret_value()
    for name, value in values.items():
        monkeypatch.setenv(f"OSTEON_{name.upper()}", str(value))
    return dict(os.environ)


@pytest.fixture
def real_data() -> Path:
    """The folder with the two real archives."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"the real archives are not at {REAL_DATA}")
    return REAL_DATA


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> dict[str, str]:
    """Variables of an Airflow whose database is migrated, and which uses the test servers."""
    own = ("OSTEON_", "AIRFLOW", "AWS_", "MLFLOW_", "GX_", "PYTHONPATH")
    variables = {name: value for name, value in stack.environment().items() if name.startswith(own)}
    command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True, timeout=300, env={**os.environ, **variables})
    return variables


@pytest.fixture(scope="module")
def airflow(migrated: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of Airflow; what a module imports of it, it imports within."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in migrated.items():
            patch.setenv(name, value)
        yield dict(os.environ)
