"""THE table of stages: the DAG's tasks, the commands, `stop_after`, the report and the tests are made from it.

The DAG wires its tasks by hand; a test compares that with the inputs here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from osteon.errors import ConfigurationError
from osteon.pipeline import data, relabelling, release, training
from osteon.pipeline.context import Context
from osteon.records import (
    Answer,
    AnswersRecord,
    ApprovalsRecord,
    BaseModelsRecord,
    CatalogueRecord,
    CheckRecord,
    CompareRecord,
    GateRecord,
    GroupRecord,
    IngestRecord,
    InspectRecord,
    QuestionsRecord,
    RegisterBaseRecord,
    RegisterRecord,
    RelabelRecord,
    RepairRecord,
    ReportRecord,
    ReviewRecord,
    SourcesRecord,
    SplitRecord,
    StageRecord,
    TrainBaseRecord,
    TrainRecord,
    ValidateRecord,
)
from osteon.runs import Records, Run, consistent, stage_of

log = logging.getLogger(__name__)
R = TypeVar("R", bound=StageRecord)
TRACKED = ("manifests", "catalog", "validation", "comparison")
"""Inputs that the record of a stage names: an earlier record of the run has them as its outputs."""


@dataclass(frozen=True)
class Parts:
    """Work that several tasks do on parts of a large catalog, before one task goes on."""

    name: str
    before: str
    """The stage whose results the parts make ready."""
    list_parts: Callable[[Context, Any], list[str]]
    """Parts of a catalog; none where one task does all."""
    work: Callable[..., int]
    """On one part: context, catalog, part, and the options."""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage(Generic[R]):
    """A stage of the pipeline."""

    record: type[R]
    """Of what it leaves; names the stage. `record.result` is what it yields."""
    function: Callable[..., R]
    """Takes a `Context`, and the arguments that the next three fields name."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The stage whose result each argument is."""
    options: tuple[str, ...] = ()
    """Arguments that the form, or the command line, gives."""
    people: Mapping[str, str] = field(default_factory=dict)
    """The stage whose questions people answer in each argument."""
    within: str = ""
    """The stage that `stop_after` names, where this one is a part of it."""

    @property
    def name(self) -> str:
        """As in records and commands."""
        return self.record.stage

    @property
    def stop(self) -> str:
        """The name by which `stop_after` means it."""
        return self.within or self.name


def read_records(run: Run) -> Records:
    """What the stages of a run did, in order, without what the run did again with another outcome."""
    for name in run.names():
        if stage_of(name) not in {stage.name for stage in STAGES}:
            log.warning("%s has a record of %s, which is no stage: it is left out", run.prefix, name)
    return consistent(run.read_all([stage.record for stage in STAGES]))


def report(context: Context) -> ReportRecord:
    """Write `summary.json` and the report's pages, also of a run that stopped early."""
    from osteon.reports.page import write_report

    page = write_report(context.settings, context.lake, context.run, read_records(context.run))
    return ReportRecord(page=page)


STAGES: tuple[Stage[Any], ...] = (
    LIST_SOURCES := Stage(SourcesRecord, data.list_sources, options=("sources",), within="ingest"),
    INGEST := Stage(IngestRecord, data.ingest, {"source": "sources"}, ("sources",)),
    CATALOGUE := Stage(CatalogueRecord, data.catalogue, {"manifests": "ingest"}),
    INSPECT := Stage(InspectRecord, data.inspect, {"catalog": "catalogue"}),
    REPAIR := Stage(RepairRecord, data.repair, {"catalog": "inspect"}),
    GROUP := Stage(GroupRecord, data.group, {"catalog": "repair"}),
    REVIEW := Stage(ReviewRecord, data.review, {"catalog": "group"}),
    VALIDATE := Stage(ValidateRecord, data.validate, {"catalog": "review", "manifests": "ingest"}, ("sources",)),
    GATE := Stage(GateRecord, data.gate, {"validation": "validate"}, ("sources",), within="validate"),
    BASE_MODELS := Stage(BaseModelsRecord, relabelling.base_models, {"catalog": "review"}, ("seed",), within="relabel"),
    TRAIN_BASE := Stage(
        TrainBaseRecord,
        training.train_base_models,
        {"catalog": "review", "models": "base_models"},
        ("sources", "budget", "seed", "force_retrain"),
        within="relabel",
    ),
    RELABEL := Stage(
        RelabelRecord, relabelling.relabel, {"catalog": "review", "trainings": "train_base"}, ("sources",)
    ),
    REGISTER_BASE := Stage(
        RegisterBaseRecord, relabelling.register_base, {"trainings": "train_base"}, ("sources",), within="relabel"
    ),
    QUESTIONS := Stage(QuestionsRecord, relabelling.questions, {"catalog": "relabel"}, within="relabel"),
    ANSWERS := Stage(
        AnswersRecord,
        relabelling.answers,
        {"catalog": "relabel"},
        people={"answers": "questions"},
        within="relabel",
    ),
    SPLIT := Stage(SplitRecord, data.split, {"catalog": "answers"}, ("seed",)),
    CHECK := Stage(CheckRecord, data.check, {"catalog": "split", "manifests": "ingest"}, ("sources",)),
    TRAIN := Stage(
        TrainRecord, training.train_models, {"catalog": "check"}, ("sources", "budget", "seed", "force_retrain")
    ),
    COMPARE := Stage(CompareRecord, training.compare, {"trainings": "train"}),
    APPROVALS := Stage(
        ApprovalsRecord,
        release.approvals,
        {"comparison": "compare"},
        ("sources", "require_approval"),
        within="register",
    ),
    REGISTER := Stage(
        RegisterRecord,
        release.register,
        {"comparison": "compare", "catalog": "review"},
        ("sources",),
        {"answers": "approvals"},
    ),
    REPORT := Stage(ReportRecord, report),
)
STOPS = tuple(dict.fromkeys(stage.stop for stage in STAGES))
"""What `stop_after` may name, in order."""
INSPECT_PARTS = Parts("inspect", "inspect", data.inspect_parts, data.inspect_part)
CACHE_PARTITIONS = Parts("square", "train", training.list_cache_partitions, training.cache_partition, ("budget",))


def is_wanted(stop: str, stop_after: str) -> bool:
    """Whether a run that stops after one stage comes to another.

    Raises:
        ConfigurationError: There is no stage `stop_after`.
    """
    if stop_after not in STOPS:
        raise ConfigurationError(f"no stage is called {stop_after!r}: choose one of {', '.join(STOPS)}")
    return STOPS.index(stop) <= STOPS.index(stop_after)


def run_stage(stage: Stage[R], context: Context, **arguments: Any) -> R:
    """Run a stage, and keep its record in the lake.

    Args:
        stage: Of STAGES.
        context: The run.
        arguments: Its inputs, options and people's answers (plain values of `Answer`), by name.

    Returns:
        The record. `record.result` is what the next stage takes.

    Raises:
        Exception: What made the stage fail. A stage that fails leaves no record, unless it has something to say.
    """
    source = arguments.get("source")
    context.run.remove(f"{stage.name}.{source}" if source else stage.name)
    start = time.monotonic()
    answers = {name: [Answer.model_validate(answer) for answer in arguments[name]] for name in stage.people}
    record = stage.function(context, **arguments | answers)
    record.seconds = round(time.monotonic() - start, 3)
    record.inputs += tuple(key for name in TRACKED if name in stage.inputs for key in _keys(arguments[name]))
    context.run.write(record)
    if record.failure is not None:
        raise record.failure
    return record


def _keys(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
