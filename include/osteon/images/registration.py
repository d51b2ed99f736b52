"""Registration of two films by their fingerprints: how one lies upon the other, and how well they agree there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.evidence import score
from osteon.images.fingerprint import VIEWS, Fingerprint

RATIO = 0.92
"""A feature's best match counts if it is nearer than so much of the second best (D. Lowe, IJCV 60, 2004)."""
REACH = 3.0
"""Pixels of the working picture by which an inlier may miss the common transform."""
NARROWING = (10.0, 6.0, 4.0, REACH, REACH)
"""The same while a transform is looked for."""
FINE = (2.0, 1.5, 1.5)
"""The same while the best transform is refined."""
LEAST, FEWEST = 4, 6
"""Features that a transform takes; inliers below which two films are not called alike."""
HYPOTHESES = 60
"""Matches of one view whose own transform is looked at: those of the strongest features."""
TRIED = 4
"""How many of these are refined, of all views: those that most matches agree with."""
TURN, OCTAVES = 0.4, 0.6
"""Radians and octaves by which an inlier's own angle and scale may differ from those of the common transform."""
STRETCH, SHRINK = 6.0, 0.12
"""The most that a transform stretches one direction against the other; the least that it may leave of a length."""
CELLS = 8
"""Rows and columns of a film in which inliers are counted."""
STRONGEST = 60
"""Features of a film that a share is worked out of by themselves: noise hardly adds to these."""
SIZES = (1.6, 2.2, 2.8, 3.4)
"""Logarithms (base 2) of sizes in pixels of the working pictures, from which features are counted by themselves."""
WINDOWS = (1.2, 2.2)
"""Standard deviations, in pixels of the small picture, of the windows that correlations are worked out in."""
SHOWS = (3.0, 8.0)
"""Deviations in grey levels from which a window shows something, and counts half."""
QUANTILES = (0.2, 0.35, 0.5)
"""Of the local correlations."""
GREY = 2.0
"""Deviation in grey levels that is added, so that flat areas correlate with nothing."""
PLAIN = 30
"""Features that a film must have before it can be told from another."""
FEW = 8
"""Inliers below which two films are possible copies at most."""
COPIED, DOUBTFUL = 0.3, -3.0
"""Scores from which two films are copies, and possible copies."""
ENTIRE, ALIKE, CERTAIN = 0.97, 0.987, 5.0
"""Two films that show so much of each other, and whose whole pictures correlate so well, are one, whatever their
evidence: then their score is CERTAIN at least. Films that are plain have no other proof. Of films of one patient in
one position that show so much of each other, the most alike pair of FracAtlas has 0.984."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, each a share (0 to 1) of the film without its plain borders."""


@dataclass(frozen=True)
class Registration:
    """How a second film lies upon a first."""

    inliers: int
    """Features that agree on one affine transform, in position, angle and scale."""
    correlation: float
    """-1 to 1: the median of the local correlations of the aligned pictures; see `correlations`."""
    score: float
    """Log-odds that both are one film, see `osteon.images.evidence`; at least CERTAIN if both are alike as a whole."""
    view: str
    """Which of `VIEWS` of the first film the second shows."""
    covers_first: float
    covers_second: float
    """Share of each film that both show, 0 to 1."""
    region_first: Box
    region_second: Box
    """Where that is."""


def verdict(found: Registration | None) -> str:
    """`copy`, `possible` or `different`, by the score and the inliers."""
    if found is None or found.score < DOUBTFUL:
        return "different"
    return "copy" if found.score >= COPIED and found.inliers >= FEW else "possible"


def is_plain(film: Fingerprint) -> bool:
    """Whether a film has too few features to say that it is not a copy of another."""
    return len(film.positions) < PLAIN


def register(first: Fingerprint, second: Fingerprint) -> Registration | None:
    """Align two films; None where no transform is found that a tool would make."""
    found = examine(first, second)
    return found[0] if found else None


