"""The main model beside its rivals and ablations, on the same test images."""

from __future__ import annotations

from typing import Any

import pandas as pd

from osteon import catalog as catalogs
from osteon.errors import ConfigurationError
from osteon.lake import Lake, derived_key
from osteon.models.space import MAIN
from osteon.schemas import Split
from osteon.training.classes import ClassList
from osteon.training.evaluate import Scored, paired_differences
from osteon.training.gate import METRIC

VERSION = 3
BETTER, WORSE, OPEN = "better", "worse", "no difference with confidence"


def compare(lake: Lake, trainings: list[str], rounds: int) -> str:
    """Compare what was trained on one snapshot; returns the key of a list of rows, the main model's first.

    A row is `model, training, learnt_from, of, metrics, intervals`, and, but for the main model, `difference`: the 95 %
    intervals of main - other by measure, over the same bootstrap samples of clusters; `verdict`: how the main
    model stands to it by macro-F1; and for rivals `same_data`, the same two where the main model's design learnt from
    their sample.
    """
    key = derived_key("comparisons", VERSION, sorted(trainings), rounds, suffix=".json")
    if lake.exists(key):
        return key
    results = {result["model"]: result for result in (lake.get_json(f"{place}/result.json") for place in trainings)}
    if MAIN not in results or len(results) < len(set(trainings)):
        raise ConfigurationError(f"a comparison is of {MAIN} and others, one training each: these are {trainings}")
    images = catalogs.read(lake, results[MAIN]["snapshot_key"], Split).set_index("sha256", drop=False)
    scored = {name: _scored(lake, result, images) for name, result in results.items()}
    rows = []
    for name in sorted(results, key=lambda name: (name != MAIN, name)):
        result = results[name]
        row = {"model": name, "training": result["key"]}
        row |= {"learnt_from": result["learnt_from"], "of": results[MAIN]["learnt_from"]}
        row |= {"metrics": result["metrics"], "intervals": result["intervals"]}
        if name != MAIN:
            row |= _against(scored[MAIN], scored[name], rounds)
        same = "same_data" in results and row["learnt_from"] == results["same_data"]["learnt_from"] < row["of"]
        if same and name not in (MAIN, "same_data"):
            row["same_data"] = _against(scored["same_data"], scored[name], rounds)
        rows.append(row)
    lake.put_json(key, rows)
    return key


def beaten_by(rows: list[dict[str, Any]]) -> list[str]:
    """Models of a comparison that are better than the main model with confidence."""
    return [row["model"] for row in rows if row.get("verdict") == WORSE]


def _scored(lake: Lake, result: dict[str, Any], images: pd.DataFrame) -> Scored:
    predictions = lake.get_table(f"{result['key']}/predictions.parquet").set_index("sha256")
    test = images.loc[predictions.index].reset_index(drop=True)
    return Scored(test, predictions[result["classes"]].to_numpy(), ClassList(tuple(result["classes"])))


def _against(ours: Scored, theirs: Scored, rounds: int) -> dict[str, Any]:
    difference = paired_differences(ours, theirs, rounds)
    interval = difference[METRIC]
    verdict = OPEN
    if interval is not None:
        verdict = BETTER if interval[0] > 0 else WORSE if interval[1] < 0 else OPEN
    return {"difference": difference, "verdict": verdict}
