"""How sure it is that two aligned films are one: a logistic regression, whose weights stand here.

Not one number tells a copy from another film: films of one detector share its pattern, films of one body part look
alike, and two films of one patient in one position share most of their features. `bench/copies.py fit` works the
weights out, from altered copies of films of two publishers, and from pairs of different films of theirs, most of them
of one patient or one detector. The films that it reports recall on are others.
"""

from __future__ import annotations

from collections.abc import Mapping

INTERCEPT = -5.591
WEIGHTS = {
    "inliers": -5.488,
    "share": 2.965,
    "exact": -2.085,
    "close": 6.325,
    "missed": -11.694,
    "likeness": 2.17,
    "cells": 6.964,
    "spread": 0.165,
    "strongest, least": -3.156,
    "strongest, most": 2.111,
    "grain, least": -0.153,
    "grain, most": 1.432,
    "size 1.6, least": -1.613,
    "size 1.6, most": 0.999,
    "size 2.2, least": -1.319,
    "size 2.2, most": 1.298,
    "size 2.8, least": 2.307,
    "size 2.8, most": -1.768,
    "size 3.4, least": -1.952,
    "size 3.4, most": 1.365,
    "window 1.2, shows 3, 0.2": 2.172,
    "window 1.2, shows 3, 0.35": -8.436,
    "window 1.2, shows 3, 0.5": 3.677,
    "window 1.2, shows 8, 0.2": 5.377,
    "window 1.2, shows 8, 0.35": 3.441,
    "window 1.2, shows 8, 0.5": 0.516,
    "window 2.2, shows 3, 0.2": -1.403,
    "window 2.2, shows 3, 0.35": -3.695,
    "window 2.2, shows 3, 0.5": 0.597,
    "window 2.2, shows 8, 0.2": 1.918,
    "window 2.2, shows 8, 0.35": 2.805,
    "window 2.2, shows 8, 0.5": -2.102,
}


def score(evidence: Mapping[str, float]) -> float:
    """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
    return INTERCEPT + sum(weight * evidence[name] for name, weight in WEIGHTS.items())
