"""What the checks measure on the pixels of one image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from osteon.images.decode import decode
from osteon.images.families import registered
from osteon.sources.phantom import PARTS
from tests.pictures import encode, radiograph


@dataclass(frozen=True)
class Found:
    dark_band: float
    bright_band: float
    band_where: str
    contrast: float
    bright_bones: float
    gutter: float
    oval: float
    text: int
    colour: float


def examine(image: Image.Image) -> Found:
    """What the checks' own measurements say of an image."""
    decoded = decode(encode(image, "PNG"), 10**7)
    values: dict[str, Any] = {name: value for family in registered() for name, value in family.measure(decoded).items()}
    return Found(**{field.name: values[field.name] for field in fields(Found)})


def grey(pixels: np.ndarray) -> Found:
    return examine(Image.fromarray(pixels))


@pytest.mark.parametrize(("edge", "turns"), [("bottom", 0), ("right", 1), ("top", 2), ("left", 3)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_band_is_found_at_its_edge(edge: str, turns: int, level: int) -> None:
    pixels = radiograph(1, size=(300, 400)).copy()
    pixels[300:] = level
    found = examine(decode(encode(np.rot90(pixels, turns)), 10**7).grey)
    assert (found.dark_band if level == 0 else found.bright_band) == pytest.approx(0.25, abs=0.03)
    assert found.band_where == f"{edge}, grey level {level}"


@pytest.mark.parametrize("part", list(PARTS))
def test_ordinary_radiographs_trip_nothing(part: str) -> None:
    for seed in range(4):
        found = examine(decode(encode(radiograph(seed, part, size=(180, 220))), 10**7).grey)
        assert found.dark_band <= 0.25 and found.bright_band <= 0.15, found
        assert found.bright_bones > 1 and found.contrast >= 40 and found.gutter <= 0.03, found
        assert found.oval <= 0.93 and found.text <= 2, found


def test_a_bar_between_two_exposures_is_a_gutter_and_one_at_the_edge_is_not() -> None:
    film, bar = radiograph(3, "knee", size=(180, 220)), np.zeros((220, 30), np.uint8)
    assert grey(np.hstack([film, bar, film])).gutter >= 30 / 390 - 0.01
    assert grey(np.hstack([film, bar])).gutter <= 0.03


def test_colour_is_measured_and_grey_stored_as_colour_is_none() -> None:
    grey = Image.fromarray(radiograph(4))
    assert decode(encode(grey.convert("RGB")), 10**7).colour < 1
    tinted = Image.fromarray((np.asarray(grey)[..., None] * (1.0, 0.7, 0.4)).astype(np.uint8))
    assert decode(encode(tinted), 10**7).colour > 12


@pytest.mark.parametrize("size", [(180, 220), (640, 900), (1500, 2000)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_line_of_text_is_counted_and_a_single_side_marker_is_none(size: tuple[int, int], mirrored: bool) -> None:
    film = Image.fromarray(radiograph(3, "spine", size=size) // 2)
    height = 16 * -(-max(size) // 800)
    font, draw = ImageFont.load_default(height), ImageDraw.Draw(film)
    draw.text((5, 5), "L", fill=255, font=font)
    assert examine(film).text <= 2
    draw.text((5, 5 + 2 * height), "ERECT", fill=255, font=font)
    film = film.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else film
    assert examine(decode(encode(film), 10**7).grey).text > 2


def test_an_oval_in_air_is_a_cross_section_and_one_that_leaves_the_film_is_none() -> None:
    film = Image.new("L", (200, 240), 5)
    ImageDraw.Draw(film).ellipse((30, 60, 170, 180), fill=90)
    assert examine(film).oval > 0.95
    assert examine(film.crop((60, 0, 200, 240))).oval == 0
    ImageDraw.Draw(film).rectangle((30, 60, 170, 180), fill=90)
    assert examine(film).oval < 0.93


def test_tiny_and_flat_images_can_be_examined() -> None:
    for size in ((1, 1), (2, 3), (1, 700)):
        found = grey(np.full(size, 9, np.uint8))
        assert found.dark_band == 1 and found.contrast == 0
