"""Test images and what is nearest to them in train and val: whether copies cross the split, looked for anew.

Candidates come from descriptors of whole films, not from the index that `group` finds copies by. So what that index
missed is not missed here for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import cv2
import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from osteon import history
from osteon.curation.copies import VERSION as COMPARISON
from osteon.images.descriptors import COEFFICIENTS
from osteon.images.fingerprint import FORMAT, Fingerprint, read_fingerprint
from osteon.images.registration import Registration, register, verdict
from osteon.lake import Lake, derived_key

VERSION = 1
METHOD = "check of the split"
NEAREST = 5
"""Candidates of each kind for a test image.

This was measured on 118 films of FracAtlas among 1,273, with the copies that `register` can prove at all. The
candidates hold the original of every copy turned by 15 degrees. They hold that of 99 % of the equalised ones (CLAHE),
and of 95 % of those cropped by 20 %.
"""
WORDS = 256
"""Of the codebook that local features are pooled by."""
LEARNT_FROM = 200
"""Films whose features the codebook is learnt from."""
SEED = 0
SIDE = 16
"""Pixels of the side of the picture that stands for a film's low frequencies."""
BLOCK = 512
"""Films that are described, or looked for, at once."""
HELD = 4096
"""Fingerprints that are held decoded."""
COLUMNS = {
    "test": "string", "neighbour": "string", "score": "Float64", "inliers": "Int64", "correlation": "Float64",
    "view": "string", "verdict": "string", "neighbour_split": "string",
}  # fmt: skip

RANKS = (history.COPY, history.POSSIBLE, history.DIFFERENT)
Found = dict[tuple[str, str], Registration | None]
"""Registrations of a test image and another, by their digests."""
Decode = Callable[[str], Fingerprint]
"""Fingerprint of an image, by its digest."""


def leakage_key(catalog: pd.DataFrame) -> str:
    """Where the pairs of a catalog that was split are kept.

    It is set by the catalog's images and their splits, and by how they are compared.
    """
    placed = catalog.loc[catalog["split"].notna(), ["sha256", "split"]].sort_values("sha256")
    return derived_key("leakage", VERSION, FORMAT, COMPARISON, placed.to_numpy().tolist())


def find_pairs(lake: Lake, catalog: pd.DataFrame) -> pd.DataFrame:
    """Each test image with its candidates in train and val, registered: `COLUMNS`, one row for each pair.

    Where no transform was found, there is no score. An image without a fingerprint has a row of its own, whose other
    end is null; see `not_compared`. The lake keeps the result, so that it is worked out once. Copies are appended to
    the history first: the next `group` joins them.
    """
    key = leakage_key(catalog)
    if lake.exists(key):
        pairs = lake.get_table(key).astype(COLUMNS)
        if not_compared(pairs).empty:
            return pairs
    splits = catalog.dropna(subset=["split"]).set_index("sha256")["split"].sort_index()
    prints = _read_prints(lake, splits.index)
    found = register_nearest(prints, splits)
    history.append(lake, history.COPIES, facts(found))
    pairs = pair_table(found, splits, prints)
    lake.put_table(key, pairs)
    return pairs


def stored_pairs(lake: Lake, catalog: pd.DataFrame) -> pd.DataFrame | None:
    """What `find_pairs` left of a catalog that was split; None where nobody looked."""
    key = leakage_key(catalog)
    return lake.get_table(key).astype(COLUMNS) if lake.exists(key) else None


