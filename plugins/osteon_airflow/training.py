"""The training-task factory. Training is one command, `osteon train`, wherever it runs."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

from airflow.sdk import get_current_context, task

from osteon.errors import TrainingError
from osteon.models.space import MAIN

log = logging.getLogger(__name__)
LAST_LINES = 15


def training_task(catalog: Any, models: Any, stage: str = "train", task_id: str = "train", winner: Any = None) -> Any:
    """A task mapped over `models` that trains each on the catalog. Its results are keys in the lake.

    `winner` are the trainings that give ablations their design: one. It runs the command in a process of its own on the
    worker. Where training moves to another machine, the operator made here changes; the command and its result in the
    lake do not.
    """

    @task(task_id=task_id)
    def train(catalog: str, model: str, winner: list[str] | None) -> str:
        from osteon_airflow.stages import pipeline

        line = pipeline(stage)
        context = get_current_context()
        params = context["params"]
        salt = context["run_id"] if params["force_retrain"] else ""
        place = winner[0] if winner else line.start_from(str(params["sources"])) if model == MAIN else ""
        out = line.training_key(catalog, model, params["budget"], params["seed"], salt, place)
        command = ["train", "--model", model, "--snapshot", catalog, "--out", out, "--winner", place]
        run_command([*command, "--budget", params["budget"], "--seed", str(params["seed"])])
        return out

    return train.partial(catalog=catalog, winner=winner).expand(model=models)


def run_command(arguments: list[str]) -> None:
    """Run `osteon ...`, its output line by line into the task's log. Raises `TrainingError` with its last lines."""
    command = [sys.executable, "-m", "osteon.cli", *arguments]
    last: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.info("%s", line.rstrip())
                last = [*last[1 - LAST_LINES :], line.rstrip()]
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        text = "\n".join(last)
        raise TrainingError(f"`osteon {' '.join(arguments)}` ended with exit code {process.returncode}:\n{text}")
