"""Features of a snapshot's images. An image is decoded and letterboxed once for a side; the lake keeps the square."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.images.decode import decode
from osteon.images.fourier import FourierRecipe
from osteon.images.letterbox import letterbox
from osteon.images.wavelet import WaveletRecipe
from osteon.lake import Lake, derived_key
from osteon.partitions import select_partition
from osteon.progress import parallel
from osteon.settings import Settings

VERSION = 2
Recipe = WaveletRecipe | FourierRecipe
SHARD = 512
"""Images in one shard at most; all of its images are of one part."""


def load_features(settings: Settings, lake: Lake, snapshot: pd.DataFrame, recipe: Recipe) -> NDArray[np.float16]:
    """Features (n, rows, columns, planes) in the snapshot's order, worked out from the squares that the lake keeps."""
    squares = load_squares(settings, lake, snapshot, recipe.side)
    return transformed(settings, squares, np.arange(len(squares)), recipe)


def transformed(
    settings: Settings, squares: NDArray[np.uint8], rows: NDArray[np.intp], recipe: Recipe
) -> NDArray[np.float16]:
    """Some `rows` (m,) of letterboxed squares (n, side, side) to features (m, rows, columns, planes)."""
    features = _room(settings, (len(rows), *recipe.shape), np.float16)
    for start in range(0, len(rows), SHARD):
        features[start : start + SHARD] = recipe.of_squares(squares[rows[start : start + SHARD]])
    return features


def load_squares(settings: Settings, lake: Lake, snapshot: pd.DataFrame, side: int) -> NDArray[np.uint8]:
    """Letterboxed squares (n, side, side), grey levels, in the snapshot's order. A mended image is read from its
    copy."""
    rows = _rows(snapshot)
    squares = _room(settings, (len(snapshot), side, side), np.uint8)
    for digest, square in _squares(settings, lake, set(rows), side):
        squares[rows[digest]] = square
    return squares


def keep_squares(settings: Settings, lake: Lake, snapshot: pd.DataFrame, side: int, part: str) -> int:
    """Have the lake keep the squares of a part of the images, before features are asked for. Returns their number."""
    return sum(1 for _ in _squares(settings, lake, set(select_partition(_rows(snapshot), part)), side))


def _rows(snapshot: pd.DataFrame) -> dict[str, list[int]]:
    """Rows of a snapshot by the image that is read: two broken files may have one mended copy."""
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(snapshot["repaired_sha256"].fillna(snapshot["sha256"])):
        rows.setdefault(digest, []).append(row)
    return rows


def _squares(settings: Settings, lake: Lake, digests: set[str], side: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each image's letterboxed square, (side, side); what no shard holds is decoded and kept."""
    for digit in sorted({digest[0] for digest in digests}):
        prefix = f"{derived_key('squares', VERSION, side, suffix='')}/{digit}"
        missing = set(select_partition(digests, digit))
        for key in lake.keys(f"{prefix}/"):
            with np.load(io.BytesIO(lake.get_bytes(key))) as shard:
                for name, square in zip(shard["sha256"].tolist(), shard["squares"], strict=True):
                    if name in missing:
                        missing.discard(name)
                        yield name, square
        fresh = sorted(missing)
        for start in range(0, len(fresh), SHARD):
            part = fresh[start : start + SHARD]
            squares = parallel(
                lambda digest: letterbox(decode(lake.get_image(digest), settings.max_pixels).pixels, side),
                part,
                workers=settings.upload_workers,
                title=f"squares {digit}: {start + len(part)}/{len(fresh)}",
            )
            buffer = io.BytesIO()
            np.savez(buffer, sha256=np.array(part), squares=np.stack(squares))
            name = hashlib.sha256("".join(part).encode()).hexdigest()[:20]
            lake.put_bytes(f"{prefix}/{name}.npz", buffer.getvalue())
            yield from zip(part, squares, strict=True)


def _room(settings: Settings, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An array in memory, or, where it would be too large, in a file that is gone with it."""
    if np.prod(shape) * np.dtype(dtype).itemsize <= settings.feature_memory:
        return np.empty(shape, dtype)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.state_dir) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
