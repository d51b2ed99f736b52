"""What trainings and comparisons leave in the lake: one type for each object that is kept as JSON.

Older objects stay readable: fields that had other names have aliases, and fields that came later have defaults.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 2
"""Of results. Those of version 1 have other names, and are read as if they were of this one."""
Metrics = dict[str, float | None]
"""Measures by name, those of `training.evaluate.MEASURES` for instance; None where a measure is undefined."""
Interval = tuple[float, float]
"""The 95 % interval of a measure, by bootstrap over clusters."""
Intervals = dict[str, Interval | None]
"""By the name of the measure; None where most resamples leave it undefined."""
Design = dict[str, Any]
"""A network's hyperparameters by name."""
Trial = dict[str, Any]
"""A trial of a search: its `trial`, `score`, `epochs`, `seconds`, `worker`, and its design."""
Verdict = Literal["better", "worse", "no difference with confidence"]
"""How the main model stands to another, by macro-F1."""


def formerly(name: str) -> Any:
    """A field that has another name in results of schema version 1."""
    return Field(validation_alias=AliasChoices(name))


def _without_nesting(data: Any) -> Any:
    """Lift what results of schema version 1 hold among the metrics although it is none."""
    if not isinstance(data, dict) or not isinstance(data.get("metrics"), dict):
        return data
    nested = {name: data["metrics"][name] for name in ("fracture_auroc_by_part", "seconds") if name in data["metrics"]}
    return {**data, **nested, "metrics": {k: v for k, v in data["metrics"].items() if k not in nested}}


class Stored(BaseModel):
    """A value that does not change once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Slice(Stored):
    """Test images of one body part or source, or of all sources but one."""

    name: Annotated[str, formerly("slice")]
    n_images: Annotated[int, formerly("images")]
    n_evaluable: Annotated[int, formerly("judged")] = 0
    """Images that the fracture measures are computed on."""
    n_fractured: Annotated[int, formerly("fractured")]
    metrics: Metrics | None
    """None where there are too few images."""
    intervals: Intervals | None


class Curves(Stored):
    """Curves of fracture detection: x and y of their points."""

    roc: tuple[list[float], list[float]]
    """False and true positive rates."""
    precision_recall: tuple[list[float], list[float]]
    """Recall and precision."""


class ConfusionMatrix(Stored):
    """How often each class was taken for each."""

    labels: list[str]
    counts: list[list[int]]
    """(labels, labels): images by true label (rows) and predicted label (columns)."""


class CalibrationBin(Stored):
    """Images whose predicted probability lies in one of equal bins."""

    lower: Annotated[float, formerly("from")]
    """Where the bin begins."""
    count: int
    mean_probability: Annotated[float, formerly("mean")]
    fraction_positive: Annotated[float, formerly("share")]


class Robustness(Stored):
    """How the answers change when the test images change in a way that no reader minds."""

    change: str
    part_agreement: Annotated[float, formerly("part_kept")]
    """Share of images whose predicted body part stays the same."""
    mean_abs_probability_change: Annotated[float | None, formerly("fracture_moved")]
    """Of P(fractured | the true part); None where no image is evaluable."""
    fracture_auroc: float | None
    """On the changed images."""


class Evaluation(Stored):
    """A model's figures on the test split."""

    n_evaluable: Annotated[int, formerly("judged")] = 0
    """Images that the fracture measures are computed on: of known state, and of parts whose state the model tells."""
    metrics: Metrics
    fracture_auroc_by_part: Metrics = {}
    intervals: Intervals
    slices: list[Slice] = []
    curves: dict[str, Curves] = {}
    """Of `all` images, and by body part; of those with enough images."""
    confusion: dict[str, ConfusionMatrix] = {}
    """Of the body `part`, of `fracture`, called from a probability of 0.5 on, and of the `joint` class."""
    calibration: list[CalibrationBin] = []
    """Of the fracture probability."""
    metadata_baseline: Annotated[Metrics, formerly("shortcut_floor")] = {}
    """Fracture AUROC without a look at any pixel, by what it is computed from."""
    robustness: Annotated[list[Robustness], formerly("steadiness")] = []
    """Of the main model only."""

    _lift = model_validator(mode="before")(_without_nesting)


class ModelResult(Stored):
    """What every training leaves as its last object: where the model comes from."""

    schema_version: int = SCHEMA_VERSION
    key: str = ""
    """Of the training in the lake; empty in the oldest results."""
    model: str
    snapshot: str
    """Names the images that it was trained on."""
    snapshot_key: str
    """Key of the table of those images."""
    budget: str
    seed: int
    code: str = ""
    """Version of Osteon; empty in old results."""
    classes: list[str]
    design: Design = {}
    parameters: int | None = None
    """Weights; None for a forest."""
    trials: list[Trial] | None = None
    """Those of the search that completed, best first; None where nothing was searched."""
    images: dict[str, int]
    """Number of images by split."""
    seconds: float | None = None

    @property
    def figures(self) -> dict[str, float]:
        """What is a number, under one name each."""
        raise NotImplementedError


