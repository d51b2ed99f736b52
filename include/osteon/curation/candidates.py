"""Pairs of films that may be copies: an index of local features, without a comparison of all films with all.

A feature's signature is the signs of its coefficients. Features that are alike have nearly the same signature; so they
are neighbours where signatures are sorted, with their bits in one of several orders (M. Charikar, STOC 2002; locality
sensitive hashing). Two films are candidates if several such features are also turned and scaled by the same amount
(weak geometric consistency; H. Jegou et al., ECCV 2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray

from osteon.images.fingerprint import COEFFICIENTS, VIEWS, Fingerprint

FEATURES, ORDERS, WINDOW = 300, 12, 16
"""Features of a film that are compared, the strongest; in how many orders of their bits signatures are sorted; and how
many neighbours a signature is compared with in each. So 3,000 copies of one film cost no more than 3,000 films."""
PREFIX = 18
"""First bits in which two signatures must agree."""
NEAR = 9
"""Bits of COEFFICIENTS by which the signatures of two features may differ."""
VOTES = 3
"""Features that two films must have in common, turned and scaled by the same amount."""
LARGE = 20_000
"""Films from which so many are compared at once that the following takes the place of four numbers above."""
FEATURES_OF_LARGE, ORDERS_OF_LARGE, WINDOW_OF_LARGE, VOTES_OF_LARGE = 160, 6, 8, 4
BLOCK = 1 << 21
"""Signatures that are worked on at once."""
RANGES = 32
"""Ranges of the first film of pairs; those of one range are in memory at once."""
TURN_BITS, SCALE_BITS = 4, 4
"""Turns and growths are counted in classes of 1/16 of a turn and of one octave."""
PAIR_SHIFT = 3 + TURN_BITS + SCALE_BITS
"""Bits of a key below its pair: view, grid, turn and growth."""
COUNTED = np.dtype([("key", "<i8"), ("votes", "<i4")])


@dataclass(frozen=True)
class Index:
    """Features of films, one after the other."""

    signatures: NDArray[np.uint64]
    films: NDArray[np.int32]
    """Number of the film that each is of, ascending."""
    angles: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    """(n,) each, as `fingerprint.FEATURE` has them."""


def build_index(films: Iterable[Fingerprint], most: int = FEATURES) -> Index:
    """The index of films, numbered as they come, with the `most` strongest features of each."""
    parts = [(signatures(film.descriptors[:most]), film.angles[:most], film.scales[:most]) for film in films]
    numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]) for part in parts])
    return Index(
        np.concatenate([part[0] for part in parts] or [np.zeros(0, np.uint64)]),
        numbers,
        np.concatenate([part[1] for part in parts] or [np.zeros(0, np.uint8)]),
        np.concatenate([part[2] for part in parts] or [np.zeros(0, np.uint8)]),
    )


def signatures(descriptors: NDArray[np.int8]) -> NDArray[np.uint64]:
    """Signs of descriptors (n, COEFFICIENTS) as the low bits of whole numbers (n,); bit 0 is the first coefficient."""
    packed = np.zeros((len(descriptors), 8), np.uint8)
    packed[:, : COEFFICIENTS // 8] = np.packbits(descriptors >= 0, axis=1, bitorder="little")
    return packed.view("<u8")[:, 0]


def candidate_pairs(
    index: Index, fresh: NDArray[np.bool_], orders: int = ORDERS, window: int = WINDOW, least: int = VOTES
) -> NDArray[np.int64]:
    """Candidates (n, 3): two films, the smaller number first, and their votes; the pairs with most votes first.

    `fresh` (films,) are films of which pairs are looked for, with each other and with all others; `orders`, `window`
    and `least` are as ORDERS, WINDOW and VOTES. The cost goes with the number of features of the index, for sorting,
    and of fresh films, for comparing. Counts are kept in temporary files, by ranges of the first film.
    """
    films, found = len(fresh), []
    with ExitStack() as files:
        ranges = [files.enter_context(TemporaryFile()) for _ in range(RANGES)]
        ends = _key(np.linspace(0, films, RANGES + 1).astype(np.int64)[1:-1] * films, 0, 0, 0, 0)
        for order in range(orders):
            for neighbours in _neighbours(index, fresh, order, window):
                counted = _count(index, films, *neighbours)
                for file, some in zip(ranges, np.split(counted, counted["key"].searchsorted(ends)), strict=True):
                    some.tofile(file)
        for file in ranges:
            file.seek(0)
            keys, votes = _summed(np.fromfile(file, COUNTED))
            pairs = keys >> PAIR_SHIFT
            first = np.flatnonzero(np.r_[True, pairs[1:] != pairs[:-1]])[: len(pairs)]
            best = np.maximum.reduceat(votes, first) if len(first) else votes
            enough = best >= least
            found.append(np.stack([pairs[first][enough], best[enough]], axis=1))
    pairs, best = np.concatenate(found).T
    result = np.stack([pairs // max(1, films), pairs % max(1, films), best], axis=1)
    return result[np.lexsort((result[:, 1], result[:, 0], -result[:, 2]))]


def _neighbours(
    index: Index, fresh: NDArray[np.bool_], order: int, window: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], int]]:
    """Features (asked, found) whose signatures are near, the first of a fresh film, and the number of the view that
    the first is seen in."""
    table, low = _table(order), np.uint64(COEFFICIENTS - PREFIX)
    keys = _permuted(index.signatures, table)
    rows = np.argsort(keys, kind="stable").astype(np.int32)
    keys = keys[rows]
    asked = np.flatnonzero(fresh[index.films[rows]])
    for view in range(len(VIEWS)):
        mask = _permuted(np.array([_mask(view)]), table)[0]
        for start in range(0, len(asked), BLOCK):
            some = asked[start : start + BLOCK]
            wanted = keys[some] ^ mask
            if view:
                by_key = np.argsort(wanted, kind="stable")
                some, wanted = some[by_key], wanted[by_key]
                at = np.searchsorted(keys, wanted)
            else:
                at = some
            for step in range(-window // 2, window // 2 + 1):
                other = at + step
                inside = (other >= 0) & (other < len(keys))
                other = np.where(inside, other, 0)
                difference = keys[other] ^ wanted
                near = inside & (difference >> low == 0) & (np.bitwise_count(difference) <= NEAR)
                one, two = rows[some[near]], rows[other[near]]
                films, others = index.films[one], index.films[two]
                once = (films < others) | ((films > others) & ~fresh[others])  # two fresh films meet twice
                one, two = one[once], two[once]
                again = _met_before(index.signatures[one] ^ index.signatures[two], view, order)
                yield one[~again], two[~again], view


def _met_before(difference: NDArray[np.uint64], view: int, order: int) -> NDArray[np.bool_]:
    """Whether two signatures agree in the prefix of an earlier order, where they were neighbours already."""
    difference = difference ^ _mask(view)
    before = np.zeros(len(difference), bool)
    for earlier in range(order):
        before |= difference & _prefix(earlier) == 0
    return before


def _count(index: Index, films: int, one: NDArray[np.intp], two: NDArray[np.intp], view: int) -> NDArray[np.void]:
    """Keys of pair, view, turn and growth, ascending, and how many features have each, as COUNTED.

    Classes of turn and growth are counted twice, the second time shifted by half a class.
    """
    swap = index.films[one] > index.films[two]
    one, two = np.where(swap, two, one), np.where(swap, one, two)
    name = list(VIEWS)[view]
    hand = -1 if "mirrored" in name else 1
    turn = index.angles[two].astype(np.int64) - hand * index.angles[one].astype(np.int64)
    growth = index.scales[two].astype(np.int64) - index.scales[one].astype(np.int64) + 128
    pair = index.films[one].astype(np.int64) * films + index.films[two]
    keys = []
    for grid in (0, 1):
        turns = ((turn + 8 * grid) & 255) >> (8 - TURN_BITS)
        growths = ((growth + 8 * grid) & 255) >> (8 - SCALE_BITS)
        keys.append(_key(pair, view, grid, turns, growths))
    found, votes = np.unique(np.concatenate(keys), return_counts=True)
    return np.rec.fromarrays([found, votes], dtype=COUNTED)


def _key(
    pair: NDArray[np.int64], view: int, grid: int, turns: NDArray[np.int64] | int, growths: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    return (((pair << 2 | view) << 1 | grid) << TURN_BITS | turns) << SCALE_BITS | growths


def _summed(counted: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each key once, ascending, with the sum of its counts."""
    counted = counted[np.argsort(counted["key"], kind="stable")]
    first = np.flatnonzero(np.r_[True, counted["key"][1:] != counted["key"][:-1]])[: len(counted)]
    votes = counted["votes"].astype(np.int64)
    return counted["key"][first], np.add.reduceat(votes, first) if len(first) else votes


