"""How a training that ends badly is told, and whether it is tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from osteon import cli
from osteon.errors import ConfigurationError, TrainingError
from osteon.lake import Lake
from osteon.models.space import MAIN
from osteon.schemas import Split
from osteon.settings import ROOT, load_settings
from tests import tables


def test_what_osteon_says_is_wrong_is_its_error_and_an_accident_another(
    airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from osteon_airflow.training import TrainingInterruptedError, failure, run_command

    with pytest.raises(TrainingError, match=r"exit status 1:\n(.*\n)*osteon: doctor knows code, lake, history, mlflow"):
        run_command(["doctor", "--only", "weather"])
    wanted = ["train", "--model", "forest", "--snapshot", "x", "--out", "y"]
    with pytest.raises(TrainingError, match=r"not the one that Airflow has: build the trainer's image again"):
        run_command(wanted, {"OSTEON_EXPECTED_FILES": "0123456789abcdef"})
    with pytest.raises(TrainingError, match=r"but Airflow runs 0\.0\.9\+cafe: build the trainer's image again"):
        run_command(wanted, {"OSTEON_EXPECTED_CODE": "0.0.9+cafe"})
    monkeypatch.setattr(sys, "executable", "/bin/sh")  # it takes `-m` for an option, and fails in its own way
    with pytest.raises(TrainingInterruptedError, match="exit status"):
        run_command(["train"])
    assert isinstance(failure(["train"], -9, "Epoch 3"), TrainingInterruptedError), "killed"


def test_the_doctor_of_a_task_sees_what_airflow_keeps_in_connections(
    airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program takes the place of `osteon doctor`, and keeps its environment."""
    from osteon_airflow import training

    smtp = {"conn_type": "smtp", "host": "mail", "password": "a%b", "extra": {"x": True}}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(smtp))
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFLOW_DEFAULT", json.dumps({"conn_type": "generic", "password": "key"}))
    program, kept = tmp_path / "python", tmp_path / "environment"
    program.write_text(f"#!/bin/sh\necho $3 && env -0 > {kept}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    training.doctor()
    seen = dict(line.split("=", 1) for line in kept.read_text().split("\0") if line)
    mail = json.loads(seen["AIRFLOW_CONN_SMTP_DEFAULT"])
    assert (mail["host"], mail["password"], seen["OSTEON_ROBOFLOW_API_KEY"]) == ("mail", "a%b", "key")


def test_a_command_ends_when_it_is_told_to(environment: dict[str, str], tmp_path: Path) -> None:
    sources = tmp_path / "sources.yaml"
    os.mkfifo(sources)  # who reads it waits for somebody who writes
    command = [sys.executable, "-m", "osteon.cli", "ingest", "--sources", str(sources)]
    with subprocess.Popen(command, env=environment) as process, sources.open("w"):  # open as soon as it is read
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("workers", [1, 3])
def test_the_main_model_is_searched_by_as_many_as_asked_for(
    workers: int, airflow: dict[str, str], environment: dict[str, str]
) -> None:
    from airflow.sdk.execution_time.context import set_current_context

    from osteon_airflow import training

    lake, images = (
        Lake.from_settings(load_settings()),
        pd.DataFrame({"sha256": ["a"], "source": ["s"], "split": ["test"]}),
    )
    snapshot = tables.put(lake, "split/x.parquet", images.assign(raw_label="hand", body_part="hand"), Split)
    params = {"stop_after": "report", "budget": "smoke", "seed": 0, "force_retrain": False, "workers": workers}
    params["sources"] = str(ROOT / "config" / "sources.demo.yaml")
    with set_current_context({"params": params, "run_id": "y"}):  # all that is read
        main = training.build_training_job("train", snapshot, MAIN, None)
        forest = training.build_training_job("train", snapshot, "forest", None)
        help = training.build_training_job("train", snapshot, MAIN, None, helper=2)
    assert ("--with-helpers" in main.arguments) == (workers > 1) and "--with-helpers" not in forest.arguments
    assert help.arguments[-2:] == ["--help-as", "tuner2"] and not help.done
    lake.put_json(f"{help.out}/helpers/tuner2.json", {"trials": 0})
    assert help.done


@pytest.mark.parametrize(
    ("error", "status"), [(ConfigurationError("no such model"), 1), (ValueError("a bug"), os.EX_SOFTWARE)]
)
def test_the_exit_status_tells_an_expected_error_from_a_bug(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as ended:
        cli.entry()
    assert ended.value.code == status
    told = capsys.readouterr().err
    assert str(error) in told and ("Traceback" in told) == (status != 1)
