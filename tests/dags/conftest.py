from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from osteon.embedded.stack import Stack


@pytest.fixture(scope="module")
def airflow(stack: Stack) -> Iterator[dict[str, str]]:
    """An Airflow home with a migrated database, and the environment that uses the test servers."""
    patch = pytest.MonkeyPatch()
    environment = stack.environment()
    for name, value in environment.items():
        if name.startswith(("OSTEON_", "AIRFLOW", "AWS_", "MLFLOW_", "GX_", "PYTHONPATH")):
            patch.setenv(name, value)
    program = Path(sys.executable).with_name("airflow")
    subprocess.run([program, "db", "migrate"], check=True, capture_output=True, timeout=300)
    yield environment
    patch.undo()
