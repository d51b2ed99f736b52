"""Which images show one film: every candidate pair is verified on pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from osteon import history
from osteon.images.measure import FORMAT, THUMB, coarse_thumbnails, hash_thumbnails
from osteon.lake import Lake
from osteon.settings import Settings

VERSION = 1
"""Of the comparison: with another one, all images ever seen are compared anew."""
METHOD = "thumbnails"
CONTRADICTS = 0.5
"""Correlation of two thumbnails, in the best of the 8 flips and quarter turns, below which one path names two films."""
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


def ready(lake: Lake) -> pd.Index:
    """SHA-256 of every image that can be compared now, in order; of others the lake has no fingerprint of FORMAT."""
    found = history.read(lake, history.FINGERPRINTS, ["sha256"])
    return pd.Index(found.loc[found["format"] == FORMAT, "sha256"])


def find_copies(
    lake: Lake, settings: Settings, known: Sequence[str], fresh: Sequence[str], paths: pd.DataFrame
) -> pd.DataFrame:
    """Rows of `history.COPIES` for pairs of a fresh image and any other, and for the pairs `paths`.

    `known` and `fresh` are digests that are `ready`; `paths` (`first, second`) are pairs that one source published
    under one path, which are `different` only where pixels clearly say so. What is in no row was not found alike.
    """
    prints = history.read(lake, history.FINGERPRINTS).set_index("sha256")["data"]
    every = np.array([*known, *fresh], dtype=object)
    thumbs = _thumbs(prints[every])
    found = {(every[i], every[j]) for i, j in same_pictures(thumbs, len(known))} if len(fresh) else set()
    names = history.read(lake, history.NAMES).dropna(subset=["source", "path"])
    named = names[names["sha256"].isin(every)].groupby("sha256")[["source", "path"]].agg(list)
    publications = [list(zip(*both, strict=True)) for both in named.itertuples(index=False)]
    sizes = np.array([np.frombuffer(prints[digest][:8], "<u4") for digest in named.index], float).reshape(-1, 2)
    found |= named_copies(named.index.to_numpy(object), _thumbs(prints[named.index]), sizes, publications)
    rows = [(*sorted(pair), history.COPY, 1.0) for pair in found]
    at = {digest: row for row, digest in enumerate(every)}
    for first, second in paths[["first", "second"]].itertuples(index=False, name=None):
        if (first, second) not in found and (second, first) not in found:
            likeness = best_correlation(thumbs[at[first]], thumbs[at[second]])
            rows.append((first, second, history.DIFFERENT if likeness < CONTRADICTS else history.POSSIBLE, likeness))
    return pd.DataFrame(rows, columns=["first", "second", "verdict", "score"]).assign(method=METHOD)


def best_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of two thumbnails, over the 8 flips and quarter turns; 0 where one is constant."""
    turned = np.concatenate([dihedral(other[None], orientation) for orientation in range(8)])
    return float((_unit(turned) @ _unit(one[None])[0]).max())


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


def named_copies(
    digests: NDArray[np.object_],
    thumbs: NDArray[np.uint8],
    sizes: NDArray[np.floating],
    names: list[list[tuple[str, str]]],
) -> set[tuple[str, str]]:
    """Pairs of copies rotated by any angle, which their file names say and their pixels confirm.

    `sizes` (n, 2) are heights and widths; `names` the (source, path) pairs of all publications of each image.
    """
    edges: set[tuple[int, int]] = set()
    for family, marked in named_families(names):
        edges |= _rotated_pairs(family, marked, polar_spectra(thumbs[family], sizes[family]))
    return {(digests[i], digests[j]) for i, j in edges}


def _thumbs(prints: pd.Series) -> NDArray[np.uint8]:
    raw = b"".join(data[8:] for data in prints)
    return np.frombuffer(raw, np.uint8).reshape(len(prints), THUMB, THUMB)


def named_families(names: list[list[tuple[str, str]]]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
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
