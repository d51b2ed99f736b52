"""Registration of two films by their fingerprints: how one lies upon the other, and whether they are one film."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.alignment import align
from osteon.images.descriptors import VIEWS
from osteon.images.evidence import LEAST_SHOWN, correlation, of_features, of_pictures, warped
from osteon.images.fingerprint import Fingerprint
from osteon.images.weights import model

ITERATIONS, GROWTH, BLUR = 25, 1e-4, 3
"""At most, growth of the correlation at least, and pixels of the blur, where small pictures are aligned."""
FARTHEST = 8.0
"""Pixels of the small picture by which that may move a corner."""
PLAIN = 30
"""Features that a film must have before it can be told from another."""
COPIED, DOUBTFUL = 0.0, -2.0
"""Scores from which two films are copies, and possible copies."""
UNSURE = (-3.0, 3.0)
"""Scores between which a pair is aligned the other way round as well."""
ENTIRE, ALIKE, CERTAIN, FEW, AGAINST = 0.97, 0.992, 5.0, 8, -6.0
"""Two films count as one where they show ENTIRE of each other, their pictures correlate by ALIKE, and FEW inliers
agree. Their score is then CERTAIN at least, unless it is below AGAINST. Films that are plain have no other proof. Of
films of one patient in one position that show so much of each other, the most alike pair of FracAtlas has 0.991. Films
of two patients that were turned by the same angle may have more, as their corners are alike."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, each a share (0 to 1) of the film without its plain borders."""


@dataclass(frozen=True)
class Registration:
    """How a second film lies upon a first."""

    inliers: int
    """Features that agree on one affine transform, in position, angle and scale."""
    correlation: float
    """-1 to 1: of the aligned small pictures, whose contrast is evened out."""
    score: float
    """Log-odds that both are one film, see `osteon.images.weights`; at least CERTAIN if both are alike as a whole."""
    view: str
    """Which of `VIEWS` of the first film the second shows."""
    covers_first: float
    covers_second: float
    """Share of each film that both show, 0 to 1."""
    region_first: Box
    region_second: Box
    """Where that is."""


def verdict(found: Registration | None) -> str:
    """`copy`, `possible` or `different`, by the score."""
    if found is None or found.score < DOUBTFUL:
        return "different"
    return "copy" if found.score >= COPIED else "possible"


def is_plain(film: Fingerprint) -> bool:
    """Whether a film has too few features to say that it is not a copy of another."""
    return len(film.positions) < PLAIN


def register(first: Fingerprint, second: Fingerprint, views: Collection[str] = VIEWS.keys()) -> Registration | None:
    """Align two films in one of `views`; None where no transform is found that a tool would make.

    Where features alone are sure that the two are different, or that they are one, their pictures are not compared,
    and the score is of features.
    Between UNSURE, the score is the mean of that of the first upon the second, and of the second upon the first.
    """
    found = examine(first, second, views, thorough=False)
    if found is None:
        return None
    one = found[0]
    if UNSURE[0] <= one.score <= UNSURE[1] and (back := examine(second, first, views, thorough=False)):
        return replace(one, score=(one.score + back[0].score) / 2)
    return one


def examine(
    first: Fingerprint, second: Fingerprint, views: Collection[str] = VIEWS.keys(), thorough: bool = True
) -> tuple[Registration, dict[str, float]] | None:
    """Align two films, and the evidence that `weights` weighs: all of it if `thorough`, else no more than is needed."""
    aligned = align(first, second, views)
    if aligned is None:
        return None
    first, second, view = aligned.matched.first, aligned.matched.second, aligned.view
    negative = "negative" in view
    between = _between_pictures(first, second, aligned.matrix)
    shown, others = _overlaps(first, second, between)
    alike = _correlation(first, second, between, shown, negative)
    evidence = of_features(first, second, aligned, _inverse(aligned.matrix), float(shown.mean()))
    evidence["start"] = alike
    score = model().features.score(evidence)
    if thorough or not model().is_sure(score):
        between, evidence["moved"] = _refined(first, second, between, negative)
        shown, others = _overlaps(first, second, between)
        alike = _correlation(first, second, between, shown, negative)
        evidence |= of_pictures(first, second, between, shown, negative)
        score = model().score(evidence)
        if aligned.inliers >= FEW and score >= AGAINST and _entire(first, second, between, shown, others):
            score = max(score, CERTAIN)
    (covers_first, region_first), (covers_second, region_second) = _shown(shown), _shown(others)
    return Registration(
        aligned.inliers, alike, score, view, covers_first, covers_second, region_first, region_second
    ), evidence


