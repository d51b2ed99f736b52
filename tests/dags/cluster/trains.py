"""One training of the weekly DAG's kind; `test_cluster` says of what. The errors of its tries go to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from osteon_airflow.stages import RETRY_POLICY, param
from osteon_airflow.training import training_task


def told(context: Any) -> None:
    error = context["exception"]
    with Path(os.environ["OSTEON_TEST_ERRORS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([type(error).__name__, str(error)]) + "\n")


FORM = {"catalog": "", "model": "", "sources": "", "budget": "smoke", "seed": 0, "workers": 1, "force_retrain": False}
DEFAULTS = {"retry_policy": RETRY_POLICY, "on_failure_callback": told, "on_retry_callback": told}
DEFAULTS["retries"] = int(os.environ.get("OSTEON_TEST_RETRIES", "0"))


@dag(schedule=None, params={**FORM, "stop_after": "report"}, default_args=DEFAULTS)
def trains() -> None:
    @task
    def catalog() -> str:
        return str(param("catalog"))

    @task
    def models() -> list[str]:
        return [param("model")]

    training_task(catalog(), models())


trains()
