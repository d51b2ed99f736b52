"""Features of a snapshot's images: each image is transformed once for a recipe, and kept in shards in the lake."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.images.decode import decode
from osteon.images.fourier import FourierRecipe
from osteon.images.wavelet import WaveletRecipe
from osteon.lake import Lake, derived_key
from osteon.progress import parallel
from osteon.settings import Settings

VERSION = 2
Recipe = WaveletRecipe | FourierRecipe
SHARD = 512
"""Images in one shard."""


def transform(data: bytes, recipe: Recipe, max_pixels: int) -> NDArray[np.float16]:
    """From an image file's bytes to features (rows, columns, bands); the one path for training and for serving."""
    return recipe.transform(decode(data, max_pixels).pixels)


def load_features(settings: Settings, lake: Lake, snapshot: pd.DataFrame, recipe: Recipe) -> NDArray[np.float16]:
    """Features (n, rows, columns, bands) in the snapshot's order; what no shard holds is transformed and kept.

    A mended image is read from its copy.
    """
    prefix = derived_key("features", VERSION, asdict(recipe), suffix="")
    digests = snapshot["repaired_sha256"].fillna(snapshot["sha256"]).tolist()
    rows: dict[str, list[int]] = {}  # two broken files may have one mended copy
    for row, digest in enumerate(digests):
        rows.setdefault(digest, []).append(row)
    features = _room(settings, (len(digests), *recipe.shape))
    missing = set(digests)
    for key in lake.keys(f"{prefix}/"):
        with np.load(io.BytesIO(lake.get_bytes(key))) as shard:
            names = shard["sha256"]
            wanted = [index for index, name in enumerate(names) if str(name) in missing]
            if wanted:
                values = shard["features"]
                for index in wanted:
                    features[rows[str(names[index])]] = values[index]
                    missing.discard(str(names[index]))
    fresh = sorted(missing)
    for start in range(0, len(fresh), SHARD):
        part = fresh[start : start + SHARD]
        values = parallel(
            lambda digest: transform(lake.get_image(digest), recipe, settings.max_pixels),
            part,
            workers=settings.upload_workers,
            title=f"features {start + len(part)}/{len(fresh)}",
        )
        buffer = io.BytesIO()
        np.savez(buffer, sha256=np.array(part), features=np.stack(values))
        name = hashlib.sha256("".join(part).encode()).hexdigest()[:20]
        lake.put_bytes(f"{prefix}/{name}.npz", buffer.getvalue())
        for digest, value in zip(part, values, strict=True):
            features[rows[digest]] = value
    return features


def _room(settings: Settings, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """An array in memory, or, where it would be too large, in a file that is gone with it."""
    if np.prod(shape) * np.dtype(np.float16).itemsize <= settings.feature_memory:
        return np.empty(shape, np.float16)
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.state_dir) as file:
        return np.memmap(file, np.float16, "w+", shape=shape)
