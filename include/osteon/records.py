"""What each stage of a run leaves: small numbers, and keys of what it put into the lake."""

from __future__ import annotations

from typing import Any, ClassVar, NewType, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

SCHEMA_VERSION = 2
"""Of records. Those of version 1 do not say theirs; they have the same fields, but fewer."""

CatalogKey = NewType("CatalogKey", str)
ManifestKey = NewType("ManifestKey", str)
TrainingKey = NewType("TrainingKey", str)
ValidationKey = NewType("ValidationKey", str)
ComparisonKey = NewType("ComparisonKey", str)


class StageRecord(BaseModel):
    """What a stage leaves when it ends: small numbers, and keys of what it put into the lake."""

    model_config = ConfigDict(extra="forbid")
    stage: ClassVar[str]
    """The stage's name: also that of its task, its command (with hyphens) and its record in the lake."""

    schema_version: int = 1
    inputs: tuple[str, ...] = ()
    """Keys that it worked on, of those that earlier records of the run name as their `outputs`."""
    seconds: float = 0.0
    _failure: Exception | None = PrivateAttr(None)

    @property
    def name(self) -> str:
        """Of this record within its run."""
        return self.stage

    @property
    def result(self) -> Any:
        """What the next stage takes: a key, or a list of keys or small values."""
        return None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys that later stages may work on."""
        return ()

    @property
    def failure(self) -> Exception | None:
        """Why the stage fails although it leaves a record."""
        return self._failure

    def failing(self, error: Exception | None) -> Self:
        """The same record, of a stage that fails with this error once its record is kept."""
        self._failure = error
        return self


class CatalogRecord(StageRecord):
    """Of a stage that takes a catalog and gives another."""

    catalog: CatalogKey

    @property
    def result(self) -> CatalogKey:
        return self.catalog

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.catalog,)


class SourcesRecord(StageRecord):
    stage = "sources"
    names: list[str]
    """Of the sources that the sources file enables, in its order."""

    @property
    def result(self) -> list[str]:
        return self.names


class IngestRecord(StageRecord):
    """Of one source."""

    stage = "ingest"
    source: str = ""
    manifest: ManifestKey | None = None
    """Of the version that the run uses; None where there is none."""
    before: str | None = None
    """Key of the manifest that the run before used."""
    problem: str | None = None
    """Why the current version could not be pulled."""
    files: int = 0
    uploaded: int = 0
    refused: int = 0

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.source}"

    @property
    def result(self) -> ManifestKey:
        """Of a record that is no failure's."""
        assert self.manifest is not None
        return self.manifest

    @property
    def outputs(self) -> tuple[str, ...]:
        return () if self.manifest is None else (self.manifest,)


class CatalogueRecord(CatalogRecord):
    stage = "catalogue"
    images: int = 0
    duplicates: int = 0
    """Exact copies beyond an image's first publication."""


class InspectRecord(CatalogRecord):
    stage = "inspect"
    images: int = 0
    decoded: int = 0
    """Images that were never measured before."""
    truncated: int = 0


class RepairRecord(CatalogRecord):
    stage = "repair"
    repaired: int = 0
    quarantined: int = 0


class GroupRecord(CatalogRecord):
    stage = "group"
    groups: int = 0
    copies: int = 0
    """Images beyond the first of their group."""
    clusters: int = 0
    mosaics: int = 0
    skipped: int = 0
    """Doubtful links that would have joined too many films."""


class ReviewRecord(CatalogRecord):
    stage = "review"
    decisions: int = 0
    idle: int = 0
    """Decisions whose image the catalog does not hold."""
    human: int = 0
    """Images that a person labelled."""
    dropped: int = 0


class ValidateRecord(StageRecord):
    stage = "validate"
    validation: ValidationKey
    docs: str = ""
    stops: bool = False
    info: int = 0
    warning: int = 0
    critical: int = 0

    @property
    def result(self) -> ValidationKey:
        return self.validation

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.validation,)


class GateRecord(StageRecord):
    stage = "gate"
    mail: str = ""
    """`sent`, or why no mail was sent."""


class BaseModelsRecord(StageRecord):
    stage = "base_models"
    names: list[str] = []
    """Of the base models that are worth training and can be."""
    untaught: dict[str, str] = {}
    """Why the others are not trained, by name."""

    @property
    def result(self) -> list[str]:
        return self.names


class TrainingsRecord(StageRecord):
    """Of a stage that trains models in its own process. Airflow's tasks, one for each model, leave none."""

    trainings: list[TrainingKey] = []

    @property
    def result(self) -> list[TrainingKey]:
        return self.trainings


class TrainBaseRecord(TrainingsRecord):
    stage = "train_base"


class TrainRecord(TrainingsRecord):
    stage = "train"


class RelabelRecord(CatalogRecord):
    stage = "relabel"
    table: str
    """Key of the table of what was decided about each ambiguous image."""
    trainings: list[TrainingKey] = []
    decisions: dict[str, int] = {}
    """Images by decision."""
    changes: list[str] = []
    """Sources that are merged and were not in the run before, or the other way round: one sentence each."""
    mail: str | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.catalog, *self.trainings)


class RegisterBaseRecord(StageRecord):
    stage = "register_base"
    versions: dict[str, str] = {}
    """In the registry, by the model's name there."""

    @property
    def result(self) -> dict[str, str]:
        return self.versions


class QuestionsRecord(StageRecord):
    stage = "questions"
    questions: list[dict[str, str]] = []
    """`image, name, why` of each."""
    mail: str | None = None

    @property
    def result(self) -> list[dict[str, str]]:
        return self.questions


class AnswersRecord(ReviewRecord):
    stage = "answers"
    asked: int = 0
    new: int = 0
    """Answers that were no decision before."""


class SplitRecord(CatalogRecord):
    stage = "split"
    snapshot: str
    """The snapshot's id."""
    left_out: int = 0
    moved: int = 0
    """Images whose split is not that of an earlier run."""
    moved_from: dict[str, str] = {}
    """Their earlier splits, by SHA-256."""
    train: int = 0
    val: int = 0
    test: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.catalog, self.snapshot)


class CheckRecord(CatalogRecord):
    stage = "check"
    check: ValidationKey
    """Key of what was found."""
    stops: bool = False
    tests: int = 0
    """Test images."""
    closest: float | None = None
    """Best score of any test image with one of train or val, log-odds."""
    bar: float = 0.0
    """Score from which two images are copies."""
    not_compared: int = 0
    waiting: int = 0
    mail: str = ""


class CompareRecord(StageRecord):
    stage = "compare"
    comparison: ComparisonKey

    @property
    def result(self) -> ComparisonKey:
        return self.comparison

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.comparison,)


class ApprovalsRecord(StageRecord):
    stage = "approvals"
    questions: list[dict[str, str]] = []
    """`champion, name, why`: none, or one."""
    mail: str | None = None

    @property
    def result(self) -> list[dict[str, str]]:
        return self.questions


class RegisterRecord(StageRecord):
    stage = "register"
    model: str
    version: str
    alias: str
    promoted: bool
    reason: str
    champion: str
    """Version of the champion after this."""
    new: bool
    training: TrainingKey
    comparison: ComparisonKey
    mail: str | None = None

    @property
    def result(self) -> str:
        return f"{self.model} version {self.version} is {self.alias}: {self.reason}"


class ReportRecord(StageRecord):
    stage = "report"
    page: str

    @property
    def result(self) -> str:
        return self.page
