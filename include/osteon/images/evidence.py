"""How sure it is that two aligned films are one: a logistic regression, whose weights stand here.

Not one number tells a copy from another film: films of one detector share its pattern, films of one body part look
alike, and two films of one patient in one position share most of their features. `bench/copies.py --fit` works the
weights out, from altered copies of films of two publishers, and from pairs of different films of theirs, most of them
of one patient or one detector. The films that it reports recall on are others.
"""

from __future__ import annotations

from collections.abc import Mapping

INTERCEPT = -5.817
WEIGHTS = {
    "inliers": -1.955,
    "share": -0.239,
    "exact": 0.731,
    "close": 3.372,
    "missed": -5.403,
    "likeness": 3.493,
    "cells": 1.283,
    "spread": 0.999,
    "window 1.2, shows 3, 0.2": 0.526,
    "window 1.2, shows 3, 0.35": 0.453,
    "window 1.2, shows 3, 0.5": 1.452,
    "window 1.2, shows 8, 0.2": 1.782,
    "window 1.2, shows 8, 0.35": 1.541,
    "window 1.2, shows 8, 0.5": 1.1,
    "window 2.2, shows 3, 0.2": -0.665,
    "window 2.2, shows 3, 0.35": -1.349,
    "window 2.2, shows 3, 0.5": -0.539,
    "window 2.2, shows 8, 0.2": 0.321,
    "window 2.2, shows 8, 0.35": 0.201,
    "window 2.2, shows 8, 0.5": -0.184,
    "strongest, least": -1.725,
    "strongest, most": 0.648,
    "grain, least": -2.159,
    "grain, most": 2.109,
    "size 1.6, least": 0.21,
    "size 1.6, most": 1.962,
    "size 2.2, least": -0.297,
    "size 2.2, most": 0.463,
    "size 2.8, least": 0.148,
    "size 2.8, most": -0.068,
    "size 3.4, least": 0.285,
    "size 3.4, most": -0.095,
}


def score(evidence: Mapping[str, float]) -> float:
    """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
    return INTERCEPT + sum(weight * evidence[name] for name, weight in WEIGHTS.items())
