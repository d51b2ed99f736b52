"""Registration of two films by their fingerprints: how one lies upon the other, and how well they agree there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.fingerprint import VIEWS, Fingerprint

RATIO = 0.92
"""A feature's best match counts if it is nearer than so much of the second best (D. Lowe, IJCV 60, 2004)."""
REACH = 3.0
"""Pixels of the working picture by which an inlier may miss the common transform."""
NARROWING = (10.0, 6.0, 4.0, REACH, REACH)
"""The same while a transform is refined."""
LEAST = 4
"""Features that a transform takes."""
TRIED = 4
"""Matches whose own transform is refined: those that most others agree with."""
TURN, OCTAVES = 0.4, 0.6
"""Radians and octaves by which an inlier's own angle and scale may differ from those of the common transform."""
COPIED, DOUBTFUL = 12.0, 6.0
"""Scores from which two films are copies, and possible copies."""
STRETCH, SHRINK = 6.0, 0.12
"""The most that a transform stretches one direction against the other; the least that it may leave of a length."""
CELL = 1.5
"""Standard deviation, in pixels of the small picture, of the window that correlations are worked out in."""
LEVEL = 0.3
"""Which quantile of the local correlations counts."""
GREY = 2.0
"""Deviation in grey levels that is added, so that flat areas correlate with nothing."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, each a share (0 to 1) of the film without its plain borders."""


@dataclass(frozen=True)
class Registration:
    """How a second film lies upon a first."""

    inliers: int
    """Features that agree on one affine transform, in position, angle and scale."""
    share: float
    """Inliers over the features that either film has where both show something, whichever has fewer; 0 to 1."""
    correlation: float
    """-1 to 1: of the aligned pictures where both show something; see `agreement`."""
    view: str
    """Which of `VIEWS` of the first film the second shows."""
    covers_first: float
    covers_second: float
    """Share of each film that both show, 0 to 1."""
    region_first: Box
    region_second: Box
    """Where that is."""

    @property
    def score(self) -> float:
        """How sure it is that both are one film: 0 for chance, from COPIED on a proof.

        Many features that agree, few that do not, and pictures that look alike: films of one body part, and the
        pattern of one detector, have at most two of the three.
        """
        return self.inliers * self.share**0.5 * max(self.correlation, 0.0) ** 2


def verdict(found: Registration | None) -> str:
    """`copy`, `possible` or `different`, by the score."""
    score = found.score if found else 0.0
    return "copy" if score >= COPIED else "possible" if score >= DOUBTFUL else "different"


def register(first: Fingerprint, second: Fingerprint) -> Registration | None:
    """Align two films by their features with a robust affine fit; None where no transform is found.

    Every view is tried. Matches are mutual nearest neighbours that pass the ratio test. Each match of two features, as
    these have a position, an angle and a scale, gives a transform of its own; those that most matches agree with are
    refined by least squares over their inliers (locally optimised RANSAC, O. Chum et al., DAGM 2003, without the
    random draw). The fit with most inliers counts.
    """
    best: _Fit | None = None
    for view, matches in sorted(_matches(first, second).items(), key=lambda item: -len(item[1])):
        if len(matches) >= max(LEAST, best.inliers + 1 if best else 0):
            found = _fit(first, second, matches, view)
            if found is not None and (best is None or found.inliers > best.inliers):
                best = found
    if best is None:
        return None
    likeness, shown = agreement(first, second, best.matrix, "negative" in best.view)
    covers_first, region_first = _shown(shown)
    inverse = cv2.invertAffineTransform(best.matrix)
    covers_second, region_second = _shown(_overlap(second, first, inverse))
    could = min(_inside(first, second, best.matrix), _inside(second, first, inverse))
    return Registration(
        best.inliers,
        best.inliers / max(could, best.inliers),
        likeness,
        best.view,
        covers_first,
        covers_second,
        region_first,
        region_second,
    )


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
class _Fit:
    inliers: int
    view: str
    matrix: NDArray[np.float64]
    """(2, 3), from the first film's working picture to the second's."""


