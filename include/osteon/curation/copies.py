"""Which images show one film: candidates share local features, and a proof aligns the two."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from osteon import history
from osteon.curation.candidates import candidate_pairs
from osteon.images.descriptors import VIEWS
from osteon.images.fingerprint import FORMAT, Fingerprint, read_fingerprint
from osteon.images.registration import Registration, is_plain, register, verdict
from osteon.lake import Lake
from osteon.progress import ProgressLogger

VERSION = 4
"""Of the comparison: with another one, all images ever seen are compared anew."""
METHOD = "features"
MOST_REFUSED = 12
"""Candidates of two films that may prove to be others, before the two are not aligned any more. The most likely come
first. So a set in which all films are nearly the same costs no more than its size."""
WHOLE = 0.5
"""Share that two copies must show of each other. Then what is a copy of one need not be compared with the other. A
mosaic shows less of each of its films."""
KEPT = 1024
"""Films whose fingerprints are held unpacked."""
log = logging.getLogger(__name__)


def ready(lake: Lake) -> pd.Index:
    """SHA-256 of every image that can be compared now, in order; of others the lake has no fingerprint of FORMAT."""
    found = history.read(lake, history.FINGERPRINTS, ["sha256"])
    digests: pd.Index = pd.Index(found.loc[found["format"] == FORMAT, "sha256"])
    return digests


def find_copies(lake: Lake, known: Sequence[str], fresh: Sequence[str], paths: pd.DataFrame) -> pd.DataFrame:
    """Rows of `history.COPIES` for pairs of a fresh image and any other, and for the pairs `paths`.

    `known` and `fresh` are digests that are `ready`; `paths` (`first, second`) are pairs that one source published
    under one path, which are `different` only where pixels clearly say so. What is in no row was not found alike, or
    is connected by pairs that are.
    """
    prints = history.read(lake, history.FINGERPRINTS).set_index("sha256")["data"]
    proved = history.read(lake, history.COPIES)
    return compare(prints, known, fresh, paths, proved[proved["verdict"] == history.COPY])


def compare(
    prints: pd.Series, known: Sequence[str], fresh: Sequence[str], paths: pd.DataFrame, proved: pd.DataFrame
) -> pd.DataFrame:
    """As `find_copies`. `prints` are fingerprints by digest, `proved` are copies (rows of `history.COPIES`)."""
    digests = [*known, *fresh]

    @lru_cache(KEPT)
    def film(digest: str) -> Fingerprint:
        return read_fingerprint(prints[digest])

    views = list(VIEWS)
    rows: dict[tuple[str, str], tuple[str, Registration | None]] = {}
    together, refused = _Sets(), np.zeros(len(digests), int)
    whole = proved[_whole(proved)]
    for one, other in zip(whole["first"].tolist(), whole["second"].tolist(), strict=True):
        together.join(one, other)
    pairs = candidate_pairs(lambda number: film(digests[number]), np.arange(len(digests)) >= len(known))
    with threadpool_limits(1):  # of matrices this small, a second thread costs more than it helps
        for first, second in paths[["first", "second"]].itertuples(index=False, name=None):
            found = register(film(first), film(second))
            said = verdict(found)
            if said == history.DIFFERENT and (is_plain(film(first)) or is_plain(film(second))):
                said = history.POSSIBLE
            rows[first, second] = said, found
        with ProgressLogger("compare", len(pairs)) as progress:
            for one, two, _, view in pairs.tolist():
                progress.add(1)
                first, second = sorted((digests[one], digests[two]))
                if (first, second) in rows or together.joined(first, second):
                    continue
                if refused[one] + refused[two] >= MOST_REFUSED:
                    continue
                found = register(film(first), film(second), [views[view]])
                said = verdict(found)
                if found is None or said == history.DIFFERENT:
                    refused[[one, two]] += 1
                    continue
                rows[first, second] = said, found
                if said == history.COPY and min(found.covers_first, found.covers_second) >= WHOLE:
                    together.join(first, second)
    log.info("%d candidate pairs of %d new images, %d are copies or may be", len(pairs), len(fresh), len(rows))
    return _table(rows)


def _whole(pairs: pd.DataFrame) -> pd.Series:
    """Whether both images of each pair show most of the other; what older methods found is taken for that."""
    return pairs[["covers_first", "covers_second"]].astype("Float64").fillna(1.0).min(axis=1) >= WHOLE


def _table(rows: dict[tuple[str, str], tuple[str, Registration | None]]) -> pd.DataFrame:
    """Rows of `history.COPIES`."""
    columns = list(history.COPIES.columns)
    table = [
        (first, second, said, METHOD)
        + (
            (0.0, 0, None, None, None, None)
            if found is None
            else (
                found.score,
                found.inliers,
                found.covers_first,
                found.covers_second,
                found.region_first,
                found.region_second,
            )
        )
        for (first, second), (said, found) in rows.items()
    ]
    return pd.DataFrame(table, columns=columns)


class _Sets:
    """Sets of digests that are joined one pair after the other (disjoint-set forest)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def _name(self, one: str) -> str:
        top = one
        while (above := self._above.get(top, top)) != top:
            top = above
        while one != top:
            self._above[one], one = top, self._above.get(one, top)
        return top

    def join(self, one: str, other: str) -> None:
        self._above[self._name(one)] = self._name(other)

    def joined(self, one: str, other: str) -> bool:
        return self._name(one) == self._name(other)
