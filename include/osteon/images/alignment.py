"""Alignment of two films: the affine transform that most of their matched local features agree on."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.descriptors import VIEWS
from osteon.images.fingerprint import Fingerprint

RATIO = 0.92
"""A feature's best match counts if its distance is below this share of the second best's (D. Lowe, IJCV 60, 2004)."""
REACH = 3.0
"""Pixels of the working picture by which an inlier may miss the common transform."""
NARROWING = (10.0, 6.0, 4.0, REACH, REACH)
"""REACH in each step of the search for a transform: it narrows."""
FINE = (2.0, 1.5, 1.5)
"""REACH in each step of the refinement of a transform."""
LEAST, FEWEST = 4, 6
"""Features that a transform is fitted to, at least. Inliers that an alignment needs, at least."""
HYPOTHESES = 60
"""In each view, so many matches of the strongest features give a transform each. These are the hypotheses."""
TRIED = 4
"""Over all views, so many hypotheses are refined: those that most matches agree with."""
CONVINCING = 40
"""With so many inliers an alignment is accepted, and no other view or frame is tried."""
EXPLAINED = 0.7
"""A hypothesis is skipped if more than this share of its matches are inliers of the best transform so far."""
TURN, OCTAVES = 0.4, 0.6
"""Radians and octaves by which an inlier's own angle and scale may differ from those of the common transform."""
SINGULAR = 1e-6 * np.eye(3)
"""Added to the normal equations, which are singular where all inliers lie on one line."""
STRETCH, SHRINK = 6.0, 0.12
"""A transform may stretch one direction against the other by STRETCH at most. It may shrink a length to SHRINK of
it."""