def _between_pictures(first: Fingerprint, second: Fingerprint, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform between the working pictures as one between the small pictures."""
    half = 0.5
    result = np.empty((2, 3))
    result[:, :2] = matrix[:, :2] * first.shrink / second.shrink[:, None]
    centre = matrix[:, :2] @ (half * first.shrink - half) + matrix[:, 2]
    result[:, 2] = (centre + half) / second.shrink - half
    return result


def _refined(
    first: Fingerprint, second: Fingerprint, between: NDArray[np.float64], negative: bool
) -> tuple[NDArray[np.float64], float]:
    """The transform at which the small pictures correlate best, and how far that moved a corner.

    The move is the logarithm of a distance in pixels. The correlation is the enhanced correlation coefficient (G.
    Evangelidis, E. Psarakis, PAMI 30, 2008).

    `between` itself, and FARTHEST, where that leads away from it.
    """
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, GROWTH)
    theirs = -second.evened if negative else second.evened
    start, everywhere = between.astype(np.float32), np.full(theirs.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(first.evened, theirs, start, cv2.MOTION_AFFINE, criteria, everywhere, BLUR)
    except cv2.error:  # it does not converge
        return between, float(np.log(FARTHEST))
    refined = np.asarray(found, np.float64)
    height, width = first.picture.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    by = float(np.linalg.norm(corners @ (refined - between).T, axis=1).max())
    if not by < FARTHEST:
        return between, float(np.log(FARTHEST))
    return refined, float(np.log(by + 0.1))


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _overlaps(
    first: Fingerprint, second: Fingerprint, between: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels of each film's small picture the other film shows as well."""
    return _overlap(first, second, between), _overlap(second, first, _inverse(between))


def _overlap(first: Fingerprint, second: Fingerprint, between: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels of the first film's small picture the second shows as well."""
    height, width = first.picture.shape
    inside = cv2.warpAffine(
        np.full(second.picture.shape, 255, np.uint8),
        between,
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )
    return np.asarray(inside > 0)


def _correlation(
    first: Fingerprint, second: Fingerprint, between: NDArray[np.float64], shown: NDArray[np.bool_], negative: bool
) -> float:
    """Of the pictures of even contrast, where both are `shown`; 0 where that is next to nothing."""
    if np.count_nonzero(shown) < LEAST_SHOWN:
        return 0.0
    alike = correlation(first.evened[shown], warped(second.evened, between, first.picture.shape)[shown])
    return -alike if negative else alike


def _entire(
    first: Fingerprint,
    second: Fingerprint,
    between: NDArray[np.float64],
    shown: NDArray[np.bool_],
    others: NDArray[np.bool_],
) -> bool:
    """Whether two films show all of each other, and their pictures are alike as they are."""
    if min(shown.mean(), others.mean()) < ENTIRE:
        return False
    moved = warped(second.picture.astype(np.float32), between, first.picture.shape)
    return correlation(first.picture[shown].astype(np.float32), moved[shown]) >= ALIKE


def _shown(shown: NDArray[np.bool_]) -> tuple[float, Box]:
    """Share and bounding box of what is shown."""
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    height, width = shown.shape
    box = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    return float(shown.mean()), tuple(map(float, box))  # type: ignore[return-value]
