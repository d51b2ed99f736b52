"""Pairs of films that may be copies: an index of local features, without a comparison of all films with all.

Each feature of a film is looked up among the features of all films (faiss: an inverted file over product codes; H.
Jegou et al., PAMI 33, 2011). Two films are candidates if several features of one find features of the other that are
turned and scaled by the same amount (weak geometric consistency; H. Jegou et al., ECCV 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from osteon.images.descriptors import COEFFICIENTS, VIEWS
from osteon.images.fingerprint import Fingerprint


@dataclass(frozen=True)
class Effort:
    """How thoroughly candidates are looked for."""

    features: int
    """Of a film, the strongest."""
    lists: int
    """The most lists that the features of all films are divided into."""
    probes: int
    """Lists in which a feature is looked up."""


THOROUGH = Effort(features=300, lists=1024, probes=8)
QUICK = Effort(features=160, lists=2048, probes=2)
LARGE = 20_000
"""Films from which so many are compared at once that they are compared with QUICK effort."""
NEAREST = 9
"""Features that a feature finds, itself among them. So 3,000 copies of one film cost no more than 3,000 films."""
VOTES = 3
"""Features of one film that must find the other, turned and scaled by the same amount."""
MOST = 32
"""Candidates that a film has at most, those with most votes."""
UNSURE = 0.06
"""A feature whose cosine with an axis of `_AXES` is nearer to 0 is looked up with both signs."""
IN_LIST = 256
"""Features for each list, at least."""
LEARNT_FROM = 100_000
"""Features that lists and codes are learnt from."""
CODED = 24
"""Parts that a descriptor is divided into; each is one of 16 codes."""
BLOCK = 200
"""Films that are worked on at once."""
SEED = 0
TURN_BITS, SCALE_BITS = 4, 4
"""Turns and growths are counted in classes of 1/16 of a turn and of one octave."""

_SIGNS = np.stack(list(VIEWS.values()))
"""(4, COEFFICIENTS). The number of a view has bit 0 where it is mirrored, and bit 1 where it is a negative."""


def _axis(values: dict[int, float]) -> NDArray[np.float32]:
    axis = np.zeros(COEFFICIENTS, np.float32)
    axis[list(values)] = list(values.values())
    return axis / np.linalg.norm(axis)


_AXES = np.stack([
    _axis({2: -0.80, 6: 0.50, 25: 0.32, 15: -0.11}),
    _axis({7: 0.92, 41: -0.24, 31: 0.21, 3: -0.20}),
])  # fmt: skip
"""(2, COEFFICIENTS): directions that descriptors vary in most, of those that change sign in a mirror image alone, and
in a negative alone. Principal components over films of two publishers, rounded."""
assert np.array_equal(_AXES * _SIGNS[[1, 2]], -_AXES) and np.array_equal(_AXES * _SIGNS[[2, 1]], _AXES)


class _Features:
    """Features of some films, in the view in which their products with `_AXES` are positive.

    So a film's features are the same as those of its mirror image and of its negative.
    """

    def __init__(self, films: Iterable[Fingerprint], most: int) -> None:
        nothing = np.zeros((0, COEFFICIENTS), np.float32), np.zeros(0, np.uint8), np.zeros(0, np.uint8)
        parts = [(film.unit[:most], film.angles[:most], film.scales[:most]) for film in films]
        unit, self.angles, self.scales = map(np.concatenate, zip(*parts, nothing, strict=True))
        self.films = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]) for part in parts])
        """Number of the film that each is of, ascending."""
        self.products = unit @ _AXES.T
        self.views = ((self.products < 0) @ (1, 2)).astype(np.uint8)
        """Number of the view that each is in."""
        self.values = unit * _SIGNS[self.views]


@dataclass(frozen=True)
class Index:
    """Features of films, one after the other."""

    lists: faiss.Index
    films: NDArray[np.int32]
    """Number of the film that each is of, ascending."""
    angles: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    """(n,) each, as `fingerprint.FEATURE` has them."""
    views: NDArray[np.uint8]
    """Number of the view that each is kept in."""


def candidate_pairs(
    film: Callable[[int], Fingerprint], fresh: NDArray[np.bool_], effort: Effort | None = None
) -> NDArray[np.int64]:
    """Candidates (n, 4), those with most votes first.

        A row holds two films, the smaller number first, their votes, and the number of the view that one film shows the
    other in.

    `film` reads a film by its number, twice at least. `fresh` (films,) are films of which pairs are looked for, with
    each other and with all others. The effort depends on how many these are, unless it is given.
    """
    wanted, found = np.flatnonzero(fresh), [np.zeros((0, 4), np.int64)]
    if not len(wanted):
        return found[0]
    effort = effort or (QUICK if len(wanted) >= LARGE else THOROUGH)
    with threadpool_limits(1):  # of matrices this small, a second thread costs more than it helps
        index = _build(film, len(fresh), effort)
        if not len(index.films):
            return found[0]
        for start in range(0, len(wanted), BLOCK):
            some = wanted[start : start + BLOCK]
            features = _Features(map(film, some.tolist()), effort.features)
            found.append(_candidates(index, some, features, len(fresh)))
    return _each_once(np.concatenate(found), len(fresh))


def _build(film: Callable[[int], Fingerprint], count: int, effort: Effort) -> Index:
    """The index of `count` films, at least one."""
    few = range(0, count, max(1, count * effort.features // LEARNT_FROM))
    sample = _Features(map(film, few), effort.features).values
    features = len(sample) * count // len(few)
    lists = _empty_lists(sample, min(effort.lists, features // IN_LIST), effort.probes)
    parts = []
    for start in range(0, count, BLOCK):
        some = _Features(map(film, range(start, min(start + BLOCK, count))), effort.features)
        lists.add(some.values)
        parts.append((some.films + np.int32(start), some.angles, some.scales, some.views))
    return Index(lists, *map(np.concatenate, zip(*parts, strict=True)))


def _empty_lists(sample: NDArray[np.float32], count: int, probes: int) -> faiss.Index:
    """An index by distance, of `count` lists that are learnt from a sample; of few features, simply all of these."""
    if count < 2:
        return faiss.IndexFlatL2(COEFFICIENTS)
    lists: Any = faiss.index_factory(COEFFICIENTS, f"IVF{count},PQ{CODED}x4fs", faiss.METRIC_L2)
    lists.by_residual = False  # then a feature's distances to all codes are worked out once, not once a list
    lists.nprobe = probes
    for learnt in (lists.cp, lists.pq.cp):
        learnt.seed, learnt.min_points_per_centroid = SEED, 1
    lists.train(sample)
    index: faiss.Index = lists
    return index


def _candidates(index: Index, numbers: NDArray[np.intp], features: _Features, films: int) -> NDArray[np.int64]:
    """Pairs (n, 4) of films `numbers`, which have these features, with what they find, the votes and the view."""
    rows, views = _looked_up(features)
    wanted = features.values[rows] * _SIGNS[views ^ features.views[rows]]
    _, found = index.lists.search(np.ascontiguousarray(wanted), min(NEAREST, index.lists.ntotal))
    rows, views, found = np.repeat(rows, found.shape[1]), np.repeat(views, found.shape[1]), found.ravel()
    asked = features.films[rows]
    other = (found >= 0) & (index.films[found] != numbers[asked])
    rows, views, found, asked = rows[other], views[other], found[other], asked[other]
    views = views ^ index.views[found]
    hand = np.where(views & 1, -1, 1)
    turn = index.angles[found].astype(np.int64) - hand * features.angles[rows]
    growth = index.scales[found].astype(np.int64) - features.scales[rows] + 128
    pairs, votes, view = _voted(asked * np.int64(films) + index.films[found], views, turn, growth)
    place, others = pairs // films, pairs % films
    order = np.lexsort((others, -votes, place))
    first = np.searchsorted(place[order], place[order])
    order = order[np.arange(len(order)) - first < MOST]
    one, two = numbers[place[order]], others[order]
    return np.stack([np.minimum(one, two), np.maximum(one, two), votes[order], view[order]], axis=1)


def _looked_up(features: _Features) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Which features are looked up, and the views that they are looked up in: an unsure one in several."""
    unsure = (np.abs(features.products) < UNSURE) @ (1, 2)
    every = [
        (rows, features.views[rows] ^ np.uint8(change))
        for change in range(len(VIEWS))
        for rows in [np.flatnonzero(change & ~unsure == 0)]
    ]
    return np.concatenate([rows for rows, _ in every]), np.concatenate([views for _, views in every])


