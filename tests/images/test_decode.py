from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from osteon.curation.repair import repair_image
from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.images.measure import IMAGE, Measured, Request, measure
from tests.pictures import encode, radiograph

LIMIT = 10_000_000


def test_a_whole_image_is_decoded_and_not_called_truncated() -> None:
    pixels = radiograph(1)
    image = decode(encode(pixels, "PNG"), LIMIT)
    assert not image.truncated
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {}), ("PNG", {}), ("JPEG", {"progressive": True})])
def test_a_cut_stream_is_reported_in_one_decode(kind: str, options: dict[str, object]) -> None:
    data = encode(radiograph(2), kind, **options)
    image = decode(data[: int(len(data) * 0.6)], LIMIT)
    assert image.truncated
    if not options:
        assert 0.2 < image.missing.mean() < 0.8


def test_mending_sets_the_missing_rows_to_zero_and_leaves_the_others() -> None:
    data = encode(radiograph(3) // 2 + 100, "JPEG")
    cut = data[: int(len(data) * 0.6)]
    rows = int((~decode(cut, LIMIT).missing[:, 0]).sum())
    mended = decode(repair_image(cut, LIMIT), LIMIT)
    assert not mended.truncated and mended.pixels.shape == (140, 120)
    assert not mended.pixels[rows:].any()
    np.testing.assert_array_equal(mended.pixels[:rows], decode(cut, LIMIT).pixels[:rows])


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.fromarray((np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)), "PNG"),
        (Image.new("CMYK", (64, 64), (0, 0, 0, 128)), "JPEG"),
        (Image.new("RGB", (64, 64), (200, 10, 10)).quantize(4), "PNG"),
        (Image.new("RGBA", (64, 64), (200, 10, 10, 128)), "PNG"),
        (Image.new("1", (64, 64), 1), "PNG"),
        (Image.new("F", (64, 64), 0.5), "TIFF"),
    ],
)
def test_every_mode_becomes_8_bit_grey(image: Image.Image, kind: str) -> None:
    decoded = decode(encode(image, kind), LIMIT)
    assert decoded.pixels.shape == (64, 64) and decoded.pixels.dtype == np.uint8


def test_16_bits_keep_their_order() -> None:
    values = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)
    grey = decode(encode(Image.fromarray(values), "PNG"), LIMIT).pixels
    assert grey[0, 0] == 0 and grey[-1, -1] == 255 and (np.diff(grey.ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image"),
        (b"<html>no</html>", "not an image"),
        (encode(Image.new("L", (400, 400)), "PNG"), "160000|400x400"),
        (
            encode(Image.new("L", (50, 50)), "GIF", save_all=True, append_images=[Image.new("L", (50, 50), 9)]),
            "2 frames",
        ),
    ],
)
def test_what_cannot_be_used_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode(data, 100_000)
    assert measured(data, 100_000).problem


def measured(data: bytes, limit: int = LIMIT) -> Measured:
    return measure(Request("x", (IMAGE,), fingerprint=True), data, limit)


def _with_exif(data: bytes, exif: bytes) -> bytes:
    """A PNG with an eXIf chunk before its first IDAT."""
    chunk = b"eXIf" + exif
    at = data.index(b"IDAT") - 4
    return data[:at] + len(exif).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[at:]


@pytest.mark.parametrize("exif", [b"no TIFF header", b"II*\0", b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_says_nothing_of_pixels_that_are_whole(exif: bytes) -> None:
    pixels = radiograph(1)
    image = decode(_with_exif(encode(pixels, "PNG"), exif), LIMIT)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert not image.truncated


def test_whatever_pillow_raises_over_odd_or_damaged_bytes_is_a_reason() -> None:
    odd = encode(Image.new("LAB", (40, 40)), "TIFF")
    assert "LAB" in str(measured(odd).problem)
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)) for _ in range(2)]
    files = [encode(pages[0], kind) for kind in ("PNG", "TIFF", "GIF", "WEBP", "BMP", "JPEG")]
    files += [
        encode(pages[0], "TIFF", compression="tiff_lzw"),
        encode(pages[0], "GIF", save_all=True, append_images=pages[1:]),
    ]
    for data in files:
        for at in range(0, len(data), max(1, len(data) // 40)):
            for byte in (b"\0", b"\xff"):
                found = measured(data[:at] + byte + data[at + 1 :])
                assert found.problem or found.values["image"]["width"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_a_stream_lacks_is_known_however_the_image_is_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    whole = encode(radiograph(2, size=(400, 300)) // 2 + 100, "JPEG", exif=exif)
    upright = decode(whole, LIMIT)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(whole)))
    np.testing.assert_array_equal(upright.pixels, np.asarray(expected))
    assert not upright.missing.any() and upright.missing.shape == upright.pixels.shape
    cut = whole[: len(whole) // 5]
    found = decode(cut, LIMIT)
    np.testing.assert_array_equal(found.missing, found.pixels == 0)
    assert found.truncated and 0.6 < found.missing.mean() < 0.95
    assert measured(cut).values["image"]["decoded_fraction"] == pytest.approx(1 - found.missing.mean())


def test_a_20000_x_20000_image_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(UndecodableError, match="20000x20000"):
        decode(encode(Image.new("1", (20_000, 20_000)), "PNG"), 100_000_000)


def test_blank_area_counts_flat_rows_and_columns() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (100, 100), dtype=np.uint8)
    pixels[75:] = 0
    assert measured(encode(pixels, "PNG")).values["image"]["blank_fraction"] == pytest.approx(0.25)
