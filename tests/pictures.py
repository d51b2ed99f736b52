"""Small pictures for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from osteon.features import Recipe
from osteon.images.decode import decode
from osteon.images.radiograph import draw


def radiograph(
    seed: int, part: str = "forearm", fractured: bool = False, size: tuple[int, int] = (120, 140)
) -> np.ndarray:
    return draw(part, fractured, size, np.random.default_rng(seed))


def encode(image: np.ndarray | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def features_of(data: bytes, recipe: Recipe) -> np.ndarray:
    """Features of an image file (rows, columns, planes), without the lake."""
    return recipe.transform(decode(data, 10**7).pixels)
