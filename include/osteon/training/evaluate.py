"""The measures, under their one set of names, with bootstrap intervals over clusters and the shortcut floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    roc_curve,
)
from sklearn.preprocessing import OrdinalEncoder

from osteon.labels import STATES
from osteon.results import CalibrationBin, ConfusionMatrix, Curves, Evaluation, Interval, Intervals, Metrics, Slice
from osteon.training.classes import ClassList
from osteon.training.sampling import Rows

BINS = 10
CURVE_POINTS = 200
SLICE, MIN_PER_STATE = 20, 5
"""Fewer images of a slice are counted, but not measured; its fractures only if there are that many of either state."""
FRACTURE = ("fracture_auroc", "fracture_auroc_within_part", "average_precision", "sensitivity_at_90_specificity")
"""The measures that need both states."""
MEASURES = {
    "joint_accuracy": "joint accuracy",
    "macro_f1": "macro-F1",
    "part_accuracy": "part accuracy",
    "fracture_auroc_within_part": "fracture AUROC within part",
    "fracture_auroc": "fracture AUROC",
    "average_precision": "average precision",
    "sensitivity_at_90_specificity": "sensitivity at 90 % specificity",
    "ece": "calibration error, joint class",
    "fracture_ece": "calibration error, fracture",
}
"""All of them in words, in the order in which they are told."""


class Predictions:
    """A model's calibrated probabilities on images, ready to be measured on any of them.

    `images` has `body_part, fractured, group, cluster, source`; `probabilities` is (n, classes).
    """

    def __init__(self, images: pd.DataFrame, probabilities: NDArray[np.floating], classes: ClassList) -> None:
        self.images, self.probabilities, self.classes = images, probabilities, classes
        self.parts = images["body_part"].to_numpy(object)
        silent = images["body_part"].isin(classes.silent)
        self.known = (images["fractured"].notna() & ~silent).to_numpy(bool)
        self.fractured = images["fractured"].fillna(False).to_numpy(bool)
        self.truth = (images["body_part"] + "/" + images["fractured"].fillna(False).map(STATES)).to_numpy(object)
        self.guess = np.array(classes.names, object)[probabilities.argmax(axis=1)]
        codes = pd.factorize(np.concatenate([self.truth, self.guess]))[0]
        self._codes = codes[: len(images)], codes[len(images) :]
        self.part_guess = np.array(classes.parts, object)[classes.part_probability(probabilities).argmax(axis=1)]
        self.fracture = classes.fracture_probability(probabilities, self.parts.tolist())
        self.judged = self.known & np.isfinite(self.fracture)

    @property
    def every(self) -> Rows:
        """The row numbers of all images."""
        return np.arange(len(self.images))

    def measure(self, rows: Rows | None = None) -> Metrics:
        """All single-number measures; None where undefined (no such images, or one state only).

        Images of unknown state, and of parts whose state the model cannot tell, count for `part_accuracy` only. The
        fracture measures use P(fractured | the true part). Pooled over parts they also tell how often each part is
        fractured: read them beside `metadata_baseline`. `fracture_auroc_within_part` compares fractured and whole
        images of the same part only: the parts' AUROCs, weighted by their pairs. `ece` is the expected calibration
        error of the joint class over 10 equal bins (Guo et al., ICML 2017), `fracture_ece` that of P(fractured | the
        true part).
        """
        rows = self.every if rows is None else rows
        known, judged = rows[self.known[rows]], rows[self.judged[rows]]
        right = self.truth[known] == self.guess[known]
        yes, score = self.fractured[judged], self.fracture[judged]
        both = 0 < yes.sum() < len(yes)
        return {
            "part_accuracy": _mean(self.part_guess[rows] == self.parts[rows]),
            "joint_accuracy": _mean(right),
            "macro_f1": self.macro_f1(known),
            "fracture_auroc": auroc(yes, score),
            "fracture_auroc_within_part": self._within_part(judged),
            "average_precision": float(average_precision_score(yes, score)) if both else None,
            "sensitivity_at_90_specificity": sensitivity(yes, score),
            "ece": calibration_error(self.probabilities[known].max(axis=1), right) if len(known) else None,
            "fracture_ece": calibration_error(score, yes) if len(judged) else None,
        }

    def macro_f1(self, rows: Rows) -> float | None:
        """Over the joint classes that the images of these rows, all of known state, have; None where there is none."""
        truth, guess = (codes[rows] for codes in self._codes)
        present = np.unique(truth)
        return float(f1_score(truth, guess, labels=present, average="macro", zero_division=0)) if len(present) else None

    def _within_part(self, judged: Rows) -> float | None:
        pairs, concordant = 0, 0.0
        for part in set(self.parts[judged]):
            rows = judged[self.parts[judged] == part]
            yes = int(self.fractured[rows].sum())
            area = auroc(self.fractured[rows], self.fracture[rows])
            if area is not None:
                pairs += yes * (len(rows) - yes)
                concordant += area * yes * (len(rows) - yes)
        return concordant / pairs if pairs else None

    def intervals(self, rounds: int, rows: Rows | None = None) -> Intervals:
        """95 % intervals of `measure`'s figures."""
        rows = self.every if rows is None else rows
        return bootstrap(self.images["cluster"].iloc[rows], lambda some: self.measure(rows[some]), rounds)


