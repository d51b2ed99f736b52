"""How a stage becomes a task of the DAG, and what is tried again when it fails."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.sdk import Connection, get_current_context, task
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException
from airflow.sdk.log import mask_secret

from osteon.pipeline.context import Context
from osteon.pipeline.stages import Parts, Stage, is_wanted, run_stage
from osteon.settings import load_settings
from osteon_airflow.mail import AirflowNotifier, FailureMail

RETRY_DELAY = timedelta(seconds=30)
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(exception="osteon.errors.RetryableError", action=RetryAction.RETRY, retry_delay=RETRY_DELAY),
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


def open_context(stop: str, **settings: object) -> Context:
    """The context of the current DAG run. Skips the task where the run stops before the stage `stop`."""
    stop_after = param("stop_after")
    if not is_wanted(stop, stop_after):
        raise AirflowSkipException(f"the run stops after `{stop_after}`")
    return Context.open(get_current_context()["run_id"], AirflowNotifier(load_settings()), **settings)


def stage_task(stage: Stage[Any], **task_arguments: Any) -> Any:
    """The task of a stage of the table.

    Args:
        stage: Its inputs, and people's answers, are the task's keyword arguments. Its options come from the form.
        task_arguments: Of Airflow's `task`, such as `trigger_rule`.

    Returns:
        A TaskFlow task that gives what the stage yields.
    """

    @task(**{"task_id": stage.name, **task_arguments})
    def run(**inputs: Any) -> Any:
        return run_in_dag(stage, open_context(stage.stop), **inputs)

    return run


def run_in_dag(stage: Stage[Any], context: Context, **inputs: Any) -> Any:
    """Run a stage with what the form says of its options. Gives what the stage yields."""
    # Airflow adds its context to keyword arguments; what a mapped task gave is a lazy sequence
    wanted = {name: inputs[name] for name in (*stage.inputs, *stage.people)}
    given = {name: value if isinstance(value, str) else list(value) for name, value in wanted.items()}
    return run_stage(stage, context, **given, **{name: param(name) for name in stage.options}).result


def map_partitions(parts: Parts, catalog: Any) -> Any:
    """A task mapped over the parts of a large catalog, as many at once as OSTEON_PARALLEL_PARTS says.

    It is skipped where there are none, because one task does it all.
    """

    @task(task_id=f"list_{parts.name}_parts")
    def list_parts(catalog: str) -> list[str]:
        return parts.list_parts(open_context(parts.before), catalog)

    @task(task_id=f"{parts.name}_part", max_active_tis_per_dagrun=load_settings().parallel_parts)
    def work_on(catalog: str, part: str) -> int:
        return parts.work(open_context(parts.before), catalog, part, *map(param, parts.options))

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
        secrets = {name: found.secret(name) for name in account.names}
        if not any(secrets[name] for name in account.secrets) and (kept := connection(account.connection)):
            secrets |= account.of_connection(kept.login, kept.password)
        values |= secrets
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
        found: Connection | None = Connection.get(name)
        return found
    except AirflowNotFoundException:
        return None
