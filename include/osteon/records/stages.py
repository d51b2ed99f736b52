"""The record of each stage."""

from __future__ import annotations

from pydantic import BaseModel

from osteon.records.base import (
    CatalogRecord,
    ComparisonKey,
    ManifestKey,
    StageRecord,
    TrainingKey,
    ValidationKey,
)
from osteon.records.people import PartQuestion, PromotionQuestion


class SourcesRecord(StageRecord):
    """Which sources a run pulls."""

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
        """The stage and the source: each source has a record of its own."""
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
    """The catalog of all that was pulled, one row for each image."""

    stage = "catalogue"
    images: int = 0
    duplicates: int = 0
    """Exact copies beyond an image's first publication."""


class InspectRecord(CatalogRecord):
    """How many images were decoded and measured."""

    stage = "inspect"
    images: int = 0
    decoded: int = 0
    """Images that were never measured before."""
    truncated: int = 0


class RepairRecord(CatalogRecord):
    """What was repaired, and what is kept out."""

    stage = "repair"
    repaired: int = 0
    quarantined: int = 0


class GroupRecord(CatalogRecord):
    """Groups of copies."""

    stage = "group"
    groups: int = 0
    copies: int = 0
    """Images beyond the first of their group."""
    clusters: int = 0
    mosaics: int = 0
    skipped: int = 0
    """Doubtful links that would have joined too many films."""


class ReviewRecord(CatalogRecord):
    """What curators decided."""

    stage = "review"
    decisions: int = 0
    idle: int = 0
    """Decisions whose image the catalog does not hold."""
    human: int = 0
    """Images that a person labelled."""
    dropped: int = 0


class ValidateRecord(StageRecord):
    """What the checks found."""

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
    """What the mail about the data says of itself."""

    stage = "gate"
    mail: str = ""
    """`sent`, or why no mail was sent."""


class BaseModelsRecord(StageRecord):
    """Which base models are trained, and why others are not."""

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
    """Trainings of base models."""

    stage = "train_base"


class TrainRecord(TrainingsRecord):
    """Trainings of the main model and of what it is compared with."""

    stage = "train"


class RelabelRecord(CatalogRecord):
    """What base models decided about ambiguous images."""

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
    """Versions of base models in the registry."""

    stage = "register_base"
    versions: dict[str, str] = {}
    """In the registry, by the model's name there."""

    @property
    def result(self) -> dict[str, str]:
        return self.versions


class QuestionsRecord(StageRecord):
    """Images whose part people are asked about."""

    stage = "questions"
    questions: list[PartQuestion] = []
    mail: str | None = None

    @property
    def result(self) -> list[dict[str, str]]:
        """The questions as plain values, which Airflow hands on."""
        return [question.model_dump() for question in self.questions]


class AnswersRecord(ReviewRecord):
    """What people answered."""

    stage = "answers"
    asked: int = 0
    new: int = 0
    """Answers that were no decision before."""


class SplitRecord(CatalogRecord):
    """The snapshot: which image stands in which split."""

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


class LeakageNumbers(BaseModel):
    """How near the test images are to those of train and val."""

    tests: int = 0
    """Test images."""
    closest: float | None = None
    """Best score of any test image with one of train or val, log-odds."""
    bar: float = 0.0
    """Score from which two images are copies."""
    not_compared: int = 0
    """Images without a fingerprint."""
    waiting: int = 0
    """Possible copies that wait for a curator."""


class CheckRecord(LeakageNumbers, CatalogRecord):
    """Whether copies cross the splits."""

    stage = "check"
    check: ValidationKey
    """Key of what was found."""
    stops: bool = False
    mail: str = ""


class CompareRecord(StageRecord):
    """How the trained models compare."""

    stage = "compare"
    comparison: ComparisonKey

    @property
    def result(self) -> ComparisonKey:
        return self.comparison

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.comparison,)


class ApprovalsRecord(StageRecord):
    """What people are asked before a version becomes champion."""

    stage = "approvals"
    questions: list[PromotionQuestion] = []
    """None, or one."""
    mail: str | None = None

    @property
    def result(self) -> list[dict[str, str]]:
        """The questions as plain values, which Airflow hands on."""
        return [question.model_dump() for question in self.questions]


class RegisterRecord(StageRecord):
    """The version that was registered, and what it is now."""

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
    """Where the report is."""

    stage = "report"
    page: str

    @property
    def result(self) -> str:
        return self.page
