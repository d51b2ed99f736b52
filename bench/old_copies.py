"""The method by which Osteon found copies before: thumbnails, in 8 flips and quarter turns.

Copies whose file names said that they are some were looked for in another way, by rotated discs. That is not here: no
altered film has such a name.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from osteon.images.measure import coarse_thumbnails, hash_thumbnails

MAX_HAMMING = 8
"""Bits of 64 by which the hashes of two candidates may differ."""
NEARLY_SAME = 0.97
"""Correlation at 16x16 pixels from which the thumbnails themselves were looked at."""
SAME_PICTURE = 0.985
"""Correlation of two thumbnails from which they were taken for one exposure."""
PAIRS = 2048
"""Pairs whose thumbnails are compared at once."""
APART = 2.0


def distances(one: NDArray[np.uint8], many: NDArray[np.uint8]) -> NDArray[np.float32]:
    """1 less the best correlation of thumbnails (n, s, s) and (m, s, s); APART where the two are no candidates."""
    result = np.full((len(one), len(many)), APART, np.float32)
    units, coarse, hashes = _unit(many), _unit(coarse_thumbnails(many)), hash_thumbnails(many)
    for orientation in range(8):
        turned = np.rot90(one, orientation % 4, axes=(1, 2))
        turned = turned[:, :, ::-1] if orientation >= 4 else turned
        close = np.bitwise_count(hash_thumbnails(turned)[:, None] ^ hashes) <= MAX_HAMMING
        close &= _unit(coarse_thumbnails(turned)) @ coarse.T >= NEARLY_SAME
        rows, columns = np.nonzero(close)
        ours = _unit(turned)
        for start in range(0, len(rows), PAIRS):
            i, j = rows[start : start + PAIRS], columns[start : start + PAIRS]
            result[i, j] = np.minimum(result[i, j], 1 - np.einsum("np,np->n", ours[i], units[j]))
    return result


def _unit(thumbs: NDArray[np.number]) -> NDArray[np.float32]:
    """Flat thumbnails of mean 0 and norm 1 (norm 0 where constant): their products are correlations."""
    flat = thumbs.reshape(len(thumbs), math.prod(thumbs.shape[1:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return unit