def _voted(
    pair: NDArray[np.int64], views: NDArray[np.uint8], turn: NDArray[np.int64], growth: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs whose matches agree on VOTES at least, ascending; votes and view of the class that most of them agree on.

    Classes of turn and growth are counted twice, the second time shifted by half a class.
    """
    keys = []
    for grid in (0, 1):
        turns = ((turn + 8 * grid) & 255) >> (8 - TURN_BITS)
        growths = ((growth + 8 * grid) & 255) >> (8 - SCALE_BITS)
        keys.append((((pair << 2 | views) << 1 | grid) << TURN_BITS | turns) << SCALE_BITS | growths)
    found, votes = np.unique(np.concatenate(keys), return_counts=True)
    found, votes = found[votes >= VOTES] >> (1 + TURN_BITS + SCALE_BITS), votes[votes >= VOTES]
    order = np.lexsort((-votes, found >> 2))
    found, votes = found[order], votes[order]
    first = _firsts(found >> 2)
    return found[first] >> 2, votes[first], found[first] & 3


def _each_once(found: NDArray[np.int64], films: int) -> NDArray[np.int64]:
    """Each pair once, with the most votes that it has, in their order."""
    found = found[np.lexsort((-found[:, 2], found[:, 1], found[:, 0]))]
    found = found[_firsts(found[:, 0] * films + found[:, 1])]
    return found[np.argsort(-found[:, 2], kind="stable")]


def _firsts(values: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each of ascending values (n,) comes for the first time."""
    return np.flatnonzero(np.r_[True, values[1:] != values[:-1]])[: len(values)]
