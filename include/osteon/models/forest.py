"""The third baseline: a random forest on pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV, StratifiedGroupKFold

from osteon.errors import TrainingError

SIDE = 64
"""Pixels of the square that it reads."""
SPACE = {
    "n_estimators": [100, 200],
    "max_depth": [None, 12, 24],
    "max_features": ["sqrt", 0.03],
    "min_samples_leaf": [1, 2, 4],
    "class_weight": [None, "balanced_subsample"],
}
ITERATIONS, FOLDS = 10, 3


class Forest:
    """Called like a network: from features to log probabilities, which serve as logits."""

    def __init__(self, best: RandomForestClassifier, classes: int) -> None:
        self.best, self.classes = best, classes

    def __call__(self, features: NDArray[np.floating], training: bool = False) -> NDArray[np.float64]:
        """Logits (n, classes) of features (n, rows, columns, planes), as a network gives them."""
        probabilities = np.zeros((len(features), self.classes))
        probabilities[:, self.best.classes_] = self.best.predict_proba(_flat(features))
        return np.log(probabilities + 1e-3)  # no class is impossible because no tree voted for it


def fit(
    features: NDArray[np.float16], allowed: NDArray[np.float32], groups: NDArray[Any], seed: int
) -> tuple[Forest, dict[str, Any]]:
    """Search and fit. Returns the forest and its parameters, the best of those tried.

    Each row of `allowed` (n, classes) admits one class. Folds hold whole clusters, `groups`. Raises `TrainingError` for
    fewer than two classes.
    """
    x, y = _flat(features), allowed.argmax(axis=1)
    if len(np.unique(y)) < 2:
        raise TrainingError("the forest's sample holds fewer than two classes: raise OSTEON_BASELINE_SHARE")
    search = RandomizedSearchCV(
        RandomForestClassifier(random_state=seed, n_jobs=-1),
        SPACE,
        n_iter=ITERATIONS,
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed),
        scoring="f1_macro",
        random_state=seed,
    ).fit(x, y, groups=groups)
    return Forest(search.best_estimator_, allowed.shape[1]), dict(search.best_params_)


def _flat(features: NDArray[np.floating]) -> NDArray[np.float32]:
    return features.reshape(len(features), -1).astype(np.float32)
