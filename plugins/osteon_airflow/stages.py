"""How a task of the DAG gets its pipeline, and what is tried again when it fails."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection, get_current_context, task
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException
from airflow.sdk.log import mask_secret

from osteon.pipeline import STAGES
from osteon.settings import load_settings
from osteon_airflow.mail import FailureMail

if TYPE_CHECKING:
    from osteon.pipeline import Pipeline

RETRY_DELAY = timedelta(seconds=30)
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception="osteon.errors.TryAgainError", action=RetryAction.RETRY, retry_delay=RETRY_DELAY),
        # What else Osteon raises on purpose names a remedy that only a person can apply.
        RetryRule(exception="osteon.errors.OsteonError", action=RetryAction.FAIL),
        RetryRule(exception="pydantic.ValidationError", action=RetryAction.FAIL),
        RetryRule(exception=Exception, action=RetryAction.RETRY, retry_delay=RETRY_DELAY),
    ]
)

DEFAULT_ARGS = {
    "retries": 2,
    "retry_delay": RETRY_DELAY,  # of a task that ended with its worker: no policy is asked then
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": FailureMail(),
    "execution_timeout": timedelta(hours=12),
}


def pipeline(stage: str, **settings: object) -> Pipeline:
    """The pipeline of the current DAG run. Skips the task when the run's `stop_after` names an earlier stage."""
    from osteon.pipeline import Pipeline

    stop_after = param("stop_after")
    if STAGES.index(stage) > STAGES.index(stop_after):
        raise AirflowSkipException(f"the run stops after `{stop_after}`")
    return Pipeline(get_current_context()["run_id"], **settings)


def stage_task(name: str) -> Any:
    """A task of a stage that takes a catalog's key and returns another's."""

    @task(task_id=name)
    def run(catalog: str) -> str:
        return str(getattr(pipeline(name), name)(catalog))

    return run


def in_parts(stage: str, work: str, catalog: Any, *params: str) -> Any:
    """A task mapped over the parts of a large catalog, as many at once as OSTEON_PARALLEL_PARTS says; it is skipped
    where there are none, because one task does it all. It calls the pipeline's `{work}_part` with what the form says
    of `params`."""

    @task(task_id=f"list_{work}_parts")
    def list_parts(catalog: str) -> list[str]:
        return list(getattr(pipeline(stage), f"{work}_parts")(catalog))

    @task(task_id=f"{work}_part", max_active_tis_per_dagrun=load_settings().parallel_parts)
    def work_on(catalog: str, part: str) -> int:
        return int(getattr(pipeline(stage), f"{work}_part")(catalog, part, *map(param, params)))

    return work_on.partial(catalog=catalog).expand(part=list_parts(catalog))


def param(name: str) -> Any:
    """What the form of the current DAG run says."""
    return get_current_context()["params"][name]


def credentials() -> dict[str, str]:
    """Settings of publishers' accounts: those that OSTEON_* leaves empty come from Airflow's connections.

    Airflow masks them all in what tasks log.
    """
    from osteon.sources.registry import accounts

    found = load_settings()
    values = {name: value.get_secret_value() for name, value in found.credentials.items()}
    hidden = set(values)
    for account in accounts():
        told = {name: found.secret(name) for name in account.names}
        if not any(told[name] for name in account.secrets) and (kept := connection(account.connection)):
            told |= account.of_connection(kept.login, kept.password)
        values |= told
        hidden |= set(account.secrets)
    values = {name: value for name, value in values.items() if value}
    for name in hidden & values.keys():
        mask_secret(values[name])
    fields = {name: values[name] for name in values if name in type(found).model_fields}
    others = {name: values[name] for name in values if name not in fields}
    return fields | ({"credentials": json.dumps(others)} if others else {})


def connection(name: str) -> Connection | None:
    """Airflow's, by its id; None where there is none."""
    try:
        return Connection.get(name)
    except AirflowNotFoundException:
        return None
