"""How a task of the DAG gets its pipeline, and what is tried again when it fails."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowSkipException

from osteon.pipeline import STAGES

if TYPE_CHECKING:
    from osteon.pipeline import Pipeline

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        # What Osteon raises on purpose names a remedy that only a person can apply.
        RetryRule(exception="osteon.errors.OsteonError", action=RetryAction.FAIL),
        RetryRule(exception="pydantic.ValidationError", action=RetryAction.FAIL),
        RetryRule(exception=Exception, action=RetryAction.RETRY, retry_delay=timedelta(seconds=30)),
    ]
)


def pipeline(stage: str) -> Pipeline:
    """The pipeline of the current DAG run. Skips the task when the run's `stop_after` names an earlier stage."""
    from osteon.pipeline import Pipeline

    context = get_current_context()
    stop_after = context["params"]["stop_after"]
    if STAGES.index(stage) > STAGES.index(stop_after):
        raise AirflowSkipException(f"the run stops after `{stop_after}`")
    return Pipeline(context["run_id"])
