"""How sure it is that two aligned films are one: a logistic regression, whose weights stand here.

Not one number tells a copy from another film: films of one detector share its pattern, films of one body part look
alike, and two films of one patient in one position share most of their features. `bench/copies.py --fit` works the
weights out, from altered copies of films of two publishers, and from pairs of different films of theirs, most of them
of one patient or one detector. The films that it reports recall on are others.
"""

from __future__ import annotations

from collections.abc import Mapping

INTERCEPT = -5.8
WEIGHTS = {
    "inliers": -3.155,
    "share": 0.003,
    "exact": -1.376,
    "close": 3.51,
    "missed": -7.634,
    "likeness": 3.746,
    "cells": 2.81,
    "spread": 0.183,
    "strongest, least": -1.743,
    "strongest, most": 0.706,
    "grain, least": -1.295,
    "grain, most": 1.832,
    "size 1.6, least": 1.352,
    "size 1.6, most": 1.565,
    "size 2.2, least": -0.451,
    "size 2.2, most": 0.098,
    "size 2.8, least": 0.649,
    "size 2.8, most": -0.014,
    "size 3.4, least": 0.406,
    "size 3.4, most": -0.539,
    "window 1.2, shows 3, 0.2": 1.105,
    "window 1.2, shows 3, 0.35": 0.644,
    "window 1.2, shows 3, 0.5": 1.528,
    "window 1.2, shows 8, 0.2": 2.972,
    "window 1.2, shows 8, 0.35": 2.114,
    "window 1.2, shows 8, 0.5": 1.209,
    "window 2.2, shows 3, 0.2": -1.422,
    "window 2.2, shows 3, 0.35": -1.552,
    "window 2.2, shows 3, 0.5": -1.323,
    "window 2.2, shows 8, 0.2": 0.6,
    "window 2.2, shows 8, 0.35": 0.363,
    "window 2.2, shows 8, 0.5": -0.761,
}


def score(evidence: Mapping[str, float]) -> float:
    """Log-odds: above 0 the two are rather one film. Raises `KeyError` where evidence is missing."""
    return INTERCEPT + sum(weight * evidence[name] for name, weight in WEIGHTS.items())
