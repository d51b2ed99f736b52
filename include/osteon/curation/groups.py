"""Leakage groups: images made from one original. Every candidate pair is verified on pixels before it joins."""

from __future__ import annotations

import math
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
from osteon.images.inspect import VERSION as MEASURED
from osteon.images.inspect import read_measurements
from osteon.images.measure import THUMB, coarse_thumbnails, hash_thumbnails
from osteon.lake import Lake, derived_key

VERSION = 5
COMPARED = f"groups/compared-v{VERSION}-{MEASURED}.parquet"
"""All images ever compared, and their copies, as `compare` and `named_copies` gave them: two are compared once in the
lake's life."""
NAMED = f"groups/named-v{VERSION}.parquet"
"""Under which names images were ever published (`sha256, source, path, height, width`): copies that a publisher makes
anew, rotated otherwise, are known by their names as copies of those that are gone."""
MAX_HAMMING = 8
"""Bits of 64 by which the hashes of two candidates may differ, in the best of the 8 flips and quarter turns."""
SAME_PICTURE = 0.985
"""Correlation of two aligned thumbnails from which they show one exposure."""
NEARLY_SAME = 0.97
"""The same at 16x16 pixels, which is looked at first, for it is cheap."""
SAME_ROTATED = 0.95
"""The same for copies that their file names claim to be, after the best rotation, inside the central disc.

Of 297 films of FracAtlas, each copy rotated by any angle and saved anew reaches 0.995; of the pairs of different films,
1 in 100 does 0.93.
Copies that were stretched as well reach 0.97."""
COPY_SUFFIX = re.compile(r"(-rotated\d+)+$|_[a-z0-9]{2,5}\.rf\.[0-9a-f]{8,}$", re.IGNORECASE)
DISC = 0.42
"""Radius of the disc that is compared, over the image's shorter side."""
ANGLES, RADII = 180, 24
"""Samples of the disc, around and outward."""
BLOCK, PAIRS = 256, 2048
"""Images that are hashed at once; candidates whose pixels are compared at once."""
TILE = 1024
"""Images that are compared with as many others at once: few enough for a processor's cache."""
DENSE = 32
"""Where more than one in so many pairs are candidates, products of whole tiles are cheaper than of those alone."""


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


def same_pictures(thumbs: NDArray[np.uint8], known: int) -> set[tuple[int, int]]:
    """Pairs (i, j), i < j, whose hashes are close and whose aligned pixels correlate.

    Pairs among the first `known` are not looked for. Time goes with n * (n - known), for hashes; memory, beside the
    thumbnails, is some 2 kB an image.
    """
    coarse, hashes = _glance(thumbs)
    norms = np.concatenate([block.std(axis=(1, 2), dtype=np.float32) * THUMB for block in _blocks(thumbs)])
    pairs: set[tuple[int, int]] = set()
    for orientation in range(8):
        turned = dihedral(thumbs[known:], orientation)
        turned_coarse, turned_hashes = _glance(turned)
        for start in range(0, len(turned), TILE):
            rows = slice(start, start + TILE)
            for first in range(0, min(known + start + TILE, len(thumbs)), TILE):
                columns = slice(first, first + TILE)
                distance = np.bitwise_count(turned_hashes[rows, None] ^ hashes[None, columns])
                close = np.flatnonzero(distance <= MAX_HAMMING)
                right, left = np.divmod(close, distance.shape[1])
                right, left = right + start, left + first
                if len(close) * DENSE > distance.size:
                    alike = (turned_coarse[rows] @ coarse[columns].T).ravel()[close]
                else:
                    alike = np.einsum("np,np->n", coarse[left], turned_coarse[right])
                near = np.flatnonzero((alike >= NEARLY_SAME) & (left < right + known))
                asked, unit_of = np.unique(right[near], return_inverse=True)
                units = _unit(turned[asked])  # their mean is 0, so that the other's mean does not matter
                for chunk in range(0, len(near), PAIRS):
                    some = slice(chunk, chunk + PAIRS)
                    i, j = left[near[some]], right[near[some]]
                    pixels = thumbs[i].reshape(len(i), -1).astype(np.float32)
                    likeness = np.einsum("np,np->n", pixels, units[unit_of[some]]) / np.maximum(norms[i], 1e-6)
                    same = likeness >= SAME_PICTURE
                    pairs.update(zip(i[same].tolist(), (j[same] + known).tolist(), strict=True))
    return pairs