def examine(first: Fingerprint, second: Fingerprint) -> tuple[Registration, dict[str, float]] | None:
    """Align two films by their features with a robust affine fit, and the evidence that `score` weighs.

    Every view is tried. Matches are mutual nearest neighbours that pass the ratio test. Each match of two features, as
    these have a position, an angle and a scale, gives a transform of its own; those that most matches agree with are
    refined by least squares over their inliers (locally optimised RANSAC, O. Chum et al., DAGM 2003, without the
    random draw). The fit with most inliers counts.
    """
    tried = []
    for view, rows in _matches(first, second).items():
        if len(rows) >= FEWEST:
            matched = _matched(first, second, rows, view)
            agree = _agreement(matched)
            votes = agree.sum(axis=1)
            tried += [(int(votes[row]), matched, agree[row]) for row in np.argsort(-votes, kind="stable")[:TRIED]]
    tried.sort(key=lambda one: -one[0])
    best: _Fit | None = None
    for votes, matched, inside in tried[:TRIED]:
        if votes >= FEWEST:
            fit = _fitted(matched, inside)
            if fit is not None and (best is None or fit.inliers > best.inliers):
                best = fit
    if best is None:
        return None
    shown = _overlap(first, second, best.matrix)
    covers_first, region_first = _shown(shown)
    covers_second, region_second = _shown(_overlap(second, first, best.inverse))
    evidence = best.evidence(first, second, covers_first)
    evidence |= correlations(first, second, best.matrix, shown, "negative" in best.view)
    correlation, whole = evidence.pop(MEDIAN), evidence.pop(WHOLE)
    certain = min(covers_first, covers_second) >= ENTIRE and whole >= ALIKE and best.inliers >= FEW
    found = Registration(
        best.inliers,
        correlation,
        max(score(evidence), CERTAIN) if certain else score(evidence),
        best.view,
        covers_first,
        covers_second,
        region_first,
        region_second,
    )
    return found, evidence


def _matches(first: Fingerprint, second: Fingerprint) -> dict[str, NDArray[np.intp]]:
    """Rows (n, 2) of features that match, by view."""
    if not len(first.positions) or not len(second.positions):
        return {}
    ours, theirs = first.unit, second.unit
    rows = np.arange(len(ours))
    found = {}
    for view, signs in VIEWS.items():
        likeness = (ours * signs) @ theirs.T
        nearest = likeness.argmax(axis=1)
        mutual = likeness.argmax(axis=0)[nearest] == rows
        best = likeness[rows, nearest]
        likeness[rows, nearest] = -1
        good = mutual & (1 - best < RATIO**2 * (1 - likeness.max(axis=1)))
        found[view] = np.stack([rows[good], nearest[good]], axis=1)
    return found


