from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from osteon.images.decode import decode
from osteon.images.radiograph import PARTS
from osteon.images.sanity import examine
from tests.pictures import encode, radiograph


@pytest.mark.parametrize(("edge", "turns"), [("bottom", 0), ("right", 1), ("top", 2), ("left", 3)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_band_is_found_at_its_edge(edge: str, turns: int, level: int) -> None:
    pixels = radiograph(1, size=(300, 400)).copy()
    pixels[300:] = level
    found = examine(decode(encode(np.rot90(pixels, turns)), 10**7).pixels)
    assert (found.dark_band if level == 0 else found.bright_band) == pytest.approx(0.25, abs=0.03)
    assert found.band_where == f"{edge}, grey level {level}"


@pytest.mark.parametrize("part", list(PARTS))
def test_ordinary_radiographs_trip_nothing(part: str) -> None:
    for seed in range(4):
        found = examine(decode(encode(radiograph(seed, part, size=(180, 220))), 10**7).pixels)
        assert found.dark_band <= 0.25 and found.bright_band <= 0.15, found
        assert found.contrast >= 40 and found.gutter <= 0.03, found


@pytest.mark.parametrize("part", ["hand", "wrist", "forearm", "elbow", "humerus", "leg"])  # others hold little air
def test_a_negative_is_bright(part: str) -> None:
    pixels = radiograph(2, part, size=(180, 220))
    assert examine(255 - pixels).median > 165 > examine(pixels).median


def test_a_bar_between_two_exposures_is_a_gutter_and_one_at_the_edge_is_not() -> None:
    film, bar = radiograph(3, "knee", size=(180, 220)), np.zeros((220, 30), np.uint8)
    assert examine(np.hstack([film, bar, film])).gutter >= 30 / 390 - 0.01
    assert examine(np.hstack([film, bar])).gutter <= 0.03


def test_colour_is_measured_and_grey_stored_as_colour_is_none() -> None:
    grey = Image.fromarray(radiograph(4))
    assert decode(encode(grey.convert("RGB")), 10**7).colour < 1
    tinted = Image.fromarray((np.asarray(grey)[..., None] * (1.0, 0.7, 0.4)).astype(np.uint8))
    assert decode(encode(tinted), 10**7).colour > 12


def test_tiny_and_flat_images_can_be_examined() -> None:
    for size in ((1, 1), (2, 3), (1, 700)):
        found = examine(np.full(size, 9, np.uint8))
        assert found.dark_band == 1 and found.contrast == 0
