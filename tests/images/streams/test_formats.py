"""What each format can tell of its stream, on films whose pixels are known."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from osteon.curation.repair import HOPELESS, repair_image
from osteon.images.decode import Decoded, decode
from osteon.images.errors import UndecodableError
from osteon.images.streams.base import BROKEN, CUT
from tests.images.streams.files import FORMATS, chunk, drawn, interlaced, packed

LIMIT = 10**7


def found(data: bytes) -> Decoded:
    return decode(data, LIMIT)


def jpeg(seed: int, **options: object) -> bytes:
    return packed(drawn(seed), "JPEG", **{"quality": 85, **options})


def same(data: bytes, whole: bytes) -> bool:
    return bool((found(data).pixels == found(whole).pixels).all())


def reason(data: bytes) -> str:
    with pytest.raises(UndecodableError) as caught:
        found(data)
    return str(caught.value)


def test_zeros_within_a_jpeg_are_named_with_place_and_share() -> None:
    whole = jpeg(1)
    at = len(whole) // 2
    image = found(whole[:at] + bytes(512) + whole[at + 512 :])
    assert image.damage.startswith(BROKEN) and "of the area is lost from row" in image.damage
    first = int(image.damage.split("row ")[1].split()[0])
    assert image.missing[first:].mean() > 0.9 and not image.missing[:first].any()
    assert (image.pixels[:first] == found(whole).pixels[:first]).all()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.86])
def test_a_cut_jpeg_with_an_end_marker_lacks_what_it_lacks(share: float) -> None:
    whole = jpeg(2)
    cut = whole[: int(len(whole) * share)] + b"\xff\xd9"
    image = found(cut)
    assert image.damage.startswith(CUT)
    kept = ~image.missing
    assert 0.1 < kept.mean() < 0.95 and not image.pixels[image.missing].any()
    assert (np.abs(image.pixels[kept].astype(int) - found(whole).pixels[kept]) > 16).mean() < 0.02
    mended = found(repair_image(cut, LIMIT))
    assert not mended.damage and not mended.pixels[image.missing].any()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_whole(options: dict[str, object]) -> None:
    whole = jpeg(3, **options)
    image = found(whole[:-2])
    assert not image.damage and image.remarks == ("the end marker is missing",)
    assert same(whole[:-2], whole)


def test_damage_between_restart_markers_costs_one_interval() -> None:
    whole = jpeg(4, restart_marker_rows=4)
    at = len(whole) // 2
    image = found(whole[:at] + bytes(40) + whole[at + 40 :])
    assert image.damage.startswith(BROKEN) and 0 < image.missing.mean() < 4 * 8 / 400 + 0.01
    assert (np.abs(image.pixels.astype(int) - found(whole).pixels)[~image.missing] > 16).mean() < 0.01


def test_a_lost_restart_interval_is_missing_and_the_others_stay_in_place() -> None:
    whole = jpeg(4, restart_marker_rows=4)
    first, second = whole.index(b"\xff\xd3"), whole.index(b"\xff\xd4")
    image = found(whole[:first] + whole[second:])
    assert np.flatnonzero(image.missing.any(axis=1)).tolist() == list(range(4 * 32, 5 * 32))
    right = found(whole).pixels
    assert (image.pixels[~image.missing] == right[~image.missing]).all()


def test_a_progressive_jpeg_loses_detail_and_no_rows() -> None:
    whole = jpeg(5, progressive=True)
    image = found(whole[: len(whole) // 2])
    assert image.truncated and image.damage.startswith(CUT) and "scans are whole" in image.damage
    assert not image.missing.any()
    assert np.abs(image.pixels.astype(int) - found(whole).pixels).mean() < 6


def test_a_damaged_scan_is_left_out_with_those_behind_it() -> None:
    whole = jpeg(6, progressive=True)
    at = len(whole) // 3
    image = found(whole[:at] + bytes(200) + whole[at + 200 :])
    assert image.damage.startswith(BROKEN) and "detail is lost" in image.damage
    assert np.abs(image.pixels.astype(int) - found(whole).pixels).mean() < 6


def test_an_interlaced_png_that_is_cut_has_little_of_its_area() -> None:
    whole = interlaced(drawn(7))
    image = found(whole[: len(whole) * 3 // 100])
    assert 1 - image.missing.mean() < HOPELESS and image.damage.startswith(CUT)
    assert (found(whole).pixels == drawn(7)).all()
    half = found(whole[: len(whole) // 2])
    assert (half.pixels[~half.missing] == drawn(7)[~half.missing]).all() and 0.2 < half.missing.mean() < 0.8


def test_a_bmp_is_stored_from_the_bottom_up() -> None:
    film = drawn(8)
    whole = packed(film, "BMP")
    image = found(whole[: len(whole) * 6 // 10])
    rows = int(image.missing.any(axis=1).sum())
    assert image.missing[:rows].all() and not image.missing[rows:].any() and 150 < rows < 170
    assert (image.pixels[rows:] == film[rows:]).all()


def test_wrong_checksums_count_where_they_concern_pixels() -> None:
    film = drawn(9)
    whole = packed(film, "PNG")
    text = whole[:33] + chunk(b"tEXt", b"Comment\0hi", b"\0\0\0\0") + whole[33:]
    assert not found(text).damage and (found(text).pixels == film).all()
    assert found(text).remarks == ("the checksum of its tEXt is wrong, which holds no pixels",)
    long = whole[:33] + chunk(b"zTXt", b"XMP\0\0" + zlib.compress(b"a" * (2 << 20))) + whole[33:]
    assert (found(long).pixels == film).all()
    data = packed(film, "PNG", compress_level=0)
    at = len(data) // 2
    spoilt = found(data[:at] + bytes(100) + data[at + 100 :])
    assert spoilt.damage.startswith(BROKEN) and spoilt.missing.mean() > 0.3
    assert (spoilt.pixels[~spoilt.missing] == film[~spoilt.missing]).all()
    assert "header" in reason(whole[:20] + b"\1" + whole[21:])
    assert (found(whole[:-12]).pixels == film).all() and found(whole[:-12]).remarks == ("its end is missing",)


@pytest.mark.parametrize("name", ["TIFF raw", "TIFF LZW", "TIFF Deflate"])
def test_the_strips_of_a_tiff_before_the_cut_are_kept(name: str) -> None:
    film = drawn(10, (300, 400))
    buffer = io.BytesIO()
    options = {"TIFF raw": None, "TIFF LZW": "tiff_lzw", "TIFF Deflate": "tiff_adobe_deflate"}
    Image.fromarray(film).save(buffer, "TIFF", compression=options[name], tiffinfo={278: 20})
    data = bytearray(buffer.getvalue())
    assert (found(bytes(data)).pixels == film).all()
    with TiffImageFile(io.BytesIO(data)) as image:
        offsets, sizes = image.tag_v2[273], image.tag_v2[279]
    assert len(offsets) > 3
    data[offsets[1] : offsets[1] + sizes[1]] = b"\xff" * sizes[1]
    damaged = found(bytes(data))
    if name != "TIFF raw":
        assert damaged.damage.startswith(BROKEN) and 0.02 < damaged.missing.mean() < 0.3
        assert (damaged.pixels[~damaged.missing] == film[~damaged.missing]).all()


def test_a_cut_gif_lacks_the_rows_that_its_codes_do_not_give() -> None:
    film = drawn(11)
    whole = packed(film, "GIF")
    image = found(whole[: len(whole) // 2])
    assert image.damage.startswith(CUT) and 0.3 < image.missing.mean() < 0.7
    right = found(whole).pixels
    assert (image.pixels[~image.missing] == right[~image.missing]).all()


def test_lengths_tell_what_is_cut_where_there_is_no_checksum() -> None:
    for name, words in (("WebP", "bytes are there"), ("JPEG 2000", CUT)):
        whole = FORMATS[name](drawn(12))
        assert words in reason(whole[: len(whole) * 7 // 10])


def test_previews_are_passed_over_and_two_full_pictures_are_refused() -> None:
    film = drawn(13)
    for kind in ("MPO", "TIFF"):
        small = Image.fromarray(drawn(13, (60, 80)))
        data = packed(film, kind, save_all=True, append_images=[small])
        assert found(data).pixels.shape == film.shape and found(data).remarks == ("1 further pictures are previews",)
        assert "2 frames" in reason(packed(film, kind, save_all=True, append_images=[Image.fromarray(drawn(14))]))


def test_what_touches_no_pixel_is_a_remark() -> None:
    whole = jpeg(15)
    assert same(b"\r\n" + whole, whole) and found(b"\r\n" + whole).remarks == ("it begins with a line break",)
    assert same(whole + b"x" * 500, whole) and not found(whole + b"x" * 500).damage


def test_reasons_name_the_format_and_the_remedy() -> None:
    raw = jpeg(16)
    at = raw.index(b"\xff\xc0")
    twelve = raw[: at + 1] + b"\xc1" + raw[at + 2 : at + 4] + b"\x0c" + raw[at + 5 :]
    assert "12-bit JPEG" in reason(twelve) and "PNG" in reason(twelve)
    for marker, name in ((b"\xc3", "lossless JPEG"), (b"\xc9", "arithmetic-coded JPEG"), (b"\xf7", "JPEG-LS")):
        assert name in reason(raw[: at + 1] + marker + raw[at + 2 :])
    assert "DICOM" in reason(bytes(128) + b"DICM" + bytes(100))
    assert "HTML" in reason(b"<!DOCTYPE html><html><body>404</body></html>")
    assert "HEIC" in reason(b"\0\0\0\x18ftypheic" + bytes(100))
    clear = Image.merge("LA", [Image.fromarray(drawn(16)), Image.new("L", (320, 400), 0)])
    assert "transparent" in reason(packed(clear, "PNG"))


def test_postscript_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **options: started.append(words))
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n(x) =\nshowpage\n%%EOF\n"
    assert "PostScript" in reason(data) and "PNG" in reason(data) and started == []


def test_the_size_is_looked_at_before_anything_is_decoded() -> None:
    large = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", large) + chunk(b"tEXt", b"a\0b", b"\0\0\0\0") + chunk(b"IDAT", b"x")
    bmp = b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0) + bytes(100)
    for data in (png, bmp, b"P5 50000 50000 255\n" + bytes(100)):
        assert "50000x50000" in reason(data)