@dataclass(frozen=True)
class Alignment:
    """A transform from one film to another, and the matches that it was fitted to."""

    inliers: int
    """Features that agree on the transform, in position, angle and scale."""
    matrix: NDArray[np.float64]
    """(2, 3), from the first film's working picture to the second's."""
    matched: Matched

    @property
    def view(self) -> str:
        """The one of `VIEWS` in which the first film looks like the second."""
        return self.matched.view

    @cached_property
    def missed(self) -> NDArray[np.float64]:
        """(n,) distance in pixels of each match from the transform. It is infinite where angle or scale do not fit."""
        return self.matched.missed(self.matrix)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,) whether each match is an inlier."""
        return self.missed < REACH

    def explains(self, matched: Matched, agree: NDArray[np.bool_]) -> bool:
        """Whether most of the matches that agree with a hypothesis are inliers here."""
        if matched is not self.matched:
            return False
        return bool(np.count_nonzero(agree & self.inside) > EXPLAINED * np.count_nonzero(agree))


def align(first: Fingerprint, second: Fingerprint, views: Collection[str] = VIEWS.keys()) -> Alignment | None:
    """Find the transform that most features agree on. None where no plausible transform is found.

    Each of `views` is tried, and an elongated film also as a square. Matches are mutual nearest neighbours that pass
    the ratio test. A feature has a position, an angle and a scale, so each match gives a transform of its own. The
    transforms that most matches agree with are refined by least squares over their inliers. This is locally optimised
    RANSAC (O. Chum et al., DAGM 2003) without the random draw.
    """
    best: Alignment | None = None
    for one, other in product(first.frames, second.frames):
        found = _align_frames(one, other, views)
        if found is not None and (best is None or found.inliers > best.inliers):
            best = found
        if best is not None and best.inliers >= CONVINCING:
            break
    return best


def _align_frames(first: Fingerprint, second: Fingerprint, views: Collection[str]) -> Alignment | None:
    hypotheses: list[tuple[int, Matched, NDArray[np.bool_]]] = []
    matches = [(view, _matches(first, second, view)) for view in views]
    for view, rows in sorted(matches, key=lambda one: -len(one[1])):
        if len(rows) < FEWEST:
            break
        matched = _matched(first, second, rows, view)
        agree = _agreement(matched)
        votes = agree.sum(axis=1)
        some = [(int(votes[row]), matched, agree[row]) for row in np.argsort(-votes, kind="stable")[:TRIED]]
        if some[0][0] >= CONVINCING and (best := _best_fit(some)) is not None and best.inliers >= CONVINCING:
            return best
        hypotheses += some
    return _best_fit(sorted(hypotheses, key=lambda one: -one[0])[:TRIED])


def _best_fit(hypotheses: list[tuple[int, Matched, NDArray[np.bool_]]]) -> Alignment | None:
    """The alignment with most inliers.

    A hypothesis is votes, matches, and which of these agree. Most votes come first.
    """
    best: Alignment | None = None
    for votes, matched, agree in hypotheses:
        if votes < FEWEST or (best is not None and best.explains(matched, agree)):
            continue
        fit = _fitted(matched, agree)
        if fit is not None and (best is None or fit.inliers > best.inliers):
            best = fit
    return best


def _matches(first: Fingerprint, second: Fingerprint, view: str) -> NDArray[np.intp]:
    """Rows (n, 2) of features that match in a view."""
    if not len(first.positions) or not len(second.positions):
        return np.zeros((0, 2), np.intp)
    rows = np.arange(len(first.positions))
    likeness = (first.unit * VIEWS[view]) @ second.unit.T
    nearest = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[nearest] == rows
    best = likeness[rows, nearest]
    likeness[rows, nearest] = -1
    good = mutual & (1 - best < RATIO**2 * (1 - likeness.max(axis=1)))
    return np.stack([rows[good], nearest[good]], axis=1)


@dataclass(frozen=True)
class Matched:
    """Matches of two films in one view: positions, angles and growth of scale."""

    first: Fingerprint
    second: Fingerprint
    view: str
    rows: NDArray[np.intp]
    """(n, 2)."""
    source: NDArray[np.float64]
    target: NDArray[np.float64]
    """(n, 2) each, in pixels of the working pictures."""
    turn: NDArray[np.float64]
    """(n,) radians that each match is turned by."""
    direction: NDArray[np.float64]
    target_direction: NDArray[np.float64]
    """(2, n) each, of length 1: the source's angle, as the view has it, and the target's."""
    growth: NDArray[np.float64]
    """(n,) octaves."""

    @cached_property
    def design(self) -> NDArray[np.float64]:
        """(n, 3): the source's positions, and 1."""
        return np.column_stack([self.source, np.ones(len(self.source))])

    def missed(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) distance in pixels of each match from a transform (2, 3).

        It is infinite where angle or scale do not fit.
        """
        across, down = (self.design @ matrix.T - self.target).T
        moved = matrix[:, :2] @ self.direction
        determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
        octaves = math.log2(max(abs(determinant), 1e-9)) / 2
        fits = (moved * self.target_direction).sum(axis=0) > math.cos(TURN) * np.hypot(*moved)
        return np.where(fits & (np.abs(self.growth - octaves) < OCTAVES), np.hypot(across, down), np.inf)

    def refined(self, inside: NDArray[np.bool_], reaches: tuple[float, ...]) -> NDArray[np.float64] | None:
        """Fit by least squares, and choose the inliers anew within each reach. None if fewer than LEAST are left."""
        matrix: NDArray[np.float64] | None = None
        for reach in reaches:
            if np.count_nonzero(inside) < LEAST:
                return None
            source = self.design[inside]
            # where all lie on one line, any transform that keeps the line is as good
            normal, right = source.T @ source + SINGULAR, source.T @ self.target[inside]
            matrix = np.asarray(cv2.solve(normal, right, flags=cv2.DECOMP_CHOLESKY)[1].T, np.float64)
            inside = self.missed(matrix) < reach
        return matrix


def _agreement(matched: Matched) -> NDArray[np.bool_]:
    """(hypotheses, n): whether each match agrees with each hypothesis, which one of the strongest matches gives."""
    some = slice(HYPOTHESES)
    hand = -1.0 if "mirrored" in matched.view else 1.0
    source, target, turns, growths = (
        values.astype(np.float32) for values in (matched.source, matched.target, matched.turn, matched.growth)
    )
    turned = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    growth = growths[some, None]
    cosine, sine = (2.0**growth * turned[some]).T[..., None]
    step, moved = source - source[some, None], target - target[some, None]
    across = cosine * step[..., 0] - hand * sine * step[..., 1] - moved[..., 0]
    down = sine * step[..., 0] + hand * cosine * step[..., 1] - moved[..., 1]
    # a small error of angle or scale grows with the distance
    agree = np.hypot(across, down) < LEAST + 0.15 * np.hypot(moved[..., 0], moved[..., 1])
    agree &= turned[some] @ turned.T > math.cos(TURN)
    agree &= np.abs(growth - growths) < OCTAVES
    return np.asarray(agree)


def _fitted(matched: Matched, inside: NDArray[np.bool_]) -> Alignment | None:
    """Fit the affine transform of the matches that agree.

    None where few do, or where the transform is not plausible.
    """
    matrix = matched.refined(inside, NARROWING)
    if matrix is None:
        return None
    fine = matched.refined(matched.missed(matrix) < FINE[0], FINE)
    matrix = matrix if fine is None else fine
    count = int((matched.missed(matrix) < REACH).sum())
    return Alignment(count, matrix, matched) if count >= FEWEST and _plausible(matrix) else None


def _matched(first: Fingerprint, second: Fingerprint, rows: NDArray[np.intp], view: str) -> Matched:
    ours, theirs = rows.T
    angle, target_angle = (film.angles[some] * (2 * np.pi / 256) for film, some in ((first, ours), (second, theirs)))
    half_turn = np.pi if "negative" in view else 0.0
    hand = -1.0 if "mirrored" in view else 1.0
    return Matched(
        first,
        second,
        view,
        rows,
        first.positions[ours].astype(np.float64),
        second.positions[theirs].astype(np.float64),
        target_angle - hand * angle + half_turn,
        np.stack([np.cos(angle + half_turn), np.sin(angle + half_turn)]),
        np.stack([np.cos(target_angle), np.sin(target_angle)]),
        (second.scales[theirs].astype(np.float64) - first.scales[ours]) / 16,
    )


def _plausible(matrix: NDArray[np.float64]) -> bool:
    longest, shortest = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(shortest > SHRINK and longest < min(1 / SHRINK, STRETCH * shortest))
