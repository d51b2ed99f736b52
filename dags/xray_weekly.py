"""Every week: pull X-ray data sets, find out what is wrong with them, mend, relabel, split, train, register, report."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TriggerRule, dag, task

from osteon.models.space import BASELINES, MAIN
from osteon.notify.outbox import Outbox
from osteon.pipeline import stages
from osteon.pipeline.training import ablations
from osteon.settings import load_settings
from osteon_airflow.form import params
from osteon_airflow.mail import deliver
from osteon_airflow.questions import approve, ask
from osteon_airflow.stages import DEFAULT_ARGS, credentials, map_partitions, open_context, param, run_in_dag, stage_task
from osteon_airflow.training import search_worker_tasks, training_task

SETTINGS = load_settings()
NONE_FAILED = TriggerRule.NONE_FAILED  # a task before it may be skipped


@dag(
    schedule="0 3 * * 1",
    start_date=SETTINGS.scheduled_from,
    catchup=False,
    max_active_runs=1,
    params=params(SETTINGS),
    default_args=DEFAULT_ARGS,
    tags=["osteon"],
    doc_md=__doc__,
)
def xray_weekly() -> None:
    @task
    def ingest(source: str) -> str:
        return run_in_dag(stages.INGEST, open_context("ingest", **credentials()), source=source)

    # A source that fails does not stop the others: only `finished` fails with it.
    @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    def collect(manifests: list[str]) -> list[str]:
        return list(manifests)

    @task
    def questions(catalog: str) -> list[dict[str, str]]:
        return run_in_dag(stages.QUESTIONS, open_context("relabel"), catalog=catalog) if param("ask") else []

    @task
    def list_ablations(main: list[str]) -> list[str]:  # noqa: ARG001 - the parameter makes it wait
        open_context("train")
        return ablations(param("budget"))

    @task(trigger_rule=NONE_FAILED)
    def compare(main: list[str], baselines: list[str], ablations: list[str]) -> str:
        trainings = [*main, *baselines, *ablations]
        return run_in_dag(stages.COMPARE, open_context("compare"), trainings=trainings)

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report() -> str:
        context = open_context("ingest")
        deliver(Outbox(context.lake))  # what a mail server refused before
        return run_in_dag(stages.REPORT, context)

    pulled = ingest.expand(source=stage_task(stages.LIST_SOURCES, task_id="list_sources")())
    manifests = collect(pulled)
    catalogued = stage_task(stages.CATALOGUE)(manifests=manifests)
    inspected = stage_task(stages.INSPECT, trigger_rule=NONE_FAILED)(catalog=catalogued)
    map_partitions(stages.INSPECT_PARTS, catalogued) >> inspected
    repaired = stage_task(stages.REPAIR)(catalog=inspected)
    grouped = stage_task(stages.GROUP)(catalog=repaired)
    reviewed = stage_task(stages.REVIEW)(catalog=grouped)
    validated = stage_task(stages.VALIDATE)(catalog=reviewed, manifests=manifests)
    passed = stage_task(stages.GATE, task_id="quality_gate")(validation=validated)
    base_models = stage_task(stages.BASE_MODELS)(catalog=reviewed)
    passed >> base_models
    base = training_task(reviewed, base_models, stage="relabel", task_id="train_base")
    relabelled = stage_task(stages.RELABEL, trigger_rule=NONE_FAILED)(catalog=reviewed, trainings=base)
    asked = ask(questions(relabelled)).output
    answered = stage_task(stages.ANSWERS, trigger_rule=NONE_FAILED)(catalog=relabelled, answers=asked)
    placed = stage_task(stages.SPLIT, trigger_rule=NONE_FAILED)(catalog=answered)
    map_partitions(stages.CACHE_PARTITIONS, relabelled) >> placed
    snapshot = stage_task(stages.CHECK)(catalog=placed, manifests=manifests)
    main = training_task(snapshot, [MAIN])
    workers = search_worker_tasks(snapshot)
    baselines = training_task(snapshot, list(BASELINES), task_id="train_rivals")
    changed = training_task(snapshot, list_ablations(main), task_id="train_ablations", winner=main)
    compared = compare(main, baselines, changed)
    approved = approve(stage_task(stages.APPROVALS)(comparison=compared)).output
    registered = [
        stage_task(stages.REGISTER, trigger_rule=NONE_FAILED)(comparison=compared, catalog=reviewed, answers=approved),
        stage_task(stages.REGISTER_BASE)(trainings=base),
    ]
    # The report tells of a stopped run as well. `finished` is what a failure on either side of it fails, and a source
    # of which there is no version at all: the run did the rest, but it is no success.
    reported = report()
    [*registered, workers] >> reported
    [pulled, *registered, reported] >> EmptyOperator(task_id="finished", trigger_rule=NONE_FAILED)


xray_weekly()
