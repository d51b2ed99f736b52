"""What the last version left is used by this one: the lake, the registry and the state folder of the whole DAG.

The recipe is the test itself: the last version is taken out of git, and runs the DAG in its own Airflow.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from osteon import catalog as catalogs
from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.settings import ROOT, load_settings

LAST = "cf3cc8bd0b836d7033a61879f54e948380d8e86d"
"""The commit before records had a schema version: version 0.1.0."""
PORTS = ("AIRFLOW", "S3", "MLFLOW", "SMTP", "MAIL")


def last_version(folder: Path) -> Path:
    """The files of the last version. Skips the test where git does not have them."""
    found = subprocess.run(["git", "-C", str(ROOT), "archive", LAST], capture_output=True)
    if found.returncode:
        pytest.skip(f"git has no commit {LAST} here: {found.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def run_dag(root: Path, sources: Path, out: Path, environment: dict[str, str]) -> dict[str, Any]:
    """`osteon run` by the code below `root`; gives the summary."""
    command = [sys.executable, "-m", "osteon.cli", "run", "--sources", str(sources), "--json", str(out)]
    paths = os.pathsep.join(str(root / name) for name in ("include", "plugins"))
    subprocess.run(command, env={**environment, "PYTHONPATH": paths}, cwd=root, check=True, timeout=1500)
    summary: dict[str, Any] = json.loads(out.read_text())
    return summary


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_second_run_by_this_version_does_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = last_version(tmp_path / "old")
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 240, "longer_side": [90, 120]}
    defects = {"truncated": 3, "rotated_copies": 4, "exact_copies": 2, "ambiguous_label": 2}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"model": "upgraded", "sources": [{**entry, "defects": defects}]}))
    values = {"STATE_DIR": str(tmp_path / "state"), "BOOTSTRAP_ROUNDS": "30", "RIVAL_LEAST": "60"}
    values |= {f"{name}_PORT": str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    environment = dict(os.environ) | {f"OSTEON_{name}": value for name, value in values.items()}

    before = run_dag(old, sources, tmp_path / "before.json", environment)
    after = run_dag(ROOT, sources, tmp_path / "after.json", environment)
    assert after["snapshot"] == before["snapshot"]
    assert after["work"] == {"uploaded": 0, "decoded": 0}, "nothing is measured again"
    assert after["split"] == before["split"] and after["left_out"] == before["left_out"]
    assert (before["registered"]["version"], after["registered"]["version"]) == ("1", "1"), "no second version"
    assert after["champion"] == before["champion"] == "1"
    assert after["models"].keys() == before["models"].keys()
    for name, result in before["models"].items():
        assert after["models"][name]["evaluation"]["metrics"].items() <= result["metrics"].items()

    for name in list(os.environ):
        if name.startswith("OSTEON_"):
            monkeypatch.delenv(name)
    for name, value in values.items():
        monkeypatch.setenv(f"OSTEON_{name}", value)
    stack = Stack(load_settings())
    started = stack.up(["s3"])
    try:
        lake = Lake.from_settings(stack.applied_settings())
        splits = [catalogs.read(lake, key).set_index("sha256")["split"] for key in lake.keys("split/")]
        assert len({tuple(split.sort_index().fillna("").items()) for split in splits}) == 1, "splits are unchanged"
    finally:
        stack.down(started)
