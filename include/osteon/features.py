"""Features of a snapshot's images: each image is transformed once for a recipe, and kept in shards in the lake."""

from __future__ import annotations

import hashlib
import io
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

VERSION = 1
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
    row = {digest: index for index, digest in enumerate(dict.fromkeys(digests))}
    features = np.empty((len(row), *recipe.shape), np.float16)
    missing = set(digests)
    for key in lake.keys(f"{prefix}/"):
        with np.load(io.BytesIO(lake.get_bytes(key))) as shard:
            names = shard["sha256"]
            wanted = [index for index, name in enumerate(names) if str(name) in missing]
            if wanted:
                values = shard["features"]
                for index in wanted:
                    features[row[str(names[index])]] = values[index]
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
            features[row[digest]] = value
    return features[[row[digest] for digest in digests]]  # two broken files may have one mended copy
