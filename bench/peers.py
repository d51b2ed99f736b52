"""Other ways to find copies, each with the largest threshold at which it joins no two different originals.

`imagehash` is what most people take. `cleanvision` is a whole inspection, which calls two images near duplicates where
its hashes are equal. The old method is Osteon's own, before it had local features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
import old_copies
from cleanvision.issue_managers.duplicate_issue_manager import DuplicateIssueManager, get_hash
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon.images.measure import THUMB, thumbnail

ROWS = 512
"""Images that are compared with all others at once."""
CLEANVISION = DuplicateIssueManager().get_default_params()["near_duplicates"]


@dataclass(frozen=True)
class Hashes:
    """What the peers keep of an image."""

    phash: int
    dhash: int
    cleanvision: int
    thumb: bytes
    segments: tuple[int, ...]
    """Of the crop-resistant hash; empty where it was left out, as it is slow."""


@dataclass(frozen=True)
class Peer:
    """A method: the distances (n, m) of two lists of images, and the limit that joined images stay below."""

    name: str
    distances: Callable[[Sequence[Hashes], Sequence[Hashes]], NDArray[np.float32]]
    fixed: float | None = None
    """The limit of a method that lets nobody choose it."""
    slow: bool = False
    """Whether it is measured on fewer films."""


def hashes_of(grey: NDArray[np.uint8], slow: bool) -> Hashes:
    image = Image.fromarray(grey)
    segments = imagehash.crop_resistant_hash(image).segment_hashes if slow else []
    return Hashes(
        _bits(imagehash.phash(image)),
        _bits(imagehash.dhash(image)),
        int(get_hash(image, CLEANVISION), 16),
        thumbnail(image).tobytes(),
        tuple(_bits(segment) for segment in segments),
    )


def _bits(found: imagehash.ImageHash) -> int:
    return int(str(found), 16)


def _hamming(name: str) -> Callable[[Sequence[Hashes], Sequence[Hashes]], NDArray[np.float32]]:
    def distances(one: Sequence[Hashes], many: Sequence[Hashes]) -> NDArray[np.float32]:
        ours, theirs = (np.array([getattr(image, name) for image in images], np.uint64) for images in (one, many))
        distances: NDArray[np.float32] = np.bitwise_count(ours[:, None] ^ theirs).astype(np.float32)
        return distances

    return distances


def _of_segments(one: Sequence[Hashes], many: Sequence[Hashes]) -> NDArray[np.float32]:
    """Bits by which the nearest two segments differ: `imagehash` matches images if one segment of each is near."""
    (ours, starts), (theirs, columns) = (_segments(images) for images in (one, many))
    bits = np.bitwise_count(ours[:, None] ^ theirs)
    nearest = np.minimum.reduceat(np.minimum.reduceat(bits, starts, axis=0), columns, axis=1)
    return nearest.astype(np.float32)


def _segments(images: Sequence[Hashes]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    sizes = [len(image.segments) for image in images]
    return np.array([bits for image in images for bits in image.segments], np.uint64), np.cumsum([0, *sizes[:-1]])


def _old(one: Sequence[Hashes], many: Sequence[Hashes]) -> NDArray[np.float32]:
    ours, theirs = (
        np.stack([np.frombuffer(image.thumb, np.uint8).reshape(THUMB, THUMB) for image in images])
        for images in (one, many)
    )
    return old_copies.distances(ours, theirs)


PEERS = (
    Peer("pHash", _hamming("phash")),
    Peer("dHash", _hamming("dhash")),
    Peer("cleanvision", _hamming("cleanvision"), fixed=0.5),
    Peer("old method", _old),
    Peer("crop-resistant", _of_segments, slow=True),
)


def nearest_different(
    peer: Peer, images: Sequence[Hashes], groups: NDArray[np.intp]
) -> tuple[float, tuple[int, int] | None]:
    """The least distance of two images of different groups, and which two they are: the peer's limit."""
    best, pair = np.inf, None
    for start in range(0, len(images), ROWS):
        away = peer.distances(images[start : start + ROWS], images)
        away[groups[start : start + ROWS, None] == groups] = np.inf
        row, column = np.unravel_index(away.argmin(), away.shape)
        if away[row, column] < best:
            best, pair = float(away[row, column]), (start + int(row), int(column))
    return best, pair


def components(
    peer: Peer, limit: float, known: Sequence[Hashes], fresh: Sequence[Hashes], groups: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Number of the set that each image, known ones first, is in if what is nearer than the limit is joined.

    Known images of one of `groups` are joined already, for all methods alike.
    """
    every = [*known, *fresh]
    first = np.unique(groups, return_index=True)[1]
    ends = [np.stack([np.arange(len(known)), first[np.unique(groups, return_inverse=True)[1]]])]
    for start in range(0, len(fresh), ROWS):
        rows, columns = np.nonzero(peer.distances(fresh[start : start + ROWS], every) < limit)
        ends.append(np.stack([rows + start + len(known), columns]))
    both = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(both.shape[1], bool), (both[0], both[1])), shape=(len(every),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])
