"""How well answers agree with labels, on a scale where 0.5 is chance, and answers of simple classifiers out of fold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

FOLDS = 5
LEAST = 5
"""Images of either label that are needed to compare the two."""
Rows = NDArray[np.intp]
Scores = NDArray[np.floating]


@dataclass(frozen=True)
class Agreement:
    """The chance that answers rank two images of different labels as their labels do.

    Of two labels it is the area under the ROC curve. Of several it is the mean over pairs of labels (D. Hand and
    R. Till, Machine Learning 45, 2001). 1 is full agreement, 0.5 chance, 0 the opposite of every label.
    """

    value: float
    error: float
    """Standard error, by the placements of E. DeLong et al. (Biometrics 44, 1988)."""
    images: int

    def low(self, deviations: float) -> float:
        """Lower bound, so many standard errors below the value."""
        return self.value - deviations * self.error

    def high(self, deviations: float) -> float:
        """Upper bound."""
        return self.value + deviations * self.error

    def __str__(self) -> str:
        return f"{self.value:.2f} of {self.images} images"


def agreement(comparisons: Iterable[tuple[Rows, Rows, Scores]], images: int) -> Agreement | None:
    """The mean of several comparisons, each weighed as by P. van Elteren (1960); None where there is none.

    Args:
        comparisons: Rows of one label, rows of another, and (images,) what ranks the former higher. One with fewer
            than LEAST rows of a label is left out.
        images: Rows of the table that all of them number.
    """
    total, value, chance = 0.0, 0.0, 0.0
    influence, used = np.zeros(images), np.zeros(images, bool)
    for yes, no, score in comparisons:
        first, second = len(yes), len(no)
        if min(first, second) < LEAST:
            continue
        weight = first * second / (first + second)
        ranks = rankdata(np.concatenate([score[yes], score[no]]))
        above = (ranks[:first] - rankdata(score[yes])) / second
        below = 1 - (ranks[first:] - rankdata(score[no])) / first
        area = float(above.mean())
        total, value = total + weight, value + weight * area
        chance += weight**2 * (first + second + 1) / (12 * first * second)
        influence[yes] += weight * (above - area) / first
        influence[no] += weight * (below - area) / second
        used[[*yes, *no]] = True
    if not total:
        return None
    # answers that are all right have no spread: half of what chance alone spreads is the least
    error = max(float(np.sqrt((influence**2).sum())), float(np.sqrt(chance)) / 2) / total
    return Agreement(value / total, error, int(used.sum()))


def part_comparisons(parts: NDArray[np.object_], answers: pd.DataFrame) -> Iterable[tuple[Rows, Rows, Scores]]:
    """Of the body part: every two parts that `answers` (a log-probability for each part) tell apart."""
    for first, second in combinations(answers.columns, 2):
        score = (answers[first] - answers[second]).to_numpy()
        yield np.flatnonzero(parts == first), np.flatnonzero(parts == second), score


def state_comparisons(
    parts: NDArray[np.object_], fractured: NDArray[np.bool_], answers: Scores
) -> Iterable[tuple[Rows, Rows, Scores]]:
    """Of the fracture state: the two states within each part. `answers` are nan where nothing is said."""
    said = ~np.isnan(answers)
    for part in sorted(set(parts)):
        own = said & (parts == part)
        yield np.flatnonzero(own & fractured), np.flatnonzero(own & ~fractured), answers


def out_of_fold(
    features: Scores,
    labels: NDArray[np.object_],
    clusters: NDArray[np.object_],
    asked: Scores,
    asked_clusters: NDArray[np.object_],
) -> pd.DataFrame | None:
    """Log-probabilities of labels for images that are asked about, by classifiers that saw nothing of their cluster.

    Args:
        features: (n, columns) of images that teach.
        labels: (n,) theirs.
        clusters: (n,) theirs.
        asked: (m, columns) of the images that are asked about.
        asked_clusters: (m,) theirs.

    Returns:
        (m, labels), a column for each label with 2 * FOLDS clusters; None where fewer than two have as many.
    """
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame({"label": labels, "cluster": clusters})
    counts = table.groupby("label")["cluster"].nunique()
    known = sorted(counts[counts >= 2 * FOLDS].index)
    if len(known) < 2:
        return None
    taught = table["label"].isin(known).to_numpy()
    truth = table.loc[taught, "label"].map({name: code for code, name in enumerate(known)}).to_numpy()
    folds = _folds(table[taught])
    teaching_fold, seen = folds[table.loc[taught, "cluster"]].to_numpy(), features[taught]
    strangers = pd.Series(np.arange(len(asked)) % FOLDS)  # none of their cluster teaches
    asked_fold = pd.Series(asked_clusters).map(folds).fillna(strangers).to_numpy(int)
    answers = np.full((len(asked), len(known)), np.nan)
    for number in range(FOLDS):
        rest, rows = teaching_fold != number, asked_fold == number
        if rows.any() and len(set(truth[rest])) == len(known):
            model = LogisticRegression(max_iter=500, C=0.01, class_weight="balanced")
            answers[rows] = model.fit(seen[rest], truth[rest]).predict_log_proba(asked[rows])
    return pd.DataFrame(answers, columns=known)


def _folds(table: pd.DataFrame) -> pd.Series:
    """Fold of each cluster, 0 to FOLDS - 1: as many clusters of each label in each. `table`: `label, cluster`."""
    clusters = table.drop_duplicates("cluster").sort_values("cluster").sample(frac=1, random_state=0)
    return (clusters.groupby("label").cumcount() % FOLDS).set_axis(clusters["cluster"])