def evaluate(scored: Predictions, rounds: int) -> Evaluation:
    """A model's figures on the test split, but for `metadata_baseline` and `robustness`."""
    parts = {part: np.flatnonzero(scored.judged & (scored.parts == part)) for part in scored.classes.parts}
    curves = {name: _curves(scored, rows) for name, rows in {"all": np.flatnonzero(scored.judged), **parts}.items()}
    known = scored.known
    calls = np.where(scored.fracture >= 0.5, STATES[True], STATES[False])
    truth = np.where(scored.fractured, STATES[True], STATES[False])
    return Evaluation(
        n_evaluable=int(scored.judged.sum()),
        metrics=scored.measure(),
        fracture_auroc_by_part={
            name: auroc(scored.fractured[rows], scored.fracture[rows]) if tells(scored, rows) else None
            for name, rows in parts.items()
        },
        intervals=scored.intervals(rounds),
        slices=[_slice(scored, name, rows, rounds) for name, rows in slices(scored.images).items()],
        curves={name: curve for name, curve in curves.items() if curve is not None},
        confusion={
            "part": confusion(scored.parts, scored.part_guess),
            "fracture": confusion(truth[scored.judged], calls[scored.judged]),
            "joint": confusion(scored.truth[known], scored.guess[known]),
        },
        calibration=calibration(scored.fractured[scored.judged], scored.fracture[scored.judged]),
    )


def slices(images: pd.DataFrame) -> dict[str, Rows]:
    """Rows of each body part, of each source, and, where there are several, of all but each source."""
    found = {f"part {name}": images["body_part"] == name for name in sorted(images["body_part"].unique())}
    sources = sorted(images["source"].unique())
    found |= {f"source {name}": images["source"] == name for name in sources}
    if len(sources) > 1:
        found |= {f"without {name}": images["source"] != name for name in sources}
    return {name: np.flatnonzero(rows) for name, rows in found.items()}


def _slice(scored: Predictions, name: str, rows: Rows, rounds: int) -> Slice:
    judged = rows[scored.judged[rows]]
    metrics, intervals = None, None
    if len(rows) >= SLICE:
        untold = {} if tells(scored, judged) else dict.fromkeys(FRACTURE)
        metrics, intervals = scored.measure(rows) | untold, scored.intervals(rounds, rows) | untold
    return Slice(
        name=name,
        n_images=len(rows),
        n_evaluable=len(judged),
        n_fractured=int(scored.fractured[judged].sum()),
        metrics=metrics,
        intervals=intervals,
    )


def tells(scored: Predictions, judged: Rows) -> bool:
    """Whether there are enough images of either state to say anything about fractures."""
    yes = int(scored.fractured[judged].sum())
    return len(judged) >= SLICE and min(yes, len(judged) - yes) >= MIN_PER_STATE


def _curves(scored: Predictions, rows: Rows) -> Curves | None:
    """Of fracture detection; None of too few images."""
    truth, score = scored.fractured[rows], scored.fracture[rows]
    if not tells(scored, rows):
        return None
    false_positive, true_positive, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    return Curves(roc=_thinned(false_positive, true_positive), precision_recall=_thinned(recall, precision))


