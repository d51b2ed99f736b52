"""Leakage groups: images made from one original. Every candidate pair is verified on pixels before it joins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon import catalog as catalogs
from osteon.images.inspect import THUMB, hash_thumbnails, read_measurements
from osteon.lake import Lake, derived_key

VERSION = 1
MAX_HAMMING = 8
"""Bits of 64 by which the hashes of two candidates may differ, in the best of the 8 flips and quarter turns."""
SAME_PICTURE = 0.985
"""Correlation of two aligned thumbnails from which they show one exposure."""
SAME_ROTATED = 0.90
"""The same for copies that their file names already claim to be, after the best rotation, inside the central disc."""
COPY_SUFFIX = re.compile(r"(-rotated\d+)+$|_(jpe?g|png)\.rf\.[0-9a-f]{8,}$", re.IGNORECASE)
BLOCK = 512


def original_stem(path: str) -> tuple[str, bool]:
    """File name without ending and without publishers' marks of a copy, and whether it had such a mark.

    `64-rotated2-rotated1.jpg` gives `("64", True)`, `11_jpg.rf.a47b01eb.jpg` gives `("11", True)`.
    """
    stem = PurePosixPath(path).stem
    plain = COPY_SUFFIX.sub("", stem)
    return plain, plain != stem


def dihedral(thumbs: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Square thumbnails (n, s, s) in one of the 8 flips and quarter turns; orientation 0 is the identity."""
    turned = np.rot90(thumbs, orientation % 4, axes=(1, 2))
    return turned[:, :, ::-1] if orientation >= 4 else turned


def same_pictures(thumbs: NDArray[np.uint8]) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, whose hashes are close and whose aligned pixels correlate. Hashing is quadratic in n."""
    upright, hashes = _unit(thumbs), hash_thumbnails(thumbs)
    pairs: set[tuple[int, int]] = set()
    for orientation in range(8):
        turned = dihedral(thumbs, orientation)
        units, turned_hashes = _unit(turned), hash_thumbnails(turned)
        for start in range(0, len(thumbs), BLOCK):
            distance = np.bitwise_count(hashes[start : start + BLOCK, None] ^ turned_hashes[None, start:])
            left, right = (side + start for side in np.nonzero(distance <= MAX_HAMMING))
            left, right = left[left < right], right[left < right]
            for chunk in range(0, len(left), 8 * BLOCK):
                i, j = left[chunk : chunk + 8 * BLOCK], right[chunk : chunk + 8 * BLOCK]
                same = np.einsum("np,np->n", upright[i], units[j]) >= SAME_PICTURE
                pairs.update(zip(i[same].tolist(), j[same].tolist(), strict=True))
    return pairs


def _unit(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Flat thumbnails (n, s*s) of mean 0 and norm 1 (norm 0 where constant): their products are correlations."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's correlation of two arrays of one shape; 0 where one of them is constant."""
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    norm = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norm if norm > 0 else 0.0


def rotated_correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The best correlation inside the central disc over all rotations of `b` and its mirror image."""
    axis = np.arange(THUMB) - (THUMB - 1) / 2
    disc = axis[:, None] ** 2 + axis[None, :] ** 2 <= (0.42 * THUMB) ** 2
    target = ndimage.gaussian_filter(a.astype(np.float32), 1.5)[disc]
    best = -1.0
    for view in (b, b[:, ::-1]):
        smooth = ndimage.gaussian_filter(view.astype(np.float32), 1.5)

        def score(angle: float, smooth: NDArray[np.float32] = smooth) -> float:
            return correlation(target, ndimage.rotate(smooth, angle, reshape=False, order=1)[disc])

        coarse = max(range(0, 360, 6), key=score)
        best = max(best, *(score(coarse + step) for step in (-3, -1.5, 0, 1.5, 3)))
    return best


def leakage_groups(frame: pd.DataFrame) -> pd.Series:
    """Group of each image, named by the smallest `sha256` in it.

    `frame` has `sha256, thumb` and `names`: for each image its (source, path) pairs, of all its publications.
    """
    count = len(frame)
    if count == 0:
        return pd.Series([], index=frame.index, dtype="string")
    thumbs = np.stack([np.frombuffer(raw, np.uint8).reshape(THUMB, THUMB) for raw in frame["thumb"]])
    edges = same_pictures(thumbs)
    edges |= {(i, j) for i, j in name_candidates(frame["names"]) if (i, j) not in edges and _same(thumbs[i], thumbs[j])}
    left, right = zip(*edges, strict=True) if edges else ((), ())
    graph = coo_array((np.ones(len(edges), bool), (left, right)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    digests = frame["sha256"].reset_index(drop=True)
    names = digests.groupby(component).min()
    return pd.Series(names.loc[component].to_numpy(), index=frame.index, dtype="string")


def name_candidates(names: pd.Series) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, within one source whose file names say that they are copies of one original."""
    families: dict[tuple[str, str], dict[int, bool]] = {}
    for row, publications in enumerate(names):
        for source, path in publications:
            stem, marked = original_stem(path)
            members = families.setdefault((source, stem), {})
            members[row] = members.get(row, False) or marked
    for members in families.values():
        if len(members) < 2 or not any(members.values()):
            continue
        rows = sorted(members)
        for position, i in enumerate(rows):
            for j in rows[position + 1 :]:
                if members[i] or members[j]:
                    yield i, j


def _same(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    return rotated_correlation(a, b) >= SAME_ROTATED


def group(lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Set `group` for every image that is not quarantined. Returns the key and counts (`groups`, `copies`)."""
    key = derived_key("group", VERSION, catalog_key)
    if lake.exists(key):
        return key, _counts(lake.get_table(key, columns=["group"]))
    catalog = catalogs.read(lake, catalog_key)
    usable = catalog[~catalog["quarantined"].fillna(False)]
    thumbs = read_measurements(lake).set_index("sha256")["thumb"]
    frame = pd.DataFrame(
        {
            "sha256": usable["sha256"],
            "thumb": [thumbs[digest] for digest in usable["sha256"]],
            "names": [[(item["source"], item["path"]) for item in items] for items in usable["published"]],
        },
        index=usable.index,
    )
    catalog["group"] = leakage_groups(frame).reindex(catalog.index)
    catalogs.write(lake, key, catalog)
    return key, _counts(catalog)


def _counts(catalog: pd.DataFrame) -> dict[str, int]:
    groups = int(catalog["group"].nunique())
    return {"groups": groups, "copies": int(catalog["group"].notna().sum()) - groups}
