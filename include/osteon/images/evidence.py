"""What tells a copy of a film from another film, once the two are aligned: numbers that `weights.score` weighs.

Not one number does. Films of one detector share its pattern, films of one body part look alike, and two films of one
patient in one position share most of their features. Between two exposures that patient has moved a little, which no
affine transform makes good; a copy lies where its film lies, however noisy it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.alignment import Alignment
from osteon.images.descriptors import VIEWS
from osteon.images.fingerprint import Fingerprint

CELLS = 8
"""Rows and columns of a film in which inliers are counted."""
STRONGEST = 60
"""Features of a film that a share is worked out of by themselves: noise hardly adds to these."""
FEW = 12
"""Inliers below which nothing is said of how their residuals are spread."""
WINDOWS = (1.2, 2.2)
"""Standard deviations, in pixels of the small picture, of the windows that correlations are worked out in."""
SHOWS = (8.0, 20.0)
"""Deviations in grey levels from which a window shows something, and counts half."""
QUANTILES = (0.2, 0.5)
"""Of the local correlations."""
TEXTURE = (WINDOWS[1], SHOWS[1])
"""Of these, the window and the deviation by which it is said how much both films show."""
NO_TEXTURE = 1e-3
"""Added to that, of which a logarithm is taken."""
OUTLINES = 3.0
"""Standard deviation, in pixels of the small picture, of the blur that leaves outlines only."""
GREY = 2.0
"""Deviation in grey levels that is added, so that flat areas correlate with nothing."""
DRIFT = 4.0
"""Standard deviation, in pixels of the small picture, of the windows that a drift is worked out in."""
DRIFTS, GAINS = (0.25, 0.5, 0.75), (0.5, 0.75)
"""Quantiles of the drift, and of what it explains."""
NO_DRIFT, NO_GAIN = math.log(3.0), -1.0
"""The same where too little is shown by both."""
LEAST_SHOWN = CELLS**2 // 2
"""Pixels of the small picture that both films must show."""

Picture = NDArray[np.float32]
Shown = NDArray[np.bool_]


def of_features(
    first: Fingerprint, second: Fingerprint, found: Alignment, inverse: NDArray[np.float64], covers: float
) -> dict[str, float]:
    """What the inliers say, and how noisy the films are.

    `first` and `second` are the frames that were aligned, `inverse` (2, 3) is the transform back, and `covers` the
    share of the first film that both show. Logarithms, but for `missed`, the median distance in pixels. Shares are of
    the features that either film has where both show something, whichever has fewer (`least`) or more (`most`).
    """
    missed = found.missed
    ours, theirs = found.matched.rows[found.inside].T
    shown = np.flatnonzero(_within(first.positions, found.matrix, second.size))
    others = np.flatnonzero(_within(second.positions, inverse, first.size))
    near, close, far, wide = (np.count_nonzero(missed < reach) for reach in (1.0, 1.5, 8.0, 12.0))
    place = (first.positions[ours] * CELLS / np.array(first.size)).astype(int)
    cells = len(np.unique(place @ (CELLS, 1)))
    likeness = (first.unit[ours] * VIEWS[found.view] * second.unit[theirs]).sum(axis=1)
    strongest = [
        np.log((np.count_nonzero(_chosen(film, of[:STRONGEST])[some]) + 0.5) / (len(of[:STRONGEST]) + 1))
        for film, some, of in ((first, ours, shown), (second, theirs, others))
    ]
    evidence = {
        "inliers": np.log(found.inliers),
        "share": np.log(found.inliers / max(min(len(shown), len(others)), found.inliers)),
        "exact": np.log((near + 0.5) / (far + 1)),
        "close": np.log((close + 0.5) / (wide + 1)),
        "missed": np.median(missed[found.inside]),
        "likeness": _odds(np.median(likeness)),
        "cells": np.log(cells),
        "spread": np.log(cells / max(1.0, covers * CELLS**2) + 0.01),
        "strongest, least": min(strongest),
        "strongest, most": max(strongest),
        "grain, least": min(first.grain, second.grain),
        "grain, most": max(first.grain, second.grain),
        **_bends(found),
    }
    return {name: float(value) for name, value in evidence.items()}


def _bends(found: Alignment) -> dict[str, float]:
    """Whether what the transform misses the inliers by is smooth, as where a patient has moved.

    `bent` is the logarithm of the F ratio of a quadratic surface against an affine one. `smooth` says how alike the
    residuals of neighbours are, -1 to 1 (Moran's I with one neighbour). Both are 0 where inliers are few.
    """
    source = found.matched.source[found.inside]
    count = len(source)
    if count < FEW:
        return {"bent": 0.0, "smooth": 0.0}
    residuals = found.matched.target[found.inside] - source @ found.matrix[:, :2].T - found.matrix[:, 2]
    x, y = ((source - source.mean(axis=0)) / max(1.0, float(source.std()))).T
    surface = np.stack([np.ones(count), x, y, x * x, x * y, y * y], axis=1)
    affine, quadratic = (
        residuals - design @ np.linalg.lstsq(design, residuals, rcond=None)[0] for design in (surface[:, :3], surface)
    )
    before, after = float((affine**2).sum()), float((quadratic**2).sum())
    ratio = ((before - after) / 6) / max(1e-6, after / (2 * (count - 6)))
    apart = ((source[:, None] - source[None]) ** 2).sum(axis=-1)
    apart[apart < 4] = np.inf  # one corner may give several features
    alike = float((affine * affine[apart.argmin(axis=1)]).sum()) / max(1e-6, before)
    return {"bent": math.log(ratio + 0.3), "smooth": float(np.clip(alike, -1, 1))}


def of_pictures(
    first: Fingerprint, second: Fingerprint, between: NDArray[np.float64], shown: Shown, negative: bool
) -> dict[str, float]:
    """What the small pictures say, aligned by `between` (2, 3), where both are `shown` (pixels of the first's)."""
    moved = warped(second.picture.astype(np.float32), between, first.picture.shape)
    evened = warped(-second.evened if negative else second.evened, between, first.picture.shape)
    sign = -1.0 if negative else 1.0
    return {
        **_correlations(first.picture.astype(np.float32), moved, shown, sign),
        **_drift(first.evened, evened, shown),
        "outlines": _outlines(first.evened, evened, shown),
    }


def _outlines(one: Picture, two: Picture, shown: Shown) -> float:
    """How alike two aligned pictures of even contrast are once details are blurred away, as `_odds` says.

    Two limbs on one detector share its streaks, but not their outlines.
    """
    if np.count_nonzero(shown) < LEAST_SHOWN:
        return _odds(0.0)
    smooth = _blur(OUTLINES, cv2.BORDER_DEFAULT)
    return _odds(correlation(smooth(one)[shown], smooth(two)[shown]))


def _correlations(one: Picture, two: Picture, shown: Shown, sign: float) -> dict[str, float]:
    """How alike two aligned pictures are.

    Around each pixel the two are correlated in a small window, which leaves out how each was exposed. The results are
    quantiles over all pixels, weighted by what both show there. So flat areas count little, and a burnt-in text or a
    hole spoils only its own surroundings. They are given as `_odds` says. `texture` is the logarithm of the mean
    weight: where it is low, there is hardly anything to correlate.
    """
    if np.count_nonzero(shown) < LEAST_SHOWN:
        nothing = {_named(*which): _odds(0.0) for which in product(WINDOWS, SHOWS, QUANTILES)}
        return nothing | {"texture": math.log(NO_TEXTURE)}
    weight = shown.astype(np.float32)
    found: dict[str, float] = {}
    for window in WINDOWS:
        blurred = _blur(window)
        total = np.maximum(blurred(weight), 1e-3)
        mean_one, mean_two = blurred(one * weight) / total, blurred(two * weight) / total
        of_one = np.maximum(blurred(one * one * weight) / total - mean_one**2, 0)
        of_two = np.maximum(blurred(two * two * weight) / total - mean_two**2, 0)
        both = blurred(one * two * weight) / total - mean_one * mean_two
        local = (both / np.sqrt((of_one + GREY**2) * (of_two + GREY**2)))[shown] * sign
        order, least = np.argsort(local), np.minimum(of_one, of_two)[shown]
        for shows in SHOWS:
            weights = least / (least + shows**2)
            if (window, shows) == TEXTURE:
                found["texture"] = math.log(float(weights.mean()) + NO_TEXTURE)
            values = _quantiles(local, weights, order, QUANTILES)
            found |= {_named(window, shows, at): _odds(value) for at, value in zip(QUANTILES, values, strict=True)}
    return found


def _drift(one: Picture, two: Picture, shown: Shown) -> dict[str, float]:
    """How far two aligned pictures of even contrast still lie apart here and there, and what that explains.

    One step of the method of Lucas and Kanade (IJCAI 1981) in windows of deviation DRIFT. `drift` are logarithms of
    quantiles in pixels, weighted by texture; `gain` are those of the share of the difference that the drift explains.
    """
    nothing = {f"drift {at}": NO_DRIFT for at in DRIFTS} | {f"gain {at}": NO_GAIN for at in (*GAINS, "all")}
    inner = cv2.erode(shown.astype(np.uint8), np.ones((5, 5)), borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    inside, weight, smooth = inner > 0, inner.astype(np.float32), _blur(1.0, cv2.BORDER_DEFAULT)
    if np.count_nonzero(inside) < LEAST_SHOWN:
        return nothing
    one, two = smooth(one), smooth(two)
    across, down = (cv2.Sobel((one + two) / 2, cv2.CV_32F, *axes, ksize=3) / 8 for axes in ((1, 0), (0, 1)))
    by, window = two - one, _blur(DRIFT)
    xx, xy, yy, xt, yt, tt = (
        window(a * b * weight)[inside]
        for a, b in ((across, across), (across, down), (down, down), (across, by), (down, by), (by, by))
    )
    least = 1e-3 * window(weight)[inside] + 0.02 * (xx + yy)  # where nothing shows, nothing drifts
    xx, yy = xx + least, yy + least
    determinant = xx * yy - xy * xy
    left, up = (yy * xt - xy * yt) / determinant, (xx * yt - xy * xt) / determinant
    size, explained = np.hypot(left, up), np.abs(left * xt + up * yt)
    share = explained / np.maximum(tt, 1e-6)
    drifts = _quantiles(size, xx + yy, np.argsort(size), DRIFTS)
    gains = _quantiles(share, xx + yy, np.argsort(share), GAINS)
    return {
        **{f"drift {at}": math.log(0.05 + value) for at, value in zip(DRIFTS, drifts, strict=True)},
        **{f"gain {at}": math.log(0.01 + value) for at, value in zip(GAINS, gains, strict=True)},
        "gain all": math.log(0.01 + float(explained.sum()) / max(1e-6, float(tt.sum()))),
    }


def correlation(one: Picture, two: Picture) -> float:
    """Pearson's, of all pixels; 0 where one picture is constant."""
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / max(1e-6, np.sqrt((one**2).sum() * (two**2).sum())))


def warped(picture: Picture, between: NDArray[np.float64], shape: tuple[int, ...]) -> Picture:
    """A second film's picture in the pixels of the first's, whose `shape` is (height, width)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, between, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _blur(sigma: float, border: int = cv2.BORDER_CONSTANT) -> Callable[[NDArray[np.floating]], Picture]:
    return lambda values: np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=border), np.float32)


def _quantiles(
    values: NDArray[np.floating], weights: NDArray[np.floating], order: NDArray[np.intp], at: tuple[float, ...]
) -> list[float]:
    """Weighted quantiles of values (n,), whose ascending `order` is known."""
    cumulated = np.cumsum(weights[order])
    places = np.searchsorted(cumulated, cumulated[-1] * np.array(at)).clip(max=len(order) - 1)
    return [float(values[order[place]]) for place in places]


def _chosen(film: Fingerprint, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(n,) which of a film's features these are."""
    result = np.zeros(len(film.positions), bool)
    result[rows] = True
    return result


def _within(positions: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which positions (n, 2) a transform takes into a picture of this width and height."""
    moved = positions @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(((moved >= 0) & (moved < np.array(size))).all(axis=1))


def _odds(value: float | np.floating) -> float:
    """A correlation as a number that grows without bound as it nears 1."""
    return float(-np.log(1.02 - np.clip(value, -1, 1)))


def _named(window: float, shows: float, quantile: float) -> str:
    return f"window {window}, shows {shows:.0f}, {quantile}"