def _thinned(x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[list[float], list[float]]:
    some = np.unique(np.linspace(0, len(x) - 1, CURVE_POINTS).round().astype(int))
    return x[some].round(4).tolist(), y[some].round(4).tolist()


def confusion(truth: NDArray[Any], guess: NDArray[Any]) -> ConfusionMatrix:
    """Counts of true labels by predicted labels."""
    labels = sorted(set(truth) | set(guess))
    counts = confusion_matrix(truth, guess, labels=labels).tolist() if labels else []
    return ConfusionMatrix(labels=labels, counts=counts)


def auroc(truth: NDArray[np.bool_], score: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve; None with one state only.

    By ranks (Hanley and McNeil, Radiology 143, 1982), which is many times faster for the small samples of a bootstrap
    than what draws the curve.
    """
    yes, no = int(truth.sum()), int((~truth).sum())
    if yes == 0 or no == 0:
        return None
    return float((rankdata(score)[truth].sum() - yes * (yes + 1) / 2) / (yes * no))


def sensitivity(truth: NDArray[np.bool_], score: NDArray[np.floating], specificity: float = 0.9) -> float | None:
    """The highest sensitivity at a specificity of at least the given one; None with one state only."""
    if not 0 < truth.sum() < len(truth):
        return None
    false_positive, true_positive, _ = roc_curve(truth, score, drop_intermediate=False)
    return float(true_positive[false_positive <= 1 - specificity + 1e-9].max())


def group_bootstrap_indices(clusters: pd.Series, rounds: int, seed: int = 0) -> list[Rows]:
    """Row numbers of bootstrap samples that draw whole clusters with replacement (the cluster bootstrap)."""
    rng = np.random.default_rng(seed)
    of_cluster = clusters.reset_index(drop=True).groupby(clusters.to_numpy()).indices
    rows = [np.asarray(index) for index in of_cluster.values()]
    return [np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(rounds)]


def bootstrap(
    clusters: pd.Series, figures: Callable[[Rows], Metrics], rounds: int, confidence: float = 0.95
) -> Intervals:
    """Percentile intervals of `figures(rows)` over clusters; None where most samples leave one undefined."""
    samples = [figures(rows) for rows in group_bootstrap_indices(clusters, rounds)]
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    result: Intervals = {}
    for name in samples[0]:
        values = [value for sample in samples if (value := sample[name]) is not None]
        result[name] = _quantiles(values, ends) if len(values) > rounds / 2 else None
    return result


def _quantiles(values: list[float], ends: tuple[float, float]) -> Interval:
    low, high = np.quantile(values, ends)
    return float(low), float(high)


def metadata_baseline(train: pd.DataFrame, test: pd.DataFrame) -> Metrics:
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


def paired_bootstrap(
    ours: Predictions,
    theirs: Predictions,
    rounds: int,
    confidence: float = 0.95,
    measure: Callable[[Predictions, Rows], Metrics] = Predictions.measure,
    rows: Rows | None = None,
) -> Intervals:
    """Intervals of ours - theirs, for each figure that `measure` gives.

    The bootstrap samples are the same for both, of the same images, or of some `rows` of them.
    """
    chosen = ours.every if rows is None else rows

    def difference(some: Rows) -> Metrics:
        a, b = (measure(scored, chosen[some]) for scored in (ours, theirs))
        return {name: None if a[name] is None or b[name] is None else a[name] - b[name] for name in a}  # type: ignore[operator]

    return bootstrap(ours.images["cluster"].iloc[chosen], difference, rounds, confidence)


def calibration(truth: NDArray[np.bool_], probability: NDArray[np.floating]) -> list[CalibrationBin]:
    """Reliability of probabilities, in those of equal bins that hold any."""
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return [
        CalibrationBin(
            lower=i / BINS,
            count=int((place == i).sum()),
            mean_probability=float(probability[place == i].mean()),
            fraction_positive=float(truth[place == i].mean()),
        )
        for i in range(BINS)
        if (place == i).any()
    ]


def calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error of the probability that what is called `right` holds.

    It is taken over BINS equal bins (Guo et al., ICML 2017).
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        abs(confidence[bins == i].mean() - right[bins == i].mean()) * (bins == i).mean()
        for i in range(BINS)
        if (bins == i).any()
    ]
    return float(sum(gaps))


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None
