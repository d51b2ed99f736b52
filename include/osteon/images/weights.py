"""How sure it is that two aligned films are one: logistic regressions, whose weights stand in `weights.json`.

`bench/fit_copies.py` works the weights out, from altered copies of films of two publishers, and from pairs of
different films: most of one patient, of one detector, of phantoms, or with the same words burnt in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
        values = {name: self.standardised(name, evidence[name]) for name in self.weights}
        linear = sum(weight * values[name] for name, weight in self.weights.items())
        return self.intercept + linear + sum(weight * values[a] * values[b] for a, b, weight in self.products)

    def standardised(self, name: str, value: float) -> float:
        """In standard deviations from the mean, at most CLIPPED."""
        return min(max((value - self.means[name]) / self.deviations[name], -CLIPPED), CLIPPED)


@dataclass(frozen=True)
class Model:
    """Both regressions."""

    features: Weights
    """On what features alone say: quick to work out."""
    ruled_out: float
    """Score of `features` below which two films are different, and their pictures are not compared."""
    sure: float
    """Score of `features` from which two films are copies, and their pictures are not compared either."""
    whole: Weights
    """On all evidence."""

    def is_sure(self, score: float) -> bool:
        """Whether this score of `features` decides, so that pictures need not be compared."""
        return score < self.ruled_out or score >= self.sure


@cache
def model() -> Model:
    """The weights of `weights.json`."""
    stored = json.loads(FILE.read_text())
    return Model(Weights(**stored["features"]), stored["ruled_out"], stored["sure"], Weights(**stored["whole"]))
