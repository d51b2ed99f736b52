"""The main model beside its baselines and ablations, on the same test images."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon.errors import ConfigurationError
from osteon.lake import Lake, derived_key
from osteon.models.space import MAIN
from osteon.results import (
    Comparison,
    ComparisonRow,
    PairedComparison,
    TrainingResult,
    Verdict,
    result_key,
)
from osteon.schemas import Split
from osteon.training.classes import ClassList
from osteon.training.evaluate import Predictions, paired_bootstrap
from osteon.training.promotion import METRIC

VERSION = 3
SAME_DATA = "same_data"
"""The ablation that has the main model's design, and the baselines' sample."""


def compare(lake: Lake, trainings: list[str], rounds: int) -> str:
    """Compare what was trained on one snapshot. Returns the key of a `Comparison`.

    Args:
        lake: Holds the trainings.
        trainings: Their keys: of the main model and of others, one each.
        rounds: Bootstrap samples.

    Raises:
        ConfigurationError: The main model is missing, or there are two trainings of one model.
    """
    key = derived_key("comparisons", VERSION, sorted(trainings), rounds, suffix=".json")
    if lake.exists(key) and lake.find_model(Comparison, key):
        return key
    results = {result.model: result for result in (_result(lake, training) for training in trainings)}
    if MAIN not in results or len(results) < len(set(trainings)):
        raise ConfigurationError(f"a comparison is of {MAIN} and others, one training each: these are {trainings}")
    images = catalogs.read(lake, results[MAIN].snapshot_key, Split).set_index("sha256", drop=False)
    scored = {name: _scored(lake, result, images) for name, result in results.items()}
    names = sorted(results, key=lambda name: (name != MAIN, name))
    lake.put_model(key, Comparison(rows=[_row(name, results, scored, rounds) for name in names]))
    return key


def read_comparison(lake: Lake, key: str) -> Comparison:
    """A comparison that names the main model's training.

    Raises:
        ConfigurationError: It names none.
    """
    comparison = lake.get_model(Comparison, key)
    if not comparison.rows or comparison.rows[0].model != MAIN or not comparison.rows[0].training:
        raise ConfigurationError(f"{key} names no training of {MAIN}: make a new one with `osteon compare`")
    return comparison


def _result(lake: Lake, training: str) -> TrainingResult:
    return lake.get_model(TrainingResult, result_key(training))


def _scored(lake: Lake, result: TrainingResult, images: pd.DataFrame) -> Predictions:
    predictions = lake.get_table(f"{result.key}/predictions.parquet").set_index("sha256")
    test = images.loc[predictions.index].reset_index(drop=True)
    return Predictions(test, predictions[result.classes].to_numpy(), ClassList(tuple(result.classes)))


def _row(name: str, results: dict[str, TrainingResult], scored: dict[str, Predictions], rounds: int) -> ComparisonRow:
    result, main = results[name], results[MAIN]
    same = SAME_DATA in results and result.n_train == results[SAME_DATA].n_train < main.n_train
    matched = same and name not in (MAIN, SAME_DATA)
    return ComparisonRow(
        model=name,
        training=result.key,
        n_train=result.n_train,
        n_train_main=main.n_train,
        metrics=result.evaluation.metrics,
        fracture_auroc_by_part=result.evaluation.fracture_auroc_by_part,
        seconds=result.seconds,
        intervals=result.evaluation.intervals,
        against=_against(scored[MAIN], scored[name], rounds) if name != MAIN else None,
        matched_sample=_against(scored[SAME_DATA], scored[name], rounds) if matched else None,
    )


def _against(ours: Predictions, theirs: Predictions, rounds: int) -> PairedComparison:
    difference = paired_bootstrap(ours, theirs, rounds)
    verdict: Verdict = "no difference with confidence"
    if (interval := difference[METRIC]) is not None:
        verdict = "better" if interval[0] > 0 else "worse" if interval[1] < 0 else verdict
    return PairedComparison(difference=difference, verdict=verdict)
