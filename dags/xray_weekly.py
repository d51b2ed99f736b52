"""Every week: pull X-ray data sets, find out what is wrong with them, mend, relabel, split, train, register, report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, Param, TriggerRule, dag, get_current_context, task

from osteon.models.space import BUDGETS
from osteon.pipeline import STAGES
from osteon.settings import load_settings
from osteon_airflow.mail import FailureMail, merge_teller, quality_teller
from osteon_airflow.questions import ask
from osteon_airflow.stages import RETRY_POLICY, credentials, pipeline
from osteon_airflow.training import training_task

SETTINGS = load_settings()
MANIFESTS = Asset("osteon_manifests")  # its state store remembers the last good manifest of each source
PARAMS = {
    "sources": Param(
        str(SETTINGS.sources_file),
        type="string",
        minLength=1,
        title="Sources file",
        description="YAML file that names the data sets; the default is what OSTEON_SOURCES_FILE names",
    ),
    "budget": Param("smoke", enum=list(BUDGETS), title="Budget", description="how long architectures are searched"),
    "stop_after": Param("report", enum=list(STAGES), title="Stop after", description="the last stage to run"),
    "force_retrain": Param(False, type="boolean", title="Force retrain", description="train although nothing changed"),
    "ask": Param(True, type="boolean", title="Ask", description="wait for curators where the base models are unsure"),
    "seed": Param(0, type="integer", minimum=0, title="Seed", description="of the split and the training"),
}


@dag(
    schedule="0 3 * * 1",
    start_date=SETTINGS.scheduled_from,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={
        "retries": 2,
        "retry_policy": RETRY_POLICY,
        "on_failure_callback": FailureMail(),
        "execution_timeout": timedelta(hours=12),
    },
    tags=["osteon"],
    doc_md=__doc__,
)
def xray_weekly() -> None:
    @task
    def list_sources() -> list[str]:
        return pipeline("ingest").source_names(_sources_file())

    @task(outlets=[MANIFESTS])
    def ingest(name: str) -> str:
        line = pipeline("ingest", **credentials())
        return line.ingest(_sources_file(), name, get_current_context()["asset_state_store"][MANIFESTS])

    # A source that fails does not stop the others.
    @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    def collect(manifests: list[str]) -> list[str]:
        return list(manifests)

    @task
    def catalogue(manifests: list[str]) -> str:
        return pipeline("catalogue").catalogue(manifests)

    @task
    def inspect(catalog: str) -> str:
        return pipeline("inspect").inspect(catalog)

    @task
    def repair(catalog: str) -> str:
        return pipeline("repair").repair(catalog)

    @task
    def group(catalog: str) -> str:
        return pipeline("group").group(catalog)

    @task
    def review(catalog: str) -> str:
        return pipeline("review").review(catalog)

    @task
    def validate(catalog: str, manifests: list[str]) -> str:
        return pipeline("validate").validate(catalog, manifests, _sources_file())

    @task(on_failure_callback=None)  # the alert is the mail about it
    def quality_gate(validation: str) -> None:
        line = pipeline("validate")
        line.gate(validation, _sources_file(), quality_teller(line.settings))

    @task
    def base_models(catalog: str) -> list[str]:
        return pipeline("relabel").base_models(catalog, get_current_context()["params"]["seed"])

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def relabel(catalog: str, trainings: list[str]) -> str:
        line = pipeline("relabel")
        return line.relabel(catalog, trainings[:], _sources_file(), merge_teller(line.settings))

    @task
    def register_base(trainings: list[str]) -> None:
        pipeline("relabel").register_base(trainings[:], _sources_file())

    @task
    def questions(catalog: str) -> list[dict[str, str]]:
        asking = get_current_context()["params"]["ask"]
        return pipeline("relabel").questions() if asking else []

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def answers(catalog: str, answers: list[dict[str, Any]]) -> str:
        return pipeline("relabel").answers(catalog, answers[:])

    @task
    def split(catalog: str) -> str:
        return pipeline("split").split(catalog, get_current_context()["params"]["seed"])

    @task
    def register(trainings: list[str]) -> None:
        pipeline("register").register(next(iter(trainings)), _sources_file())

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report() -> str:
        return pipeline("ingest").report()

    manifests = collect(ingest.expand(name=list_sources()))
    reviewed = review(group(repair(inspect(catalogue(manifests)))))
    passed = quality_gate(validate(reviewed, manifests))
    taught = base_models(reviewed)
    passed >> taught
    trained = training_task(reviewed, taught, stage="relabel", task_id="train_base")
    relabelled = relabel(reviewed, trained)
    snapshot = split(answers(relabelled, ask(questions(relabelled)).output))
    registered = [register(training_task(snapshot, models=["cnn_bilstm"])), register_base(trained)]
    # The report tells of a stopped run as well; `finished` is what a failure on either side of it fails.
    reported = report()
    registered >> reported
    [*registered, reported] >> EmptyOperator(task_id="finished", trigger_rule=TriggerRule.NONE_FAILED)


def _sources_file() -> str:
    return str(get_current_context()["params"]["sources"])


xray_weekly()