@dataclass(frozen=True)
class _Matched:
    """Matches of two films in one view: positions, angles and growth of scale."""

    view: str
    rows: NDArray[np.intp]
    """(n, 2)."""
    source: NDArray[np.float64]
    target: NDArray[np.float64]
    """(n, 2) each, in pixels of the working pictures."""
    turn: NDArray[np.float64]
    """(n,) radians that each match is turned by."""
    direction: NDArray[np.float64]
    """(2, n): the source's angle, as the view has it."""
    target_angle: NDArray[np.float64]
    growth: NDArray[np.float64]
    """(n,) octaves."""

    def missed(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) pixels by which a transform (2, 3) misses; infinite where angle or scale do not fit it."""
        by = np.linalg.norm(self.source @ matrix[:, :2].T + matrix[:, 2] - self.target, axis=1)
        along = matrix[:, :2] @ self.direction
        octaves = np.log2(max(abs(np.linalg.det(matrix[:, :2])), 1e-9)) / 2
        fits = _angle(np.arctan2(along[1], along[0]) - self.target_angle) < TURN
        return np.where(fits & (np.abs(self.growth - octaves) < OCTAVES), by, np.inf)

    def refined(self, inside: NDArray[np.bool_], reaches: tuple[float, ...]) -> NDArray[np.float64] | None:
        """The transform of least squares over inliers that are chosen anew within each reach; None if they get few."""
        matrix: NDArray[np.float64] | None = None
        for reach in reaches:
            if inside.sum() < LEAST:
                return None
            source = np.c_[self.source[inside], np.ones(inside.sum())]
            matrix = np.asarray(np.linalg.lstsq(source, self.target[inside], rcond=None)[0].T, np.float64)
            inside = self.missed(matrix) < reach
        return matrix


@dataclass(frozen=True)
class _Fit:
    inliers: int
    matrix: NDArray[np.float64]
    """(2, 3), from the first film's working picture to the second's."""
    matched: _Matched

    @property
    def view(self) -> str:
        return self.matched.view

    @property
    def inverse(self) -> NDArray[np.float64]:
        return np.asarray(cv2.invertAffineTransform(self.matrix), np.float64)

    def evidence(self, first: Fingerprint, second: Fingerprint, covers: float) -> dict[str, float]:
        """What the inliers say, and how noisy the films are; `covers` is the share of the first film that both show.

        Logarithms, but for `missed`, the median distance in pixels. Shares are of the features that either film has
        where both show something, whichever has fewer (`least`) or more (`most`): of all of them, of the strongest,
        and of those of some size in both films.
        """
        missed = self.matched.missed(self.matrix)
        ours, theirs = self.matched.rows[missed < REACH].T
        shown = np.flatnonzero(_within(first.positions, self.matrix, second.size))
        others = np.flatnonzero(_within(second.positions, self.inverse, first.size))
        near, close, far, wide = ((missed < reach).sum() for reach in (1.0, 1.5, 8.0, 12.0))
        place = (first.positions[ours] * CELLS / np.array(first.size)).astype(int)
        cells = len(np.unique(place @ (CELLS, 1)))
        likeness = (first.unit[ours] * VIEWS[self.view] * second.unit[theirs]).sum(axis=1)
        strongest = [
            _share(np.isin(some, of[:STRONGEST]).sum(), len(of[:STRONGEST]))
            for some, of in ((ours, shown), (theirs, others))
        ]
        growth = np.log2(max(abs(np.linalg.det(self.matrix[:, :2])), 1e-9)) / 2
        ours_size, theirs_size = first.scales / 16 + growth, second.scales / 16
        found = {
            "inliers": np.log(self.inliers),
            "share": np.log(self.inliers / max(min(len(shown), len(others)), self.inliers)),
            "exact": np.log((near + 0.5) / (far + 1)),
            "close": np.log((close + 0.5) / (wide + 1)),
            "missed": np.median(missed[missed < REACH]),
            "likeness": _odds(np.median(likeness)),
            "cells": np.log(cells),
            "spread": np.log(cells / max(1.0, covers * CELLS**2) + 0.01),
            "strongest, least": min(strongest),
            "strongest, most": max(strongest),
            "grain, least": min(first.grain, second.grain),
            "grain, most": max(first.grain, second.grain),
        }
        for size in SIZES:
            least = size + max(0.0, growth)
            counts = [(ours_size[shown] >= least).sum(), (theirs_size[others] >= least).sum()]
            large = (theirs_size[theirs] >= least).sum()
            found[f"size {size}, least"] = _share(large, min(counts))
            found[f"size {size}, most"] = _share(large, max(counts))
        return {name: float(value) for name, value in found.items()}


def _share(some: np.integer | int, of: np.integer | int) -> float:
    """Logarithm of a share that may be of few."""
    return float(np.log((some + 0.5) / (of + 1)))


def _odds(correlation: float | np.floating) -> float:
    """A correlation as a number that grows without bound as it nears 1."""
    return float(-np.log(1.02 - np.clip(correlation, -1, 1)))


def _agreement(matched: _Matched) -> NDArray[np.bool_]:
    """(hypotheses, n): which matches agree with the transform that each of the strongest matches gives by itself."""
    some = slice(HYPOTHESES)
    hand = -1.0 if "mirrored" in matched.view else 1.0
    turn, growth = matched.turn[some, None], matched.growth[some, None]
    cosine, sine = 2.0**growth * np.cos(turn), 2.0**growth * np.sin(turn)
    step, moved = matched.source - matched.source[some, None], matched.target - matched.target[some, None]
    across = cosine * step[..., 0] - hand * sine * step[..., 1] - moved[..., 0]
    down = sine * step[..., 0] + hand * cosine * step[..., 1] - moved[..., 1]
    # a small error of angle or scale grows with the distance
    agree = np.hypot(across, down) < LEAST + 0.15 * np.hypot(moved[..., 0], moved[..., 1])
    agree &= _angle(turn - matched.turn) < TURN
    agree &= np.abs(growth - matched.growth) < OCTAVES
    return agree


def _fitted(matched: _Matched, inside: NDArray[np.bool_]) -> _Fit | None:
    """The affine transform of the matches that agree; None where few do, or no tool would make it."""
    matrix = matched.refined(inside, NARROWING)
    if matrix is None:
        return None
    fine = matched.refined(matched.missed(matrix) < FINE[0], FINE)
    matrix = matrix if fine is None else fine
    count = int((matched.missed(matrix) < REACH).sum())
    return _Fit(count, matrix, matched) if count >= FEWEST and _plausible(matrix) else None


def _matched(first: Fingerprint, second: Fingerprint, rows: NDArray[np.intp], view: str) -> _Matched:
    ours, theirs = rows.T
    angle, target_angle = (film.angles[some] * (2 * np.pi / 256) for film, some in ((first, ours), (second, theirs)))
    half_turn = np.pi if "negative" in view else 0.0
    hand = -1.0 if "mirrored" in view else 1.0
    return _Matched(
        view,
        rows,
        first.positions[ours].astype(np.float64),
        second.positions[theirs].astype(np.float64),
        target_angle - hand * angle + half_turn,
        np.stack([np.cos(angle + half_turn), np.sin(angle + half_turn)]),
        target_angle,
        (second.scales[theirs].astype(np.float64) - first.scales[ours]) / 16,
    )


def _angle(difference: NDArray[np.floating]) -> NDArray[np.floating]:
    """The size of an angle, 0 to pi."""
    return np.abs((difference + np.pi) % (2 * np.pi) - np.pi)


def _plausible(matrix: NDArray[np.float64]) -> bool:
    longest, shortest = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(shortest > SHRINK and longest < min(1 / SHRINK, STRETCH * shortest))


def _within(positions: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which positions (n, 2) a transform takes into a picture of this width and height."""
    moved = positions @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(((moved >= 0) & (moved < np.array(size))).all(axis=1))


