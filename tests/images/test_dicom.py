"""DICOM files of every kind: the film is what was drawn, and whatever is no film says why."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo
from pydicom import uid
from pydicom.uid import UID

from osteon.images.content import content_of
from osteon.images.decode import decode
from osteon.images.dicom import MOST_INFLATED, read_film, read_header, to_png
from osteon.images.errors import UndecodableError
from osteon.images.tone import Tone, tone_of
from tests.dicoms import CODECS, SECRETS, dicom, header, written
from tests.pictures import film

LIMIT = 10**7
DRAWN = film(3)
STORED = DRAWN.astype(np.uint16) * 16
"""The film in 12 bits."""
LOSSY = {uid.JPEGExtended12Bit: 60, uid.JPEGLSNearLossless: 2, uid.JPEG2000: 90}
"""Stored values of 4,096 by which a pixel may be off."""
LOSSLESS = [syntax for syntax in CODECS if syntax not in LOSSY and syntax != uid.JPEGBaseline8Bit]
NATIVE = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless]


def grey(data: bytes) -> np.ndarray:
    """Grey levels that every later stage sees of what the lake keeps."""
    return decode(to_png(read_film(data, LIMIT)), LIMIT).pixels


def assert_close(found: np.ndarray, wanted: np.ndarray, levels: float = 1.0) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found.astype(float) - wanted).max() <= levels


def reason(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(UndecodableError) as error:
        read_film(data, limit)
    assert not any(secret in str(error.value) for secret in SECRETS)
    return str(error.value)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("negative", [False, True])
def test_stored_values_are_kept_without_loss(syntax: UID, negative: bool) -> None:
    stored, photometric = (4095 - STORED, "MONOCHROME1") if negative else (STORED, "MONOCHROME2")
    kept = Image.open(
        io.BytesIO(to_png(read_film(dicom(stored, syntax, PhotometricInterpretation=photometric), LIMIT)))
    )
    assert kept.mode == "I;16" and np.array_equal(np.asarray(kept), STORED)


@pytest.mark.parametrize("syntax", LOSSY, ids=lambda syntax: syntax.name)
def test_lossy_compression_costs_no_more_than_it_must(syntax: UID) -> None:
    assert_close(read_film(dicom(STORED, syntax), LIMIT).pixels, STORED, LOSSY[syntax])


def test_baseline_jpeg_and_a_deflated_file_are_read() -> None:
    assert_close(grey(dicom(DRAWN, uid.JPEGBaseline8Bit, bits=8)), DRAWN, 12)
    assert np.array_equal(read_film(dicom(STORED, uid.DeflatedExplicitVRLittleEndian), LIMIT).pixels, STORED)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.JPEG2000Lossless])
def test_values_with_a_sign_and_unused_bits_above_them(bits: int, syntax: UID) -> None:
    top = 1 << bits
    unsigned = (DRAWN.astype(np.int64) * (top - 1) // 255).astype(np.int64)
    stored = unsigned - top // 2
    codes = stored.astype(np.int16)
    if syntax != uid.ExplicitVRLittleEndian:  # these streams hold the bits alone
        found = read_film(dicom((codes.view(np.uint16) & (top - 1)), syntax, bits, PixelRepresentation=1), LIMIT)
    else:
        found = read_film(dicom(codes, syntax, bits), LIMIT)
    assert np.array_equal(found.pixels, unsigned)


def test_overlays_in_high_bits_and_bits_below_the_values_are_cut_off() -> None:
    overlay = np.zeros_like(STORED)
    overlay[20:40, 30:90] = 0xF000
    assert np.array_equal(read_film(dicom(STORED | overlay), LIMIT).pixels, STORED)
    shifted = dicom(STORED << 4 | 5, BitsStored=12, HighBit=15)
    assert np.array_equal(read_film(shifted, LIMIT).pixels, STORED)


def test_a_window_is_applied_after_the_modality_lut() -> None:
    slope, intercept, centre, width = 2.0, -1000.0, 2200.0, 3000.0
    rescale: dict[str, Any] = {
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
        "WindowCenter": centre,
        "WindowWidth": width,
    }
    values = STORED * slope + intercept
    linear = ((values - (centre - 0.5)) / (width - 1) + 0.5).clip(0, 1) * 255
    assert_close(grey(dicom(STORED, **rescale)), linear)
    exact = ((values - centre) / width + 0.5).clip(0, 1) * 255
    assert_close(grey(dicom(STORED, VOILUTFunction="LINEAR_EXACT", **rescale)), exact)
    sigmoid = 255 / (1 + np.exp(-4 * (values - centre) / width))
    assert_close(grey(dicom(STORED, VOILUTFunction="SIGMOID", **rescale)), sigmoid, 6)


def test_a_negative_is_turned_after_its_window() -> None:
    tags: dict[str, Any] = {
        "WindowCenter": [1500, 2048],
        "WindowWidth": [2000, 4096],
        "PhotometricInterpretation": "MONOCHROME1",
    }
    wanted = 255 - ((4095 - STORED - 1499.5) / 1999 + 0.5).clip(0, 1) * 255
    assert_close(grey(dicom(4095 - STORED, **tags)), wanted)


def test_a_falling_modality_lut_turns_the_film() -> None:
    kept = read_film(dicom(4095 - STORED, RescaleSlope=-1, RescaleIntercept=4095), LIMIT)
    assert np.array_equal(kept.pixels, STORED)
    window: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    wanted = ((STORED - 2047.5) / 4095 + 0.5).clip(0, 1) * 255
    assert_close(grey(dicom(4095 - STORED, RescaleSlope=-1, RescaleIntercept=4095, **window)), wanted)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_lookup_tables_are_applied(syntax: UID) -> None:
    root = (np.sqrt(np.linspace(0, 1, 4096)) * 65535).round().astype("<u2")
    voi = [{"LUTDescriptor": [4096, 0, 16], "LUTData": root.tobytes()}]
    wanted = np.sqrt(STORED / 4095) * 255
    assert_close(grey(dicom(STORED, syntax, VOILUTSequence=voi)), wanted, 2)
    modality = [{"LUTDescriptor": [4096, 0, 16], "LUTData": root.tobytes(), "ModalityLUTType": "US"}]
    kept = read_film(dicom(STORED, syntax, ModalityLUTSequence=modality), LIMIT)
    assert np.array_equal(kept.pixels, root[STORED])


@pytest.mark.parametrize("limit", [None, 9])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
def test_padding_is_no_film(limit: int | None, window: dict[str, Any]) -> None:
    framed = np.full((STORED.shape[0] + 80, STORED.shape[1] + 80), 7, np.uint16)
    framed[40:-40, 40:-40] = STORED // 2 + 2000
    tags: dict[str, Any] = {"PixelPaddingValue": 7, "PixelPaddingRangeLimit": limit, **window}
    kept = read_film(dicom(framed, **tags), LIMIT)
    assert kept.padding is not None and (kept.pixels == kept.padding).mean() == pytest.approx((framed == 7).mean())
    shown = grey(dicom(framed, **tags))
    inner = shown[40:-40, 40:-40]
    assert not shown[:40].any() and not shown[:, -40:].any()
    if window:
        assert_close(inner, ((STORED // 2 + 2000 - 2047.5) / 4095 + 0.5).clip(0, 1) * 255)
    else:  # the film has all grey levels, as if there were no frame
        assert np.ptp(inner) >= 250 and np.corrcoef(inner.ravel(), STORED.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    "tags",
    [
        {"WindowCenter": 32768, "WindowWidth": 65536},
        {"WindowCenter": 0, "WindowWidth": 0},
        {"WindowCenter": 60000, "WindowWidth": 10},
        {"WindowCenter": 100},
        {"VOILUTSequence": [{"LUTDescriptor": [4096, 0, 16], "LUTData": bytes([5, 0]) * 4096}]},
    ],
    ids=["too wide", "of no width", "elsewhere", "without a width", "flat table"],
)
def test_a_window_that_shows_nothing_is_not_followed(tags: dict[str, Any]) -> None:
    shown = grey(dicom(STORED, **tags))
    assert np.ptp(shown) >= 250 and np.corrcoef(shown.ravel(), STORED.ravel())[0, 1] > 0.999


def test_screenshots_are_kept_in_colour() -> None:
    tinted = np.stack([DRAWN, DRAWN // 2, 255 - DRAWN], axis=-1)
    for syntax in (uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless):
        assert np.array_equal(read_film(dicom(tinted, syntax, bits=8), LIMIT).pixels, tinted), syntax.name
    in_jpeg = dicom(tinted, uid.JPEGBaseline8Bit, bits=8, PhotometricInterpretation="YBR_FULL_422")
    assert np.abs(read_film(in_jpeg, LIMIT).pixels.astype(int) - tinted).mean() < 6
    luma = np.stack([DRAWN, np.full_like(DRAWN, 128), np.full_like(DRAWN, 128)], axis=-1)
    grey_film = read_film(dicom(luma, bits=8, PhotometricInterpretation="YBR_FULL"), LIMIT).pixels
    assert_close(grey_film, np.repeat(DRAWN[..., None], 3, axis=-1))
    assert "16 bits" in reason(dicom(tinted.astype(np.uint16), bits=16))


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG", "NM", "PT", "SEG"])
def test_other_modalities_are_left_out(modality: str) -> None:
    said = reason(dicom(STORED, Modality=modality))
    assert "no plain radiograph" in said and (modality in said or modality == "SEG")


def test_the_sop_class_tells_a_modality_that_is_not_given() -> None:
    assert "CT" in reason(dicom(STORED, Modality=None, SOPClassUID=uid.CTImageStorage))
    assert np.array_equal(read_film(dicom(STORED, Modality=None), LIMIT).pixels, STORED)


def test_what_has_no_pixels_or_several_pictures_says_so() -> None:
    report = header(SOPClassUID=uid.ComprehensiveSRStorage, Modality="SR")
    assert reason(written(report)) == "DICOM without pixels (Comprehensive SR Storage): leave it out by `images`"
    state = header(SOPClassUID=uid.GrayscaleSoftcopyPresentationStateStorage, Modality="PR")
    assert "DICOM without pixels (Grayscale Softcopy Presentation State Storage)" in reason(written(state))
    assert "2 frames" in reason(dicom(np.concatenate([STORED, STORED]), Rows=len(STORED), NumberOfFrames=2))
    assert "OSTEON_MAX_PIXELS" in reason(dicom(STORED), limit=1000)
    assert "32 bits" in reason(dicom(STORED.astype(np.uint32), bits=32))


def test_a_stream_of_another_size_is_not_decoded() -> None:
    for syntax in (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless):
        assert "another size" in reason(dicom(STORED, syntax, Rows=30_000, Columns=300))


def test_a_stream_that_is_cut_off_is_no_film() -> None:
    for syntax in (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.JPEGExtended12Bit):
        dataset = pydicom.dcmread(io.BytesIO(dicom(STORED, syntax)))
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 2]])
        assert "damaged DICOM" in reason(written(dataset)), syntax.name


def test_a_deflated_bomb_is_not_inflated() -> None:
    whole = dicom(STORED[:8, :8], uid.DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(whole[140:144], "little")
    engine = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    chunk = bytes(1 << 24)
    bomb = b"".join(engine.compress(chunk) for _ in range(MOST_INFLATED // len(chunk) + 1)) + engine.flush()
    assert len(bomb) < 4 << 20
    assert "a bomb" in reason(whole[:start] + bomb)


def test_a_header_of_millions_of_elements_is_not_read_to_its_end() -> None:
    empty = b"".join(bytes((0x11, 0, number % 256, number // 256, 0, 0, 0, 0)) for number in range(1 << 16))
    assert "elements" in reason(dicom(STORED)[:132] + empty * 40)
    nested = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff" + empty
    assert "elements" in reason(dicom(STORED)[:132] + nested * 8)
    window = b"\x28\0\x50\x10" + (2 << 20).to_bytes(4, "little") + b"1\\" * (1 << 20)
    plain = dicom(STORED, uid.ImplicitVRLittleEndian)
    at = plain.index(b"\xe0\x7f\x10\0")
    assert np.array_equal(read_film(plain[:at] + window + plain[at:], LIMIT).pixels, STORED)


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_a_file_without_preamble_or_meta_header_is_read(syntax: UID) -> None:
    data = dicom(STORED, syntax)
    start = 144 + int.from_bytes(data[140:144], "little")
    for bare in (data[132:], data[start:]):
        assert content_of(bare[:512]).role == "dicom"
        assert np.array_equal(read_film(bare, LIMIT).pixels, STORED)


def test_a_file_that_is_a_tiff_as_well_counts_as_dicom() -> None:
    data = dicom(STORED)
    assert content_of(b"II*\0\x08\0\0\0" + data[8:512]).role == "dicom"


def test_nothing_of_the_header_is_in_the_png() -> None:
    kept = to_png(read_film(dicom(STORED, WindowCenter=2000, WindowWidth=3000), LIMIT))
    image = Image.open(io.BytesIO(kept))
    assert isinstance(image, PngImageFile)
    texts = image.text
    assert list(texts) == ["Osteon-Tone"] and tone_of(kept) == Tone((500.0, 3499.0), (0.0, 1.0))
    assert not any(secret.encode() in kept for secret in SECRETS)


@pytest.mark.parametrize(
    "text", ["", "[]", "[[1],[0]]", "[[2,1],[0,1]]", "[[0,1],[0,9]]", "[[0,NaN],[0,1]]", "null", "[[0,1],0]"]
)
def test_a_chunk_of_another_form_is_no_curve(text: str) -> None:
    about, buffer = PngInfo(), io.BytesIO()
    about.add_text("Osteon-Tone", text, zip=True)
    Image.fromarray(DRAWN).save(buffer, format="PNG", pnginfo=about)
    assert tone_of(buffer.getvalue()) is None
    assert np.array_equal(decode(buffer.getvalue(), LIMIT).pixels, DRAWN)


def test_decode_reads_a_dicom_file_as_the_lake_would_keep_it() -> None:
    data = dicom(STORED, WindowCenter=2048, WindowWidth=4096)
    assert np.array_equal(decode(data, LIMIT).pixels, grey(data))
    with pytest.raises(UndecodableError, match="CT"):
        decode(dicom(STORED, Modality="CT"), LIMIT)


SMALL = {
    syntax: dicom(STORED[:40, :48].copy(), syntax, WindowCenter=2000, WindowWidth=3000, PixelPaddingValue=3)
    for syntax in (*NATIVE, *LOSSLESS, uid.DeflatedExplicitVRLittleEndian)
}


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SMALL)),
    st.sampled_from(["flip", "cut", "zero", "repeat", "insert"]),
    st.floats(0, 1),
    st.integers(1, 64),
    st.binary(min_size=1, max_size=16),
)
def test_damage_anywhere_gives_a_film_or_a_reason(
    syntax: str, kind: str, where: float, length: int, junk: bytes
) -> None:
    data = bytearray(SMALL[UID(syntax)])
    at = int(where * (len(data) - 1))
    if kind == "flip":
        data[at] ^= junk[0] or 1
    elif kind == "cut":
        del data[at:]
    elif kind == "zero":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "repeat":
        data[at:at] = data[at : at + length]
    else:
        data[at:at] = junk
    told = ""
    try:
        read_header(bytes(data))
        decode(to_png(read_film(bytes(data), LIMIT)), LIMIT)
    except UndecodableError as error:
        told = str(error)
    assert not any(secret in told for secret in SECRETS)
