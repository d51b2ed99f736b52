"""Small pictures for tests."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from osteon.features import ImageTransform
from osteon.images.decode import decode
from osteon.sources.phantom import PARTS, draw


def radiograph(
    seed: int, part: str = "forearm", fractured: bool = False, size: tuple[int, int] = (120, 140)
) -> np.ndarray:
    return draw(part, fractured, size, np.random.default_rng(seed))


def film(seed: int, part: str | None = None, longer: int = 360) -> np.ndarray:
    """A radiograph with structure on every scale, as real films have: what local features hold on to.

    Of a part that the seed chooses, unless it is given.
    """
    rng = np.random.default_rng(seed)
    part = part or sorted(PARTS)[seed % len(PARTS)]
    width, height = longer, int(longer * rng.uniform(0.75, 0.95))
    size = (width, height) if rng.random() < 0.3 else (height, width)
    plain = draw(part, False, size, rng).astype(np.float32)
    texture = np.zeros_like(plain)
    for cell in (3, 6, 12, 24, 48):
        grains = rng.normal(0, 1, (plain.shape[0] // cell + 2, plain.shape[1] // cell + 2)).astype(np.float32)
        texture += cv2.resize(grains, plain.shape[::-1], interpolation=cv2.INTER_CUBIC) * cell**0.4
    body = cv2.GaussianBlur(plain, (0, 0), 2)
    return np.clip(body + texture * (2 + body / 25), 0, 255).astype(np.uint8)


def rotated(picture: np.ndarray, degrees: float) -> np.ndarray:
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height)))


def cropped(picture: np.ndarray, share: float) -> np.ndarray:
    """Without `share` of either side, half of it at each end."""
    top, left = (round(length * share / 2) for length in picture.shape)
    return np.ascontiguousarray(picture[top : picture.shape[0] - top, left : picture.shape[1] - left])


def equalised(picture: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.createCLAHE(3, (8, 8)).apply(picture))


def encode(image: np.ndarray | Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def features_of(data: bytes, transform: ImageTransform) -> np.ndarray:
    """Features of an image file (rows, columns, planes), without the lake."""
    return transform.apply(decode(data, 10**7).pixels)
