"""From stored values to grey: the film is visible, whatever else the file holds."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.images.grey import film_range, stretch
from tests.pictures import encode, radiograph

LIMIT = 10_000_000
LEVELS = 200
"""Grey levels of a film that are kept at least."""


def film(seed: int = 1) -> NDArray[np.uint8]:
    """(280, 240), with noise, so that it has most of 256 levels."""
    small = radiograph(seed).astype(np.float64)
    large = np.kron(small, np.ones((2, 2))) + np.random.default_rng(seed).normal(0, 3, (280, 240))
    low, high = np.quantile(large, (0.002, 0.998))
    return np.asarray(10 + (large - low) / (high - low) * 235).clip(10, 245).astype(np.uint8)


def assert_shows(grey: NDArray[np.uint8], drawn: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> None:
    """The picture is the film that was drawn, with as many of its levels."""
    where = np.ones(drawn.shape, bool) if where is None else where
    seen, wanted = grey[where].astype(float), drawn[where].astype(float)
    assert np.corrcoef(seen, wanted)[0, 1] > 0.99
    assert len(np.unique(seen)) >= 0.9 * min(LEVELS, len(np.unique(wanted)))


def sixteen_bits(values: NDArray[np.number]) -> bytes:
    return encode(Image.fromarray(values.astype(np.uint16)), "PNG")


def png_of_channels(values: NDArray[np.uint16], colour: int) -> bytes:
    """A PNG of 16 bits a sample; colour 2 is RGB, 4 grey with alpha, 6 RGBA."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(values: NDArray[np.number], photometric: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF", tiffinfo={262: photometric})
    return buffer.getvalue()


def test_8_bits_are_taken_as_they_are() -> None:
    drawn = film() // 3 + 40
    np.testing.assert_array_equal(decode(encode(drawn, "PNG"), LIMIT).pixels, drawn)


@pytest.mark.parametrize("value", [65535, 30000, 9000])
def test_a_marker_does_not_decide_how_a_film_is_shown(value: int) -> None:
    drawn, where = film(2), np.ones((280, 240), bool)
    where[8:30, 12:60] = False
    assert_shows(decode(sixteen_bits(np.where(where, drawn * 16.0, value)), LIMIT).pixels, drawn, where)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_hot_pixels_do_not_decide_how_a_film_is_shown(count: int) -> None:
    drawn, rng = film(3), np.random.default_rng(count)
    values = drawn.ravel() * 16.0
    values[rng.integers(0, values.size, count)] = rng.uniform(20_000, 65_535, count)
    assert_shows(decode(sixteen_bits(values.reshape(drawn.shape)), LIMIT).pixels, drawn)


@pytest.mark.parametrize(("offset", "padding"), [(20_000, 0), (1000, 0), (0, 65_535), (30_000, 60_000)])
@pytest.mark.parametrize("width", [2, 20, 60])
@pytest.mark.parametrize("noise", [0, 4])
def test_padding_does_not_decide_how_a_film_is_shown(offset: int, padding: int, width: int, noise: int) -> None:
    drawn, where = film(4), np.zeros((280, 240), bool)
    where[width:-width, width:-width] = True
    frame = padding + np.random.default_rng(0).normal(0, noise, drawn.shape).clip(-padding, 65_535 - padding)
    grey = decode(sixteen_bits(np.where(where, offset + drawn * 12.0, frame)), LIMIT).pixels
    assert_shows(grey, drawn, where)
    assert np.all((grey[~where] > 127) == (padding > offset)), "padding stays on its side of the film"


def test_padding_and_a_marker_together() -> None:
    drawn, where = film(5), np.zeros((280, 240), bool)
    where[20:-20, 20:-20] = True
    where[30:40, 30:60] = False
    values = 20_000 + drawn * 12.0
    values[~where] = 0
    values[30:40, 30:60] = 65_535
    assert_shows(decode(sixteen_bits(values), LIMIT).pixels, drawn, where)


def test_values_that_are_no_numbers_are_black_and_do_not_count() -> None:
    drawn = film(6)
    values = drawn.astype(np.float32) / 255
    values[3, 4], values[5, 6], values[7, 8], values[9, 9] = np.nan, np.inf, -np.inf, 1e30
    grey = decode(tiff(values, 1), LIMIT).pixels
    assert_shows(grey, drawn)
    assert (grey[3, 4], grey[5, 6], grey[7, 8], grey[9, 9]) == (0, 255, 0, 255)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])  # Pillow itself follows the tag of 8-bit images
def test_the_photometric_tag_is_followed(kind: type[np.number]) -> None:
    drawn = film(7)
    white_is_zero = (255 - drawn).astype(kind)
    assert_shows(decode(tiff(white_is_zero, 0), LIMIT).pixels, drawn)
    assert_shows(decode(tiff(drawn.astype(kind), 1), LIMIT).pixels, drawn)


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_12_bits_in_each_of_several_channels_keep_their_levels(colour: int) -> None:
    drawn = film(8)
    values = drawn.astype(np.uint16) * 16
    opaque = np.full_like(values, 65_535)
    planes = {2: [values] * 3, 4: [values, opaque], 6: [values, values, values, opaque]}[colour]
    assert_shows(decode(png_of_channels(np.stack(planes, -1), colour), LIMIT).pixels, drawn)


@pytest.mark.parametrize("opacity", [0, 2])
def test_a_transparent_image_is_called_transparent(opacity: int) -> None:
    drawn = Image.fromarray(film(9))
    alpha = Image.new("L", drawn.size, opacity)
    with pytest.raises(UndecodableError, match="transparent"):
        decode(encode(Image.merge("LA", [drawn, alpha]), "PNG"), LIMIT)


def test_opacity_that_is_the_same_everywhere_says_nothing() -> None:
    drawn = film(10)
    image = Image.merge("LA", [Image.fromarray(drawn), Image.new("L", (240, 280), 128)])
    np.testing.assert_array_equal(decode(encode(image, "PNG"), LIMIT).pixels, drawn)


def test_what_is_transparent_in_part_is_black_there() -> None:
    drawn = film(11)
    alpha = np.zeros((280, 240), np.uint8)
    alpha[40:-40, 40:-40] = 255
    grey = decode(encode(Image.merge("LA", [Image.fromarray(drawn), Image.fromarray(alpha)]), "PNG"), LIMIT).pixels
    np.testing.assert_array_equal(grey, np.where(alpha > 0, drawn, 0))


def test_a_window_is_followed() -> None:
    grey = stretch(np.array([[0.0, 100, 150.2, 200, 300]]), window=(100, 200))
    assert grey.tolist() == [[0, 0, 128, 255, 255]]


@given(
    st.lists(st.floats(width=32), min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
@settings(max_examples=200, deadline=None)
def test_any_values_become_grey_in_their_order(values: list[float], valid: list[bool]) -> None:
    stored, there = np.array([values], np.float64), np.array([valid[: len(values)]])
    grey = stretch(stored, there)
    assert grey.dtype == np.uint8 and not grey[~there].any()
    numbers = there & ~np.isnan(stored)
    order = np.argsort(stored[numbers])
    assert np.all(np.diff(grey[numbers][order].astype(int)) >= 0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_films_range_lies_in_its_values(values: list[float]) -> None:
    low, high = film_range(np.array(values))
    assert min(values) <= low <= high <= max(values)
