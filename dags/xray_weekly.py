"""Every week: pull X-ray data sets, find out what is wrong with them, mend, relabel, split, train, register, report."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, TriggerRule, dag, get_current_context, task

from osteon.models.space import MAIN, RIVALS
from osteon.settings import load_settings
from osteon_airflow.form import params
from osteon_airflow.mail import notice_teller, quality_teller
from osteon_airflow.questions import approve, ask
from osteon_airflow.stages import DEFAULT_ARGS, credentials, in_parts, param, pipeline, stage_task
from osteon_airflow.training import helping_task, training_task

SETTINGS = load_settings()
MANIFESTS = Asset("osteon_manifests")  # its state store remembers the last good manifest of each source


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
    def list_sources() -> list[str]:
        return pipeline("ingest").source_names(param("sources"))

    @task(outlets=[MANIFESTS])
    def ingest(name: str) -> str:
        line = pipeline("ingest", **credentials())
        return line.ingest(param("sources"), name, get_current_context()["asset_state_store"][MANIFESTS])

    # A source that fails does not stop the others.
    @task(trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
    def collect(manifests: list[str]) -> list[str]:
        return list(manifests)

    @task
    def catalogue(manifests: list[str]) -> str:
        return pipeline("catalogue").catalogue(manifests)

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def inspect(catalog: str) -> str:
        return pipeline("inspect").inspect(catalog)

    repair, group, review = map(stage_task, ("repair", "group", "review"))

    @task
    def validate(catalog: str, manifests: list[str]) -> str:
        return pipeline("validate").validate(catalog, manifests, param("sources"))

    @task
    def quality_gate(validation: str) -> None:
        line = pipeline("validate")
        line.gate(validation, param("sources"), quality_teller(line.settings))

    @task
    def base_models(catalog: str) -> list[str]:
        return pipeline("relabel").base_models(catalog, param("seed"))

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def relabel(catalog: str, trainings: list[str]) -> str:
        line = pipeline("relabel")
        return line.relabel(catalog, trainings[:], param("sources"), notice_teller(line.settings))

    @task
    def register_base(trainings: list[str]) -> None:
        pipeline("relabel").register_base(trainings[:], param("sources"))

    @task
    def questions(catalog: str) -> list[dict[str, str]]:
        return pipeline("relabel").questions() if param("ask") else []

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def answers(catalog: str, answers: list[dict[str, Any]]) -> str:
        return pipeline("relabel").answers(catalog, answers[:])

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def split(catalog: str) -> str:
        return pipeline("split").split(catalog, param("seed"))

    @task
    def check(catalog: str, manifests: list[str]) -> str:
        line = pipeline("check")
        return line.check(catalog, manifests, param("sources"), quality_teller(line.settings))

    @task
    def list_ablations(main: list[str]) -> list[str]:
        return pipeline("train").ablations(param("budget"))

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def compare(main: list[str], rivals: list[str], ablations: list[str]) -> str:
        return pipeline("compare").compare([*main[:], *rivals[:], *ablations[:]])

    @task
    def approvals(main: list[str], comparison: str) -> list[dict[str, str]]:
        line = pipeline("register")
        return line.approvals(main[0], comparison, param("sources"), param("require_approval"))

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def register(main: list[str], comparison: str, answers: list[dict[str, Any]]) -> None:
        line = pipeline("register")
        line.register(main[0], comparison, param("sources"), answers[:], notice_teller(line.settings))

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def report() -> str:
        return pipeline("ingest").report()

    manifests = collect(ingest.expand(name=list_sources()))
    catalog = catalogue(manifests)
    inspected = inspect(catalog)
    in_parts("inspect", "inspect", catalog) >> inspected
    reviewed = review(group(repair(inspected)))
    passed = quality_gate(validate(reviewed, manifests))
    taught = base_models(reviewed)
    passed >> taught
    trained = training_task(reviewed, taught, stage="relabel", task_id="train_base")
    relabelled = relabel(reviewed, trained)
    placed = split(answers(relabelled, ask(questions(relabelled)).output))
    in_parts("train", "square", relabelled, "budget") >> placed
    snapshot = check(placed, manifests)
    main = training_task(snapshot, [MAIN])
    helped = helping_task(snapshot)
    rivals = training_task(snapshot, list(RIVALS), task_id="train_rivals")
    ablations = training_task(snapshot, list_ablations(main), task_id="train_ablations", winner=main)
    compared = compare(main, rivals, ablations)
    registered = [register(main, compared, approve(approvals(main, compared)).output), register_base(trained)]
    # The report tells of a stopped run as well; `finished` is what a failure on either side of it fails.
    reported = report()
    [*registered, helped] >> reported
    [*registered, reported] >> EmptyOperator(task_id="finished", trigger_rule=TriggerRule.NONE_FAILED)


xray_weekly()
