"""The training-task factory. Training is one command, `osteon train`, wherever it runs."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import task

from osteon.doctor import MAIL_VARIABLE
from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models.space import MAIN
from osteon.pipeline.stages import TRAIN
from osteon.pipeline.training import plan_training
from osteon.records import CatalogKey
from osteon.settings import load_settings
from osteon_airflow.mail import CONNECTION
from osteon_airflow.stages import connection, credentials, open_context, param

log = logging.getLogger(__name__)
LAST_LINES = 15
EXIT_EXPECTED_ERROR = 1
"""Exit status of `osteon` when it says what is wrong. Any other but 0 is an accident, which is tried again."""


class TrainingInterruptedError(Exception):
    """A training ended without a result, and not by what it was given: a retry goes on with its search."""


@dataclass(frozen=True)
class TrainingJob:
    """One training, or help with its search.

    It says where in the lake the training goes, the arguments of `osteon`, and what that leaves there last.
    """

    lake: Lake
    out: str
    arguments: list[str]
    result: str = "result.json"

    @property
    def done(self) -> bool:
        """Whether the lake holds the result by now."""
        return self.lake.exists(f"{self.out}/{self.result}")


def training_task(catalog: Any, models: Any, stage: str = "train", task_id: str = "train", winner: Any = None) -> Any:
    """A task mapped over `models` that trains each on the catalog. Its results are keys in the lake.

    `winner` are the trainings that give ablations their design: one. OSTEON_TRAINER says where the command runs: in a
    process on the worker, or in a pod.
    """
    settings = load_settings()
    if settings.trainer == "kubernetes":
        from osteon_airflow.pods import TrainingPod, pod_arguments

        pod = TrainingPod.partial(
            task_id=task_id, stage=stage, catalog=catalog, winner=winner, **pod_arguments(settings)
        )
        return pod.expand(model=models).output

    @task(task_id=task_id)
    def train(catalog: str, model: str, winner: list[str] | None) -> str:
        training = build_training_job(stage, catalog, model, winner)
        if not training.done:  # a process that only finds its result takes ten seconds to start
            run_command(training.arguments)
        return training.out

    return train.partial(catalog=catalog, winner=winner).expand(model=models)


def search_worker_tasks(snapshot: Any) -> Any:
    """A task for each of the run's workers but the first: a process or pod that helps to search the main model."""
    settings = load_settings()

    @task
    def list_helpers(snapshot: str) -> list[int]:  # noqa: ARG001 - the parameter makes it wait
        return list(range(1, param("workers")))

    helpers = list_helpers(snapshot)
    if settings.trainer == "kubernetes":
        from osteon_airflow.pods import TrainingPod, pod_arguments

        pod = TrainingPod.partial(
            task_id="help_search", stage="train", catalog=snapshot, model=MAIN, **pod_arguments(settings)
        )
        return pod.expand(helper=helpers)

    @task
    def help_search(snapshot: str, helper: int) -> None:
        run_command(build_training_job("train", snapshot, MAIN, None, helper).arguments)

    return help_search.partial(snapshot=snapshot).expand(helper=helpers)


def doctor_pod() -> None:
    """A task that examines a training pod: which code it runs, whether it reaches the lake, and sees its GPU."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    from osteon_airflow.pods import pod_arguments

    only = [part for name in ("code", "lake", "gpu") for part in ("--only", name)]
    KubernetesPodOperator(task_id="pod", arguments=["doctor", *only], **pod_arguments(load_settings()))


def build_training_job(stage: str, catalog: str, model: str, winner: list[str] | None, helper: int = 0) -> TrainingJob:
    """What the current DAG run wants trained, or the part of a helper.

    Skips the task when the run stops before `stage`.
    """
    context = open_context(stage)
    options = {name: param(name) for name in TRAIN.options}
    plan = plan_training(context, CatalogKey(catalog), model, winner=winner[0] if winner else "", **options)
    if helper:
        name = f"tuner{helper}"  # KerasTuner's names; the one that leads is tuner0
        return TrainingJob(context.lake, plan.out, [*plan.arguments, "--help-as", name], f"helpers/{name}.json")
    distributed = model == MAIN and param("workers") > 1
    return TrainingJob(context.lake, plan.out, [*plan.arguments, "--with-helpers"] if distributed else plan.arguments)


def failure(arguments: list[str], status: int | None, output: str) -> Exception:
    """What to raise when `osteon` ended with an exit status other than 0, after `output`, its last lines."""
    kind = TrainingError if status == EXIT_EXPECTED_ERROR else TrainingInterruptedError
    return kind(f"`osteon {shlex.join(arguments)}` ended with exit status {status}:\n{output}")


def doctor() -> None:
    """Run `osteon doctor` on the worker, with what Airflow keeps in connections, as tasks have it."""
    environment = {f"OSTEON_{name.upper()}": value for name, value in credentials().items()}
    if mail := connection(CONNECTION):
        environment[MAIL_VARIABLE] = mail.as_json()
    run_command(["doctor"], environment)


def run_command(arguments: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run `osteon ...`, its output line by line into the task's log. Raises `failure` with its last lines.

    `environment` is added to the worker's own.
    """
    command = [sys.executable, "-m", "osteon.cli", *arguments]
    last: list[str] = []
    seen = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, env=seen, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603 - Osteon itself
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.info("%s", line.rstrip())
                last = [*last[1 - LAST_LINES :], line.rstrip()]
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise failure(arguments, process.returncode, "\n".join(last))