def _fit(first: Fingerprint, second: Fingerprint, matches: NDArray[np.intp], view: str) -> _Fit | None:
    """The best affine transform of the matches (n, 2); None where it is none that a tool would make."""
    ours, theirs = matches.T
    source, target = first.positions[ours].astype(np.float64), second.positions[theirs].astype(np.float64)
    angle, target_angle = (film.angles[rows] * (2 * np.pi / 256) for film, rows in ((first, ours), (second, theirs)))
    growth = (second.scales[theirs].astype(np.float64) - first.scales[ours]) / 16
    hand = -1.0 if "mirrored" in view else 1.0
    half_turn = np.pi if "negative" in view else 0.0
    turn = target_angle - hand * angle + half_turn
    cosine, sine = 2.0**growth * np.cos(turn), 2.0**growth * np.sin(turn)
    own = np.stack([np.stack([cosine, -hand * sine], -1), np.stack([sine, hand * cosine], -1)], -2)
    shift = target - np.einsum("nij,nj->ni", own, source)
    missed = np.linalg.norm(np.einsum("nij,mj->nmi", own, source) + shift[:, None] - target, axis=2)
    away = np.linalg.norm(target[:, None] - target, axis=2)
    agree = missed < LEAST + 0.15 * away  # a small error of angle or scale grows with the distance
    agree &= (_angle(turn[:, None] - turn) < TURN) & (np.abs(growth[:, None] - growth) < OCTAVES)
    votes = agree.sum(axis=1)
    direction = np.stack([np.cos(angle + half_turn), np.sin(angle + half_turn)])
    best: _Fit | None = None
    for hypothesis in np.argsort(-votes, kind="stable")[:TRIED]:
        inside = agree[hypothesis]
        for reach in NARROWING:
            if inside.sum() < LEAST:
                break
            matrix = np.linalg.lstsq(np.c_[source[inside], np.ones(inside.sum())], target[inside], rcond=None)[0].T
            missed_by = np.linalg.norm(source @ matrix[:, :2].T + matrix[:, 2] - target, axis=1)
            along = matrix[:, :2] @ direction
            octaves = np.log2(max(abs(np.linalg.det(matrix[:, :2])), 1e-9)) / 2
            inside = missed_by < reach
            inside &= _angle(np.arctan2(along[1], along[0]) - target_angle) < TURN
            inside &= np.abs(growth - octaves) < OCTAVES
        else:
            count = int(inside.sum())
            if count >= max(LEAST, best.inliers + 1 if best else 0) and _plausible(matrix):
                best = _Fit(count, view, matrix)
    return best


def _angle(difference: NDArray[np.floating]) -> NDArray[np.floating]:
    """The size of an angle, 0 to pi."""
    return np.abs((difference + np.pi) % (2 * np.pi) - np.pi)


def _plausible(matrix: NDArray[np.float64]) -> bool:
    longest, shortest = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(shortest > SHRINK and longest < min(1 / SHRINK, STRETCH * shortest))


def _inside(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> int:
    """How many of the first film's features lie within the second."""
    moved = first.positions @ matrix[:, :2].T + matrix[:, 2]
    return int(((moved >= 0) & (moved < np.array(second.size))).all(axis=1).sum())


def _between_pictures(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform between the working pictures as one between the small pictures."""
    half = np.full(2, 0.5)
    result = np.empty((2, 3))
    result[:, :2] = matrix[:, :2] * (first.shrink / second.shrink)
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


def agreement(
    first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64], negative: bool
) -> tuple[float, NDArray[np.bool_]]:
    """Correlation of the aligned small pictures, and where both show something (of the first's pixels).

    Around each pixel the two are correlated in a small window, which leaves out how each was exposed. The result is
    the median over all pixels, weighted by what both show there: flat areas count nothing, and a burnt-in text or a
    hole that one of them has spoils but its own surroundings.
    """
    height, width = first.picture.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second.picture, _between_pictures(first, second, matrix), (width, height), flags=flags)
    shown = _overlap(first, second, matrix)
    if shown.sum() < 30:
        return 0.0, shown
    one, two, weight = first.picture.astype(np.float32), moved.astype(np.float32), shown.astype(np.float32)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred = cv2.GaussianBlur(values * weight, (0, 0), CELL, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(blurred / total, np.float32)

    total = np.maximum(cv2.GaussianBlur(weight, (0, 0), CELL, borderType=cv2.BORDER_CONSTANT), 1e-3)
    mean_one, mean_two = mean(one), mean(two)
    of_one = np.maximum(mean(one * one) - mean_one**2, 0)
    of_two = np.maximum(mean(two * two) - mean_two**2, 0)
    local = (mean(one * two) - mean_one * mean_two) / np.sqrt((of_one + GREY**2) * (of_two + GREY**2))
    values, weights = local[shown] * (-1 if negative else 1), np.minimum(of_one, of_two)[shown]
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] * LEVEL)]), shown


def _shown(shown: NDArray[np.bool_]) -> tuple[float, Box]:
    """Share and bounding box of what is shown."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    height, width = shown.shape
    box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return float(shown.mean()), tuple(map(float, box))  # type: ignore[return-value]
