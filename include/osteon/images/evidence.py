"""How sure it is that two aligned films are one: a logistic regression, whose weights stand here.

Not one number tells a copy from another film: films of one detector share its pattern, films of one body part look
alike, and two films of one patient in one position share most of their features. `bench/copies.py fit` works the
weights out, from altered copies of films of two publishers, and from pairs of different films of theirs, most of them
of one patient or one detector. The films that it reports recall on are others.
"""

from __future__ import annotations

from collections.abc import Mapping

INTERCEPT = -10.132
WEIGHTS = {
    "inliers": -3.857,
    "share": 0.397,
    "exact": -1.844,
    "close": 5.138,
    "missed": -7.086,
    "likeness": 3.08,
    "cells": 4.85,
    "spread": -0.183,
    "strongest, least": -2.096,
    "strongest, most": 1.204,
    "grain, least": -1.364,
    "grain, most": 2.051,
    "size 1.6, least": 1.002,
    "size 1.6, most": 0.401,
    "size 2.2, least": -0.168,
    "size 2.2, most": 0.468,
    "size 2.8, least": 0.37,
    "size 2.8, most": 0.331,
    "size 3.4, least": 0.566,
    "size 3.4, most": -1.001,
    "window 1.2, shows 3, 0.2": 1.311,
    "window 1.2, shows 3, 0.35": -0.723,
    "window 1.2, shows 3, 0.5": 1.295,
    "window 1.2, shows 8, 0.2": 2.922,
    "window 1.2, shows 8, 0.35": 1.999,
    "window 1.2, shows 8, 0.5": 1.313,
    "window 2.2, shows 3, 0.2": -1.51,
    "window 2.2, shows 3, 0.35": -1.676,
    "window 2.2, shows 3, 0.5": -1.349,
    "window 2.2, shows 8, 0.2": 1.587,
    "window 2.2, shows 8, 0.35": 0.782,
    "window 2.2, shows 8, 0.5": -0.546,
}


def score(evidence: Mapping[str, float]) -> float:
    """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
    return INTERCEPT + sum(weight * evidence[name] for name, weight in WEIGHTS.items())