def _between_pictures(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform between the working pictures as one between the small pictures."""
    half = 0.5
    result = np.empty((2, 3))
    result[:, :2] = matrix[:, :2] * first.shrink / second.shrink[:, None]
    centre = matrix[:, :2] @ (half * first.shrink - half) + matrix[:, 2]
    result[:, 2] = (centre + half) / second.shrink - half
    return result


def _overlap(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels of the first film's small picture the second shows as well."""
    height, width = first.picture.shape
    inside = cv2.warpAffine(
        np.full(second.picture.shape, 255, np.uint8),
        _between_pictures(first, second, matrix),
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(inside > 0)


def correlations(
    first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64], shown: NDArray[np.bool_], negative: bool
) -> dict[str, float]:
    """How alike the aligned small pictures are, where both are `shown` (pixels of the first's).

    Around each pixel the two are correlated in a small window, which leaves out how each was exposed. The results are
    quantiles over all pixels, weighted by what both show there: flat areas count little, and a burnt-in text or a hole
    spoils but its own surroundings. They are given as `_odds` says, but for MEDIAN, and WHOLE, which is of
    all pixels at once.
    """
    if shown.sum() < CELLS**2 / 2:
        nothing = {_named(*which): _odds(0.0) for which in product(WINDOWS, SHOWS, QUANTILES)}
        return {**nothing, MEDIAN: 0.0, WHOLE: 0.0}
    height, width = first.picture.shape
    moved = cv2.warpAffine(
        second.picture,
        _between_pictures(first, second, matrix),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    one, two, weight = first.picture.astype(np.float32), moved.astype(np.float32), shown.astype(np.float32)
    sign = -1 if negative else 1
    found = {WHOLE: sign * _correlation(one[shown], two[shown])}
    for window in WINDOWS:

        def blurred(values: NDArray[np.float32], sigma: float = window) -> NDArray[np.float32]:
            return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)

        total = np.maximum(blurred(weight), 1e-3)
        mean_one, mean_two = blurred(one * weight) / total, blurred(two * weight) / total
        of_one = np.maximum(blurred(one * one * weight) / total - mean_one**2, 0)
        of_two = np.maximum(blurred(two * two * weight) / total - mean_two**2, 0)
        both = blurred(one * two * weight) / total - mean_one * mean_two
        local = (both / np.sqrt((of_one + GREY**2) * (of_two + GREY**2)))[shown] * sign
        order, least = np.argsort(local), np.minimum(of_one, of_two)[shown]
        for shows in SHOWS:
            cumulated = np.cumsum((least / (least + shows**2))[order])
            for quantile in QUANTILES:
                value = local[order][min(len(order) - 1, np.searchsorted(cumulated, cumulated[-1] * quantile))]
                found[_named(window, shows, quantile)] = _odds(value)
                if (window, shows, quantile) == (WINDOWS[0], SHOWS[1], QUANTILES[-1]):
                    found[MEDIAN] = float(value)
    return found


def _correlation(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    """0 where one is constant."""
    one, two = one - one.mean(), two - two.mean()
    return float((one * two).sum() / max(1e-6, np.sqrt((one**2).sum() * (two**2).sum())))


MEDIAN, WHOLE = "correlation", "correlation of the whole"


def _named(window: float, shows: float, quantile: float) -> str:
    return f"window {window}, shows {shows:.0f}, {quantile}"


def _shown(shown: NDArray[np.bool_]) -> tuple[float, Box]:
    """Share and bounding box of what is shown."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    height, width = shown.shape
    box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return float(shown.mean()), tuple(map(float, box))  # type: ignore[return-value]
