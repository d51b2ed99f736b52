"""Radiographs and their negatives are told apart by shapes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from osteon.images.polarity import brightness_of_bones
from osteon.sources.phantom import PARTS
from tests.pictures import radiograph

LEAST = -1
"""The check's default."""


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_negative_is_told_from_a_radiograph(part: str) -> None:
    for seed in range(4):
        film = radiograph(seed, part, seed % 2 == 0, (200, 180))
        equalised = cv2.createCLAHE(4, (8, 8)).apply(film)
        turned = cv2.rotate(film, cv2.ROTATE_90_CLOCKWISE)
        for picture in map(np.asarray, (film, equalised, turned, film[::2, ::2])):
            assert brightness_of_bones(picture) > -LEAST
            assert brightness_of_bones(255 - picture) < LEAST


def test_a_negative_has_the_other_sign() -> None:
    for seed in range(5):
        film = radiograph(seed)
        assert brightness_of_bones(film) == pytest.approx(-brightness_of_bones(255 - film), abs=1e-4)


@pytest.mark.parametrize("padding", [0, 255])
def test_padding_does_not_count(padding: int) -> None:
    film = radiograph(7, size=(200, 180))
    padded = cv2.copyMakeBorder(film, 30, 60, 0, 90, cv2.BORDER_CONSTANT, value=(padding,))
    assert brightness_of_bones(np.asarray(padded, np.uint8)) == pytest.approx(brightness_of_bones(film), abs=0.3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (50, 50)])
def test_a_picture_without_anything_says_nothing(shape: tuple[int, int]) -> None:
    assert brightness_of_bones(np.full(shape, 90, np.uint8)) == pytest.approx(0, abs=1e-4)