def _glance(thumbs: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
    """Flat coarse thumbnails of mean 0 and norm 1, and hashes."""
    coarse = np.concatenate([_unit(coarse_thumbnails(block)) for block in _blocks(thumbs)])
    return coarse, np.concatenate([hash_thumbnails(block) for block in _blocks(thumbs)])


def _blocks(thumbs: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [thumbs[start : start + BLOCK] for start in range(0, len(thumbs), BLOCK)]


def _unit(thumbs: NDArray[np.number]) -> NDArray[np.float32]:
    """Flat thumbnails (n, s*s) of mean 0 and norm 1 (norm 0 where constant): their products are correlations."""
    flat = thumbs.reshape(len(thumbs), math.prod(thumbs.shape[1:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def polar_spectra(thumbs: NDArray[np.uint8], sizes: NDArray[np.floating]) -> NDArray[np.complex64]:
    """Fourier transforms along the angle of the central discs: (n, 2, RADII, ANGLES // 2 + 1).

    `sizes` (n, 2) are the images' heights and widths: thumbnails are square, a disc of the image is an ellipse there.
    The second of the two is the disc of the thumbnail itself, which is what copies that were stretched have in common.
    A rotation shifts the angles, so products of spectra give the correlation over all rotations at once. Discs are
    standardised, each circle counting by its length.
    """
    radius = (np.arange(RADII) + 0.5) / RADII
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    circle = np.stack([np.sin(angle), np.cos(angle)])[:, None, :] * radius[:, None]
    shapes = np.stack([sizes.min(axis=1, keepdims=True) / sizes, np.ones_like(sizes)], axis=1)
    axes = DISC * THUMB * shapes
    smooth = ndimage.gaussian_filter(thumbs.astype(np.float32), (0, 1.5, 1.5))
    discs = np.stack(
        [
            ndimage.map_coordinates(image, (THUMB - 1) / 2 + circle * axis[:, None, None], order=1)
            for image, both in zip(smooth, axes, strict=True)
            for axis in both
        ]
    ).reshape(len(thumbs), 2, RADII, ANGLES)
    weights = (radius / radius.sum() / ANGLES)[:, None]
    discs -= (discs * weights).sum(axis=(2, 3), keepdims=True)
    norms = np.sqrt((discs**2 * weights).sum(axis=(2, 3), keepdims=True))
    return np.fft.rfft(discs / np.maximum(norms, 1e-6) * np.sqrt(weights)).astype(np.complex64)


def rotated_correlations(one: NDArray[np.complex64], many: NDArray[np.complex64]) -> NDArray[np.float32]:
    """The best correlation of one image's disc with each of (n, ...) others', over rotations and mirrorings."""
    turned = np.einsum("grk,ngrk->ngk", one, many.conj())
    mirrored = np.einsum("grk,ngrk->ngk", one, many)
    return np.fft.irfft(np.stack([turned, mirrored]), ANGLES).max(axis=(0, 2, 3))


def compare(before: pd.DataFrame, digests: pd.Series, thumbs: pd.Series) -> pd.DataFrame:
    """What was compared before, and the given images compared with all of that and with each other.

    `thumbs` are the thumbnails of all images ever measured, by `sha256`. Rows are `sha256, same`: one for each earlier
    image that shows the same picture, one without `same` for an image that has none. So any two images that have rows
    were compared, whichever catalogs they stood in.
    """
    before = before[before["sha256"].isin(thumbs.index)]
    known = before["sha256"].unique()
    fresh = digests[~digests.isin(known)]
    if fresh.empty:
        return before
    every = np.array([*known, *fresh], dtype=object)
    pairs = np.array(sorted(same_pictures(_pixels(thumbs[every]), len(known))), dtype=np.intp).reshape(-1, 2)
    found = pd.DataFrame({"sha256": every[pairs[:, 1]], "same": every[pairs[:, 0]]})
    alone = pd.DataFrame({"sha256": fresh[~fresh.isin(found["sha256"])], "same": None})
    return pd.concat([before, found, alone], ignore_index=True).astype("string")


def named_copies(frame: pd.DataFrame) -> pd.DataFrame:
    """Pairs (`sha256, same`) of copies rotated by any angle, which their file names say and their pixels confirm.

    `frame` has `sha256, thumb, height, width` and `names`: the (source, path) pairs of all publications of an image.
    """
    edges: set[tuple[int, int]] = set()
    sizes = frame[["height", "width"]].to_numpy(float)
    for family, marked in named_families(frame["names"]):
        spectra = polar_spectra(_pixels(frame["thumb"].iloc[family]), sizes[family])
        edges |= _rotated_pairs(family, marked, spectra)
    pairs, digests = np.array(sorted(edges), dtype=np.intp).reshape(-1, 2), frame["sha256"].to_numpy(object)
    return pd.DataFrame({"sha256": digests[pairs[:, 1]], "same": digests[pairs[:, 0]]}, dtype="string")


def leakage_groups(compared: pd.DataFrame) -> pd.Series:
    """Group of every image ever compared, by `sha256`, named by the smallest in it.

    An image that no catalog holds any more still joins its copies: a publisher's new version may be the old one, saved
    anew, and must not stand on the other side of a split.
    """
    digests = pd.Index(compared["sha256"].unique())
    pairs = compared[compared["same"].isin(digests)]
    ends = digests.get_indexer(pairs["sha256"]), digests.get_indexer(pairs["same"])
    graph = coo_array((np.ones(len(pairs), bool), ends), shape=(max(1, len(digests)),) * 2)
    component = connected_components(graph, directed=False)[1][: len(digests)]
    names = pd.Series(digests, index=digests, dtype="string")
    return names.groupby(component).transform("min")


def every_group(lake: Lake) -> pd.Series:
    """Group of every image that the lake ever compared, by `sha256`."""
    return leakage_groups(_compared(lake))


def _compared(lake: Lake) -> pd.DataFrame:
    if lake.exists(COMPARED):
        return lake.get_table(COMPARED)
    return pd.DataFrame(columns=["sha256", "same"], dtype="string")


def _pixels(thumbs: pd.Series) -> NDArray[np.uint8]:
    return np.stack([np.frombuffer(raw, np.uint8).reshape(THUMB, THUMB) for raw in thumbs])


def named_families(names: pd.Series) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Rows whose file names, within one source, say that some are copies of another; and which say it of themselves."""
    families: dict[tuple[str, str], dict[int, bool]] = {}
    for row, publications in enumerate(names):
        for source, path in publications:
            stem, marked = original_stem(path)
            members = families.setdefault((source, stem), {})
            members[row] = members.get(row, False) or marked
    for members in families.values():
        if len(members) > 1 and any(members.values()):
            rows = sorted(members)
            yield np.array(rows), np.array([members[row] for row in rows])


def _rotated_pairs(
    rows: NDArray[np.intp], marked: NDArray[np.bool_], spectra: NDArray[np.complex64]
) -> set[tuple[int, int]]:
    """Pairs that connect what shows one exposure: each image is compared only with those not connected to it yet."""
    pairs: set[tuple[int, int]] = set()
    left = np.ones(len(rows), bool)
    while left.any():
        frontier = [int(np.argmax(left))]
        left[frontier] = False
        while frontier:
            one = frontier.pop()
            others = np.flatnonzero(left & (marked | marked[one]))
            found = others[rotated_correlations(spectra[one], spectra[others]) >= SAME_ROTATED]
            pairs.update((min(pair), max(pair)) for pair in ((int(rows[one]), int(rows[other])) for other in found))
            left[found] = False
            frontier.extend(found.tolist())
    return pairs


def group(lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Set `group` for every image that is not quarantined. Returns the key and counts (`groups`, `copies`).

    Only images that no run compared before are compared, with all that were. What is known of an image's copies is in
    the key: the same catalog after the same history gives the same key.
    """
    catalog, before = catalogs.read(lake, catalog_key), _compared(lake)
    usable = catalog[catalogs.usable(catalog)]
    key = _key(catalog_key, _within(usable["sha256"], leakage_groups(before)))
    if lake.exists(key):
        return key, _counts(lake.get_table(key, columns=["group"]))
    thumbs = read_measurements(lake).set_index("sha256")["thumb"].dropna()
    compared = compare(before, usable["sha256"], thumbs)
    known = lake.get_table(NAMED) if lake.exists(NAMED) else None
    named = pd.concat([known, _names(usable)]).drop_duplicates(["sha256", "source", "path"], ignore_index=True)
    if known is None or len(named) > len(known):
        lake.put_table(NAMED, named)
    compared = pd.concat([compared, named_copies(_by_image(named, thumbs))]).drop_duplicates(ignore_index=True)
    if not compared.equals(before):
        lake.put_table(COMPARED, compared)
    groups = _within(usable["sha256"], leakage_groups(compared))
    catalog["group"] = groups.reindex(catalog.index)
    key = catalogs.write(lake, _key(catalog_key, groups), catalog)
    return key, _counts(catalog)


def _names(usable: pd.DataFrame) -> pd.DataFrame:
    """Rows of `NAMED` for a catalog's images."""
    rows = [
        (image.sha256, item["source"], item["path"], image.height, image.width)
        for image in usable.itertuples()
        for item in image.published
    ]
    return pd.DataFrame(rows, columns=["sha256", "source", "path", "height", "width"])


def _by_image(named: pd.DataFrame, thumbs: pd.Series) -> pd.DataFrame:
    """Images of `NAMED` as `named_copies` takes them, but for those whose measurements are gone."""
    named = named[named["sha256"].isin(thumbs.index)]
    pairs = named.assign(names=list(zip(named["source"], named["path"], strict=True))).groupby("sha256")
    frame = pairs.agg(height=("height", "first"), width=("width", "first"), names=("names", list)).reset_index()
    return frame.assign(thumb=[thumbs[digest] for digest in frame["sha256"]])


def _within(digests: pd.Series, groups: pd.Series) -> pd.Series:
    """Groups of a catalog's images, named by what it holds: copies elsewhere make no other catalog of it."""
    return digests.groupby(digests.map(groups)).transform("min")


def _key(catalog_key: str, groups: pd.Series) -> str:
    return derived_key("group", VERSION, catalog_key, groups.astype("string").fillna("").tolist())


def _counts(catalog: pd.DataFrame) -> dict[str, int]:
    groups = int(catalog["group"].nunique())
    return {"groups": groups, "copies": int(catalog["group"].notna().sum()) - groups}