class TrainingResult(ModelResult):
    """Of the main model, a baseline or an ablation."""

    members: int = 1
    """Networks whose mean it is."""
    warm_start: Annotated[Design | None, formerly("search_started_with")] = None
    """The design that its search started with."""
    n_train: Annotated[int, formerly("learnt_from")]
    n_excluded_from_evaluation: Annotated[int, formerly("not_judging")] = 0
    """Images of val and test whose body part a base model set."""
    images_by_class: dict[str, int]
    """Training images."""
    published_by_class: dict[str, int] | None = None
    """Training images that people labelled; None in old results."""
    evaluation: Evaluation

    @property
    def images_by_class_of_people(self) -> dict[str, int]:
        """Training images that people labelled; all of them in old results, which do not tell."""
        return self.images_by_class if self.published_by_class is None else self.published_by_class

    @property
    def figures(self) -> dict[str, float]:
        """All numbers by name, as commands and MLflow show them."""
        return _numbers(self.evaluation.metrics, self.evaluation.fracture_auroc_by_part, self.seconds)

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, data: Any) -> Any:
        """Results of schema version 1 hold the figures beside all else."""
        data = _without_nesting(data)
        if not isinstance(data, dict) or "evaluation" in data:
            return data
        return {**data, "evaluation": data}


class SourceCounts(Stored):
    """A base model's answers about a source's held-out images."""

    source: str
    n_positive: Annotated[int, formerly("answer")]
    """Images that show the positive class."""
    n_positive_correct: Annotated[int, formerly("answer_right")]
    n_negative: Annotated[int, formerly("other")]
    n_negative_correct: Annotated[int, formerly("other_right")]


class InputAblation(Stored):
    """What an input of a base model is worth."""

    val_auroc: float | None
    test_auroc: float | None


class BaseModelResult(ModelResult):
    """Of a base model."""

    positive_class: Annotated[str, formerly("answer")]
    parts: list[str]
    """Body parts of the positive class."""
    input: str
    """The one that ranked validation images best."""
    ablation: dict[str, InputAblation]
    """By input."""
    metrics: Metrics
    intervals: Intervals
    calibration: list[CalibrationBin]
    """Of the positive class's probability."""
    by_source: list[SourceCounts]
    leave_one_source_out: Annotated[list[SourceCounts] | None, formerly("unseen_sources")] = None
    """Of each source, by a model that was trained without it; None where the budget does not train such."""

    @property
    def figures(self) -> dict[str, float]:
        """All numbers by name, as commands and MLflow show them."""
        return _numbers(self.metrics)


class PairedComparison(Stored):
    """The main model against another, over the same bootstrap samples of the same test images."""

    difference: Intervals
    """Of main model - other, by measure."""
    verdict: Verdict


class ComparisonRow(Stored):
    """A model of a comparison."""

    model: str
    training: str = ""
    """Its key; empty in the oldest comparisons."""
    n_train: Annotated[int, formerly("learnt_from")]
    n_train_main: Annotated[int, formerly("of")]
    """Training images of the main model."""
    metrics: Metrics
    fracture_auroc_by_part: Metrics = {}
    seconds: float | None = None
    intervals: Intervals = {}
    against: PairedComparison | None = None
    """The main model against this one; None in the main model's own row."""
    matched_sample: Annotated[PairedComparison | None, formerly("same_data")] = None
    """The main model's design, trained on the same sample, against this baseline; None where there is none such."""

    @property
    def figures(self) -> dict[str, float]:
        """What is a number, under one name each."""
        return _numbers(self.metrics, self.fracture_auroc_by_part, self.seconds)

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, data: Any) -> Any:
        """Rows of schema version 1 hold the difference and the verdict beside all else."""
        data = _without_nesting(data)
        return {**data, "against": data} if isinstance(data, dict) and "verdict" in data else data


class Comparison(Stored):
    """The main model and the others of its snapshot, on the same test images."""

    schema_version: int = SCHEMA_VERSION
    rows: list[ComparisonRow]
    """The main model's first."""

    @model_validator(mode="before")
    @classmethod
    def _of_rows(cls, data: Any) -> Any:
        """A comparison of schema version 1 is a list of rows."""
        return {"rows": data} if isinstance(data, list) else data

    @property
    def better_baselines(self) -> list[str]:
        """Models that are better than the main model with confidence."""
        return [row.model for row in self.rows if row.against is not None and row.against.verdict == "worse"]


def result_key(training: str) -> str:
    """Key of the result of a training, its last object."""
    return f"{training}/result.json"


def _numbers(metrics: Metrics, by_part: Metrics | None = None, seconds: float | None = None) -> dict[str, float]:
    found = {**metrics, "seconds": seconds}
    found |= {f"fracture_auroc_{part}": area for part, area in (by_part or {}).items()}
    return {name: value for name, value in found.items() if value is not None}
