"""Features of a snapshot's images. An image is decoded and letterboxed once for a side; the lake keeps the result."""

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
from osteon.images.fourier import FourierTransform
from osteon.images.letterbox import letterbox
from osteon.images.wavelet import WaveletTransform
from osteon.lake import Lake, derived_key
from osteon.partitions import select_partition
from osteon.progress import parallel
from osteon.settings import Settings, TrainingSettings

VERSION = 3
ImageTransform = WaveletTransform | FourierTransform
SHARD = 512
"""Images in one shard at most; all of its images are of one part."""


def load_features(
    settings: Settings, lake: Lake, snapshot: pd.DataFrame, transform: ImageTransform
) -> NDArray[np.float16]:
    """Features (n, rows, columns, planes) in the snapshot's order, from resized images of the lake."""
    resized = load_resized_images(settings, lake, snapshot, transform.side)
    return compute_features(settings, resized, np.arange(len(resized)), transform)


def compute_features(
    settings: TrainingSettings, resized: NDArray[np.uint8], rows: NDArray[np.intp], transform: ImageTransform
) -> NDArray[np.float16]:
    """Some `rows` (m,) of resized images (n, side, side) to features (m, rows, columns, planes)."""
    features = _allocate(settings, (len(rows), *transform.shape), np.float16)
    for start in range(0, len(rows), SHARD):
        features[start : start + SHARD] = transform.apply_batch(resized[rows[start : start + SHARD]])
    return features


def load_resized_images(settings: Settings, lake: Lake, snapshot: pd.DataFrame, side: int) -> NDArray[np.uint8]:
    """Letterboxed images (n, side, side), grey levels, in the snapshot's order.

    A repaired image is read from its copy.
    """
    rows = _rows(snapshot)
    resized = _allocate(settings, (len(snapshot), side, side), np.uint8)
    for digest, image in _resized_images(settings, lake, set(rows), side):
        resized[rows[digest]] = image
    return resized


def cache_resized_images(settings: Settings, lake: Lake, snapshot: pd.DataFrame, side: int, part: str) -> int:
    """Cache the resized images of one partition in the lake. Returns their number."""
    return sum(1 for _ in _resized_images(settings, lake, set(select_partition(_rows(snapshot), part)), side))


def _rows(snapshot: pd.DataFrame) -> dict[str, list[int]]:
    """Rows of a snapshot by the image that is read: two broken files may have one mended copy."""
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(snapshot["repaired_sha256"].fillna(snapshot["sha256"])):
        rows.setdefault(digest, []).append(row)
    return rows


def _resized_images(
    settings: Settings, lake: Lake, digests: set[str], side: int
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each letterboxed image (side, side). An image that no shard holds is decoded and kept."""
    for digit in sorted({digest[0] for digest in digests}):
        prefix = f"{derived_key('squares', VERSION, side, suffix='')}/{digit}"
        missing = set(select_partition(digests, digit))
        for key in lake.keys(f"{prefix}/"):
            with np.load(io.BytesIO(lake.get_bytes(key))) as shard:
                for name, image in zip(shard["sha256"].tolist(), shard["squares"], strict=True):
                    if name in missing:
                        missing.discard(name)
                        yield name, image
        fresh = sorted(missing)
        for start in range(0, len(fresh), SHARD):
            part = fresh[start : start + SHARD]
            resized = parallel(
                lambda digest: letterbox(decode(lake.get_image(digest), settings.max_pixels).pixels, side),
                part,
                workers=settings.upload_workers,
                title=f"resized images {digit}: {start + len(part)}/{len(fresh)}",
            )
            buffer = io.BytesIO()
            np.savez(buffer, sha256=np.array(part), squares=np.stack(resized))
            name = hashlib.sha256("".join(part).encode()).hexdigest()[:20]
            lake.put_bytes(f"{prefix}/{name}.npz", buffer.getvalue())
            yield from zip(part, resized, strict=True)


def _allocate(settings: TrainingSettings, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An array in memory, or, where it would be too large, in a file that is gone with it."""
    if np.prod(shape) * np.dtype(dtype).itemsize <= settings.feature_memory:
        return np.empty(shape, dtype)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.state_dir) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
