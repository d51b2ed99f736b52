"""How sure it is that two aligned films are one: regressions and boosted trees, which stand in `weights.json`.

`bench/fit_copies.py` works the weights out from copies and from different films. The copies are altered films of two
publishers. Most of the different films are of one patient, of one detector, phantoms, or have the same words burnt in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("weights.json")
CLIPPED = 4.0
"""Standard deviations beyond which evidence counts no more: nobody has fitted weights on such films."""


@dataclass(frozen=True)
class Weights:
    """A logistic regression on evidence and on products of two pieces of it, all of them standardised."""

    intercept: float
    means: dict[str, float]
    deviations: dict[str, float]
    """Of each piece of evidence, by name."""
    weights: dict[str, float]
    products: list[tuple[str, str, float]]
    """Two names, and the weight of their product."""

    def score(self, evidence: Mapping[str, float]) -> float:
        """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
        values = self.standardised(evidence)
        linear = sum(weight * values[name] for name, weight in self.weights.items())
        return self.intercept + linear + sum(weight * values[a] * values[b] for a, b, weight in self.products)

    def standardised(self, evidence: Mapping[str, float]) -> dict[str, float]:
        """In standard deviations from the mean, at most CLIPPED."""
        return {
            name: min(max((evidence[name] - self.means[name]) / self.deviations[name], -CLIPPED), CLIPPED)
            for name in self.weights
        }


@dataclass(frozen=True)
class Trees:
    """Gradient-boosted decision trees on the evidence that a regression has standardised.

    All are complete: below node n stand the nodes 2 n + 1, where the value is at most the threshold, and 2 n + 2.
    """

    asked: list[list[int]]
    """Which piece of evidence each inner node asks for (trees, nodes), by its place in the regression's weights."""
    thresholds: list[list[float]]
    """(trees, nodes)."""
    leaves: list[list[float]]
    """Log-odds that each leaf adds (trees, nodes + 1)."""

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.asked), np.array(self.thresholds), np.array(self.leaves)

    def score(self, standardised: Mapping[str, float]) -> float:
        """Log-odds, as those of `Weights.score`."""
        asked, thresholds, leaves = self._arrays
        values, trees = np.array(list(standardised.values())), np.arange(len(asked))
        node = np.zeros(len(asked), np.intp)
        while node[0] < asked.shape[1]:
            node = 2 * node + 1 + (values[asked[trees, node]] > thresholds[trees, node])
        return float(leaves[trees, node - asked.shape[1]].sum())


@dataclass(frozen=True)
class Model:
    """The regressions and the trees."""

    features: Weights
    """On what features alone say: quick to work out."""
    ruled_out: float
    """Score of `features` below which two films are different, and their pictures are not compared."""
    sure: float
    """Score of `features` from which two films are copies, and their pictures are not compared either."""
    whole: Weights
    """On all evidence."""
    trees: Trees
    """On the same: they see what a sum of weights does not, and err on other pairs."""

    def score(self, evidence: Mapping[str, float]) -> float:
        """Of all evidence, the mean log-odds of both: above 0 two films are copies."""
        return (self.whole.score(evidence) + self.trees.score(self.whole.standardised(evidence))) / 2

    def is_sure(self, score: float) -> bool:
        """Whether this score of `features` decides, so that pictures need not be compared."""
        return score < self.ruled_out or score >= self.sure


@cache
def model() -> Model:
    """The weights of `weights.json`."""
    stored = json.loads(FILE.read_text())
    parts = {"features": Weights, "whole": Weights, "trees": Trees}
    return Model(**{name: parts[name](**part) if name in parts else part for name, part in stored.items()})
