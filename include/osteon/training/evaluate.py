"""The measures, under their one set of names, with bootstrap intervals over leakage groups and the shortcut floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve
from sklearn.preprocessing import OrdinalEncoder

from osteon.training.classes import STATES, ClassList

BINS = 10
Metrics = dict[str, float | None]


def measure(images: pd.DataFrame, probabilities: NDArray[np.floating], classes: ClassList) -> Metrics:
    """All single-number measures; None where undefined (no such images, or one state only).

    `images` has `body_part, fractured`; `probabilities` is (n, classes). Images of unknown state count for
    `part_accuracy` only. The fracture measures use P(fractured | the true part), pooled over parts: parts differ in how
    often they are fractured, so read them beside `shortcut_floor` and `auroc_by_part`. `ece` is the expected
    calibration error of the joint class over 10 equal bins (Guo et al., ICML 2017).
    """
    parts = images["body_part"].tolist()
    part_names = np.array(classes.parts)
    result: Metrics = {
        "part_accuracy": _mean(part_names[classes.part_probability(probabilities).argmax(axis=1)] == np.array(parts))
    }
    known = images["fractured"].notna().to_numpy(bool)
    states = images["fractured"].fillna(False).to_numpy(bool)
    truth = np.array([f"{part}/{STATES[state]}" for part, state in zip(parts, states, strict=True)])
    guess = np.array(classes.names)[probabilities.argmax(axis=1)]
    right = truth == guess
    result["joint_accuracy"] = _mean(right[known])
    present = sorted(set(truth[known]))
    result["macro_f1"] = (
        float(f1_score(truth[known], guess[known], labels=present, average="macro", zero_division=0))
        if present
        else None
    )
    fracture = classes.fracture_probability(probabilities, parts)
    judged = known & np.isfinite(fracture)
    yes, score = states[judged], fracture[judged]
    result["fracture_auroc"] = auroc(yes, score)
    result["average_precision"] = float(average_precision_score(yes, score)) if 0 < yes.sum() < len(yes) else None
    result["sensitivity_at_90_specificity"] = sensitivity(yes, score)
    confidence = probabilities.max(axis=1)[known]
    result["ece"] = calibration_error(confidence, right[known]) if known.any() else None
    return result


def auroc(truth: NDArray[np.bool_], score: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve; None with one state only."""
    return float(roc_auc_score(truth, score)) if 0 < truth.sum() < len(truth) else None


def auroc_by_part(images: pd.DataFrame, probabilities: NDArray[np.floating], classes: ClassList) -> Metrics:
    """Fracture AUROC within each body part of the test split."""
    result: Metrics = {}
    for part in classes.parts:
        rows = ((images["body_part"] == part) & images["fractured"].notna()).to_numpy(bool)
        score = classes.fracture_probability(probabilities[rows], [part] * int(rows.sum()))
        finite = np.isfinite(score)
        result[part] = auroc(images.loc[rows, "fractured"].to_numpy(bool)[finite], score[finite])
    return result


def sensitivity(truth: NDArray[np.bool_], score: NDArray[np.floating], specificity: float = 0.9) -> float | None:
    """The highest sensitivity at a specificity of at least the given one; None with one state only."""
    if not 0 < truth.sum() < len(truth):
        return None
    false_positive, true_positive, _ = roc_curve(truth, score, drop_intermediate=False)
    return float(true_positive[false_positive <= 1 - specificity + 1e-9].max())


def resamples(groups: pd.Series, rounds: int, seed: int = 0) -> list[NDArray[np.intp]]:
    """Row numbers of bootstrap samples that draw whole leakage groups with replacement."""
    rng = np.random.default_rng(seed)
    rows = [np.asarray(index) for index in groups.reset_index(drop=True).groupby(groups.to_numpy()).indices.values()]
    return [np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(rounds)]


def intervals(
    images: pd.DataFrame, probabilities: NDArray[np.floating], classes: ClassList, rounds: int
) -> dict[str, list[float] | None]:
    """95 % intervals of `measure`'s figures."""
    return bootstrap(images["group"], lambda rows: measure(images.iloc[rows], probabilities[rows], classes), rounds)


def bootstrap(
    groups: pd.Series, figures: Callable[[NDArray[np.intp]], Metrics], rounds: int
) -> dict[str, list[float] | None]:
    """95 % percentile intervals of `figures(rows)` over leakage groups; None where most samples leave one undefined."""
    samples = [figures(rows) for rows in resamples(groups, rounds)]
    result: dict[str, list[float] | None] = {}
    for name in samples[0]:
        values = [value for sample in samples if (value := sample[name]) is not None]
        enough = len(values) > rounds / 2
        result[name] = [float(bound) for bound in np.percentile(values, [2.5, 97.5])] if enough else None
    return result


def shortcut_floor(train: pd.DataFrame, test: pd.DataFrame) -> Metrics:
    """Fracture AUROC on the test split without looking at any pixel: from the body part, and from file and size."""
    known = [frame[frame["fractured"].notna()] for frame in (train, test)]
    result: Metrics = {"body part": None, "file size, dimensions, mode": None}
    truth = [frame["fractured"].to_numpy(bool) for frame in known]
    if len(set(truth[0])) < 2 or len(set(truth[1])) < 2:
        return result
    by_part = pd.Series(truth[0]).groupby(known[0]["body_part"].to_numpy()).mean()
    result["body part"] = auroc(truth[1], known[1]["body_part"].map(by_part).fillna(truth[0].mean()).to_numpy(float))
    columns = ["bytes", "width", "height"]
    modes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(known[0][["mode"]].astype(str))
    values = [
        np.hstack([frame[columns].to_numpy(float), modes.transform(frame[["mode"]].astype(str))]) for frame in known
    ]
    model = HistGradientBoostingClassifier(max_iter=60, max_depth=3, random_state=0).fit(values[0], truth[0])
    result["file size, dimensions, mode"] = auroc(truth[1], model.predict_proba(values[1])[:, 1])
    return result


def paired_difference(
    images: pd.DataFrame,
    ours: Callable[[NDArray[np.intp]], Metrics],
    theirs: Callable[[NDArray[np.intp]], Metrics],
    metric: str,
    rounds: int,
) -> tuple[float, float] | None:
    """95 % interval of ours - theirs of a metric, over the same bootstrap samples; None when mostly undefined."""
    differences = []
    for rows in resamples(images["group"], rounds):
        a, b = ours(rows)[metric], theirs(rows)[metric]
        if a is not None and b is not None:
            differences.append(a - b)
    if len(differences) <= rounds / 2:
        return None
    low, high = np.percentile(differences, [2.5, 97.5])
    return float(low), float(high)


def calibration(truth: NDArray[np.bool_], chance: NDArray[np.floating]) -> list[dict[str, float]]:
    """Reliability of probabilities in equal bins that hold any: `from, count, mean, share` (share that is true)."""
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    return [
        {"from": i / BINS, "count": int((place == i).sum()), "mean": float(chance[place == i].mean()),
         "share": float(truth[place == i].mean())}
        for i in range(BINS) if (place == i).any()
    ]  # fmt: skip


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over BINS equal bins (Guo et al., ICML 2017)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[bins == i].mean() - right[bins == i].mean()) * (bins == i).mean()
        for i in range(BINS)
        if (bins == i).any()
    ]
    return float(sum(gaps))


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