@cache
def _mask(view: int) -> np.uint64:
    """The bits of a signature that differ from those of the film as it is, in a view."""
    signs = list(VIEWS.values())[view]
    return np.uint64(signatures(np.where(signs < 0, 0, -1).astype(np.int8)[None])[0])


@cache
def _bits(order: int) -> NDArray[np.intp]:
    """One order of the bits of signatures, the most significant first: smooth coefficients are the surest."""
    rng = np.random.default_rng(order)
    weights = 1 / (2 + np.arange(COEFFICIENTS))
    return rng.choice(COEFFICIENTS, COEFFICIENTS, replace=False, p=weights / weights.sum())


@cache
def _prefix(order: int) -> np.uint64:
    """The bits of a signature that come first in an order."""
    return np.uint64(sum(1 << int(bit) for bit in _bits(order)[:PREFIX]))


@cache
def _table(order: int) -> NDArray[np.uint64]:
    """(COEFFICIENTS / 8, 256): what each byte of a signature adds to the signature with its bits in this order."""
    table = np.zeros((COEFFICIENTS // 8, 256), np.uint64)
    values = np.arange(256)
    for place, bit in enumerate(_bits(order)):
        byte, within = divmod(int(bit), 8)
        ones = (values >> within & 1).astype(np.uint64)
        table[byte] |= ones << np.uint64(COEFFICIENTS - 1 - place)
    return table


def _permuted(signs: NDArray[np.uint64], table: NDArray[np.uint64]) -> NDArray[np.uint64]:
    result = np.zeros(len(signs), np.uint64)
    for byte, column in enumerate(table):
        result |= column[(signs >> np.uint64(8 * byte) & np.uint64(255)).astype(np.intp)]
    return result