def nearest(pairs: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """Of each test image the pair that is most likely one film, the most likely first: by verdict, then by score.

    Pairs that a curator decided to be two films (`decided`: `first, second, copies`) do not count.
    """
    whole = pairs.dropna(subset=["test", "neighbour"])
    apart = decided.loc[~decided["copies"].astype(bool), ["first", "second"]]
    ends = pd.MultiIndex.from_arrays(
        [whole[["test", "neighbour"]].min(axis=1), whole[["test", "neighbour"]].max(axis=1)]
    )
    left = whole[~ends.isin(pd.MultiIndex.from_frame(apart))]
    order = left.assign(rank=left["verdict"].map(RANKS.index)).sort_values(
        ["rank", "score", "test", "neighbour"], ascending=[True, False, True, True], na_position="last", kind="stable"
    )
    return order.drop(columns="rank").drop_duplicates("test").reset_index(drop=True)


def not_compared(pairs: pd.DataFrame) -> pd.Series:
    """Digests of images that had no fingerprint."""
    alone = pairs[pairs["test"].isna() | pairs["neighbour"].isna()]
    return alone["test"].fillna(alone["neighbour"])


def register_nearest(prints: Mapping[str, bytes], splits: pd.Series) -> Found:
    """Register each test image with its candidates in train and val.

    `prints` are fingerprints, and `splits` the split of each image, by digest. Raises `ValueError` for bytes that are
    no fingerprint.
    """
    known = splits[splits.index.isin(list(prints))]
    tests, others = (list(known.index[(known == "test") == wanted]) for wanted in (True, False))
    decode = lru_cache(HELD)(lambda digest: read_fingerprint(prints[digest]))
    with threadpool_limits(1):  # its matrices are small: more threads only wait for each other
        pairs = candidates(decode, tests, others)
        return {(test, other): register(decode(test), decode(other)) for test in tests for other in pairs[test]}


def candidates(decode: Decode, tests: list[str], others: list[str]) -> dict[str, list[str]]:
    """For each test image the others that are nearest by either descriptor, in order of digests."""
    chosen: dict[str, set[str]] = {test: set() for test in tests}
    if not tests or not others:
        return {test: [] for test in tests}
    words = codebook(decode, sorted([*tests, *others]))
    if words is not None:
        _choose(chosen, others, lambda digest: pooled(decode(digest), words)[None])
    _choose(chosen, others, lambda digest: coarse(decode(digest)))
    return {test: sorted(found) for test, found in chosen.items()}


def codebook(decode: Decode, digests: list[str]) -> NDArray[np.float32] | None:
    """WORDS centres (or fewer) of the films' features, by k-means from a fixed seed; None where no film has any."""
    some = digests[:: max(1, len(digests) // LEARNT_FROM)]
    features = np.concatenate([np.abs(decode(digest).unit) for digest in some])
    if not len(features):
        return None
    means = faiss.Kmeans(COEFFICIENTS, min(WORDS, len(features)), niter=10, seed=SEED, min_points_per_centroid=1)
    means.train(np.ascontiguousarray(features))
    return np.asarray(means.centroids, np.float32)


def pooled(film: Fingerprint, words: NDArray[np.float32]) -> NDArray[np.float32]:
    """One vector (len(words) * COEFFICIENTS,) of norm 1 for all local features; 0 for a film without any.

    Residuals to the nearest word are added up and their roots taken (VLAD; H. Jegou et al., CVPR 2010). Features
    count without the signs that VIEWS change: a mirror image and a negative have the same vector.
    """
    features = np.abs(film.unit)
    nearest_word = ((words**2).sum(axis=1) - 2 * features @ words.T).argmin(axis=1)
    sums = np.zeros_like(words)
    np.add.at(sums, nearest_word, features - words[nearest_word])
    roots = (np.sign(sums) * np.sqrt(np.abs(sums))).ravel()
    return np.asarray(roots / max(float(np.linalg.norm(roots)), 1e-6), np.float32)


def coarse(film: Fingerprint) -> NDArray[np.float32]:
    """Low frequencies of the small picture, of mean 0 and norm 1: 16 rows of SIDE * SIDE numbers.

    They are the 8 flips and quarter turns of the film, and of its negative; the first is the film as it is.
    """
    small = cv2.resize(film.picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    turned = [np.rot90(picture, turn).ravel() for picture in (small, small[:, ::-1]) for turn in range(4)]
    rows = np.stack(turned) / max(float(np.linalg.norm(small)), 1e-6)
    return np.concatenate([rows, -rows])


def pair_table(found: Found, splits: pd.Series, prints: Iterable[str]) -> pd.DataFrame:
    """Registrations as a table of `COLUMNS`, with a row for each image that is in `splits` and not in `prints`."""
    rows: list[tuple[object, ...]] = []
    for (test, other), one in found.items():
        measures = (one.score, one.inliers, one.correlation, one.view) if one else (None,) * 4
        rows.append((test, other, *measures, verdict(one), splits[other]))
    for digest in splits.index.difference(list(prints)):
        ends = (digest, None) if splits[digest] == "test" else (None, digest)
        rows.append((*ends, *(None,) * (len(COLUMNS) - 2)))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def facts(found: Found) -> pd.DataFrame:
    """Rows of `history.COPIES` for the copies among registrations.

    What is but possible is left to curators: else a second run on the same data would split them otherwise.
    """
    rows = []
    for (test, other), one in found.items():
        if one is None or verdict(one) != history.COPY:
            continue
        ends = [(test, one.covers_first, one.region_first), (other, one.covers_second, one.region_second)]
        (first, covers_first, region_first), (second, covers_second, region_second) = sorted(ends)
        rows.append({
            "first": first, "second": second, "verdict": history.COPY, "method": METHOD, "score": one.score,
            "inliers": one.inliers, "covers_first": covers_first, "covers_second": covers_second,
            "region_first": region_first, "region_second": region_second,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=list(history.COPIES.columns))


def _choose(chosen: dict[str, set[str]], others: list[str], describe: Callable[[str], NDArray[np.float32]]) -> None:
    """Add to each test image the NEAREST others, by the products of their first row with any row of the image."""
    index = None
    for start in range(0, len(others), BLOCK):
        rows = np.stack([describe(digest)[0] for digest in others[start : start + BLOCK]])
        if index is None:
            index = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        index.add(rows)
    assert index is not None
    for test, found in chosen.items():
        likeness, nearest_rows = index.search(describe(test), min(NEAREST, len(others)))
        best = np.argsort(-likeness.ravel(), kind="stable")
        found.update([others[row] for row in dict.fromkeys(nearest_rows.ravel()[best])][:NEAREST])


def _read_prints(lake: Lake, digests: pd.Index) -> dict[str, bytes]:
    """Fingerprints of images, by digest; those that have none of today's format are not there."""
    found = history.read(lake, history.FINGERPRINTS)
    found = found[found["sha256"].isin(digests) & (found["format"] == FORMAT)]
    return dict(zip(found["sha256"], found["data"], strict=True))
