"""Small pictures for tests."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from osteon.features import Recipe
from osteon.images.decode import decode
from osteon.images.radiograph import draw


def radiograph(
    seed: int, part: str = "forearm", fractured: bool = False, size: tuple[int, int] = (120, 140)
) -> np.ndarray:
    return draw(part, fractured, size, np.random.default_rng(seed))


def film(seed: int, size: tuple[int, int] = (240, 280)) -> np.ndarray:
    """A radiograph with a texture of its own, so that no two films of one part are taken for copies."""
    chance, texture = np.random.default_rng(seed), np.zeros(size[::-1], np.float32)
    for cells, weight in ((6, 18), (16, 13), (40, 7)):
        noise = chance.normal(size=(cells, cells)).astype(np.float32)
        texture += weight * cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(radiograph(seed, size=size) + texture, 0, 255).astype(np.uint8)


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


def features_of(data: bytes, recipe: Recipe) -> np.ndarray:
    """Features of an image file (rows, columns, planes), without the lake."""
    return recipe.transform(decode(data, 10**7).pixels)
