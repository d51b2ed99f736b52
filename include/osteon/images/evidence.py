"""How sure it is that two aligned films are one: a logistic regression, whose weights stand here.

Not one number tells a copy from another film: films of one detector share its pattern, films of one body part look
alike, and two films of one patient in one position share most of their features. `bench/copies.py --fit` works the
weights out, from altered copies of films of two publishers, and from pairs of different films of theirs, most of them
of one patient or one detector. The films that it reports recall on are others.
"""

from __future__ import annotations

from collections.abc import Mapping

INTERCEPT = 0.0
WEIGHTS: dict[str, float] = {}


def score(evidence: Mapping[str, float]) -> float:
    """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
    return INTERCEPT + sum(weight * evidence[name] for name, weight in WEIGHTS.items())
