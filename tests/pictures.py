"""Small pictures for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

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
