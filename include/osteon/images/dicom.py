"""DICOM files: their header, and their film with nothing lost, in the form in which the lake keeps it.

The film becomes a PNG. A grey film keeps its stored values: those that the modality LUT gives, or the file itself
without one, moved so that the least possible value is 0. MONOCHROME1 films, whose bones are dark, are turned into
negatives, so brighter is always a larger value. A padding value becomes the transparent one (`tRNS`). VOI LUT or
window become a curve from stored values to brightness (`osteon.images.tone`).

No message holds a value of the header, other than codes of the standard: a header names a person.
"""

from __future__ import annotations

import io
import logging
import warnings
import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import config as pydicom_config
from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.pixels.utils import pixel_array

from osteon.images.decode import DETAILED, decode, over_limit
from osteon.images.errors import UndecodableError
from osteon.images.tone import CHUNK, MOST_POINTS, Tone
from osteon.images.writing import FEWEST, lines

# pydicom tells of odd values by showing them, and those may name a person
pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
logging.getLogger("pydicom").disabled = True
warnings.filterwarnings("ignore", module=r"pydicom\.|osteon\.images\.dicom")

FILMS = frozenset({"", "CR", "DX", "DR", "RG", "RF", "XA", "PX", "IO", "OT", "SC", "XR"})
"""Modalities (PS3.3, C.7.3.1.1.1) that may be plain radiographs of bones, and what vendors write instead."""
OTHERS = {
    "CT": "computed tomography",
    "MR": "magnetic resonance",
    "US": "ultrasound",
    "MG": "mammography",
    "NM": "nuclear medicine",
    "PT": "positron emission",
    "ES": "endoscopy",
    "XC": "photography",
    "BMD": "densitometry",
}
"""Modalities that are met in studies of bones, and are no plain radiographs."""
OF_CLASS = {
    uid.CTImageStorage: "CT",
    uid.EnhancedCTImageStorage: "CT",
    uid.MRImageStorage: "MR",
    uid.EnhancedMRImageStorage: "MR",
    uid.UltrasoundImageStorage: "US",
    uid.UltrasoundMultiFrameImageStorage: "US",
}
"""The modality of a file that gives none, by its SOP class."""
LEAST_SHOWN = 0.25
"""Share of all brightness that a window or a VOI LUT has to give to the film's own range. With less it is no help, as
one of width 65535 is none for a film of 12 bits; then the file counts as one without."""
PASSES = 3
"""A film is looked at so often for text to blank: what was blanked may have hidden what lies beside it."""
MOST_INFLATED = 1 << 28
"""Bytes that a deflated file may inflate to."""
MOST_READS = 40_000
"""Steps in which a header is read. A header of many small elements would take minutes, and much memory."""
MOST_VALUE = 1 << 20
"""Bytes of an element's value. A larger one is passed over, except the pixels."""
PIXELS = 0x7FE00010
"""Tag of the pixels."""
HEAD = 4096
"""Bytes of a stream in which its main header and its markers of colour stand."""
CODECS: dict[int, Literal["lossless JPEG", "JPEG-LS"]] = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}
"""By the marker of the frame header; all others are `JPEG`."""
PNG_LEVEL = 6
"""Of zlib. A film's digest is of its PNG, so it must not change."""
Samples = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class DicomFilm:
    """The film of a DICOM file."""

    pixels: Samples
    """(height, width) stored values, brighter is larger; or (height, width, 3) of a screenshot in colour."""
    tone: Tone | None
    """VOI LUT or window, where the file gives one that shows the film."""
    padding: int | None
    """The stored value that means that there is no film."""


def read_header(data: bytes) -> Dataset:
    """All of a DICOM file but its pixels. A file without preamble or meta header is read as far as it says enough.

    Raises:
        UndecodableError: The header is damaged. The message holds nothing of it.
    """
    return _read(data, stop_before_pixels=True)


def read_film(data: bytes, max_pixels: int) -> DicomFilm:
    """The film of a DICOM file.

    Args:
        data: The file.
        max_pixels: Width times height from which on nothing is decoded.

    Raises:
        UndecodableError: No plain radiograph, no pixels, several frames, too large, or damaged. The message is the
            reason that the manifest records.
    """
    try:
        header = _read(data)
        _refuse(header, max_pixels)
        if int(header.get("SamplesPerPixel") or 1) > 1 or _photometric(header) == "PALETTE COLOR":
            return DicomFilm(_colour(header), None, None)
        return _grey(header)
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:  # over damaged files, pydicom and the decoders raise whatever comes
        raise _damaged(error) from None


def to_png(film: DicomFilm) -> bytes:
    """The film as a PNG that all later stages read: without loss, and with nothing of the header."""
    about = PngInfo()
    if film.tone:
        about.add_text(CHUNK, film.tone.text, zip=True)
    buffer = io.BytesIO()
    options = {} if film.padding is None else {"transparency": film.padding}
    Image.fromarray(film.pixels).save(buffer, format="PNG", pnginfo=about, compress_level=PNG_LEVEL, **options)
    return buffer.getvalue()


def without_text(film: DicomFilm, max_pixels: int) -> DicomFilm:
    """The film with its lines of burnt-in text blanked; the film itself where no line is found.

    They are blanked until none is found, or for the last time after PASSES.
    """
    for _ in range(PASSES):
        shown = decode(to_png(film), max_pixels).detailed
        found = [line for line in lines(shown) if line.characters >= FEWEST]
        if not found:
            break
        pixels, scale = film.pixels.copy(), -(-max(film.pixels.shape) // DETAILED)
        for line in found:
            margin = (line.bottom - line.top) // 2
            left, top = max(line.left - margin, 0) * scale, max(line.top - margin, 0) * scale
            pixels[top : (line.bottom + margin) * scale, left : (line.right + margin) * scale] = pixels.min()
        film = replace(film, pixels=pixels)
    return film


# Header


def _read(data: bytes, stop_before_pixels: bool = False) -> Dataset:
    try:
        file = _BoundedFile(_inflated(data))
        header = pydicom.dcmread(file, force=True, stop_before_pixels=stop_before_pixels)
        if not hasattr(header, "file_meta"):
            header.file_meta = FileMetaDataset()
        if len(header) + len(header.file_meta) == 0:
            raise UndecodableError("damaged DICOM: there is nothing in its header")
        for tag in list(header.keys()):
            raw = header.get_item(tag)
            if isinstance(raw, RawDataElement) and raw.length > MOST_VALUE and tag != PIXELS:
                del header[tag]
        return header
    except (UndecodableError, MemoryError):
        raise
    except Exception as error:
        raise _damaged(error) from None


class _BoundedFile(io.BytesIO):
    """A file that is read in MOST_READS steps at most. pydicom takes one or two for an element, however small."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise UndecodableError(f"damaged DICOM: its header has more than {MOST_READS // 2} elements")
        return super().read(size)


def _damaged(error: Exception) -> UndecodableError:
    return UndecodableError(f"damaged DICOM: its header or its pixels cannot be read ({type(error).__name__})")


def _inflated(data: bytes) -> bytes:
    """A deflated file as one that is not; any other as it is. pydicom would inflate it whatever its size."""
    deflated = uid.DeflatedExplicitVRLittleEndian.encode()
    if data[132:136] != b"\2\0\0\0" or deflated not in data[132:HEAD]:
        return data
    start = 144 + int.from_bytes(data[140:144], "little")  # behind (0002,0000), which holds the length
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    body = engine.decompress(data[start:], MOST_INFLATED)
    if engine.unconsumed_tail:
        raise UndecodableError(f"deflated DICOM of more than {MOST_INFLATED} bytes: a bomb")
    return data[:start].replace(deflated, uid.ExplicitVRLittleEndian.encode().ljust(len(deflated), b"\0")) + body


def _refuse(header: Dataset, max_pixels: int) -> None:
    """Raise for what is no single film of bones, or is too large, before anything is decoded."""
    sop_class = uid.UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""))
    if "PixelData" not in header:
        raise UndecodableError(_without_pixels(header, sop_class))
    modality = str(header.get("Modality") or OF_CLASS.get(sop_class, "")).strip().upper()
    if modality not in FILMS:
        told = f"{modality} ({OTHERS[modality]})" if modality in OTHERS else "another than those of radiography"
        raise UndecodableError(f"DICOM of modality {told}: no plain radiograph, leave it out by `images`")
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise UndecodableError(f"DICOM of {frames} frames: several pictures in one file, export single films")
    width, height = int(header.Columns), int(header.Rows)
    if width * height > max_pixels:
        raise UndecodableError(f"{width}x{height} pixels, {over_limit(max_pixels)}")
    if width * height == 0:
        raise UndecodableError("damaged DICOM: it has no rows or no columns")


def _without_pixels(header: Dataset, sop_class: uid.UID) -> str:
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        return "DICOM of floating-point pixels: export it with whole numbers"
    if sop_class == uid.MediaStorageDirectoryStorage:
        return "DICOM without pixels: a DICOMDIR, which lists other files"
    if sop_class.name == sop_class:
        return "damaged DICOM, or none: it has no pixels, and no class that the standard knows"
    return f"DICOM without pixels ({sop_class.name}): leave it out by `images`"


def _photometric(header: Dataset) -> str:
    return str(header.get("PhotometricInterpretation") or "MONOCHROME2").strip().upper()


# Grey films


def _grey(header: Dataset) -> DicomFilm:
    stored, low, high = _stored_values(header)
    absent = _is_padding(header, stored, high)
    slope, intercept = float(header.get("RescaleSlope") or 1), float(header.get("RescaleIntercept") or 0)
    if table := _first_table(header, "ModalityLUTSequence"):
        stored, low, high, slope, intercept = table.apply(stored), 0, int(table.outputs.max()), 1.0, 0.0
    negative = _photometric(header) == "MONOCHROME1"
    turned = negative != (slope < 0)
    samples = high - stored if turned else stored - low
    pixels: Samples = samples.astype(np.uint8) if high - low < 1 << 8 else samples.astype(np.uint16)
    padding = _set_apart(pixels, absent)

    def tone(values: NDArray[np.float64], brightness: NDArray[np.float64]) -> Tone:
        """The curve of values after the modality LUT, as one of stored values."""
        before = (values - intercept) / slope
        points = high - before if turned else before - low
        order = np.argsort(points)
        return Tone(tuple(points[order].tolist()), tuple((1 - brightness if negative else brightness)[order].tolist()))

    curve = _voi(header)
    wanted = tone(*curve) if curve else None
    return DicomFilm(pixels, wanted if wanted and _shows(wanted, pixels[~absent]) else None, padding)


def _stored_values(header: Dataset) -> tuple[NDArray[np.int32], int, int]:
    """Stored values (height, width), and the least and the largest that the file's bits can hold.

    Bits above those of the values are cut off: overlays lay there. What lossy compression made too large is clipped.
    """
    allocated = int(header.BitsAllocated)
    bits, signed = int(header.get("BitsStored") or allocated), bool(header.get("PixelRepresentation"))
    if bits > 16:
        raise UndecodableError(f"DICOM of {bits} bits a pixel: export it with 16 at most")
    shift = max(int(header.get("HighBit", bits - 1)) + 1 - bits, 0)
    header.BitsStored, header.HighBit = allocated, allocated - 1  # pydicom would cut off bits wherever they stand
    raw, stream = _raw(header)
    if stream:
        bits, signed, shift = min(bits, stream.precision), signed or stream.has_sign, 0
    values = raw.reshape(int(header.Rows), int(header.Columns)).astype(np.int32)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if stream and stream.codec != "lossless JPEG" and signed == stream.has_sign:
        return values.clip(low, high), low, high
    codes = values >> shift & (1 << bits) - 1
    return np.where(codes > high, codes - (1 << bits), codes), low, high


def _is_padding(header: Dataset, stored: NDArray[np.int32], high: int) -> NDArray[np.bool_]:
    """Where there is no film: the padding value, or the range between it and its limit."""
    value = header.get("PixelPaddingValue")
    if not isinstance(value, int):
        return np.zeros(stored.shape, bool)
    limit = header.get("PixelPaddingRangeLimit")
    # one of the two may have been read with the wrong sign
    first, last = sorted(
        number - 2 * (high + 1) if number > high and header.get("PixelRepresentation") else number
        for number in (value, limit if isinstance(limit, int) else value)
    )
    return np.asarray((stored >= first) & (stored <= last))


def _set_apart(pixels: Samples, absent: NDArray[np.bool_]) -> int | None:
    """Give absent pixels the least value that no other pixel has. None where nothing is absent."""
    if not absent.any() or absent.all():
        return None
    used = np.bincount(pixels[~absent], minlength=1 + int(np.iinfo(pixels.dtype).max))
    free = np.flatnonzero(used == 0)
    if not len(free):
        return None
    pixels[absent] = free[0]
    return int(free[0])


@dataclass(frozen=True)
class _Table:
    """A lookup table of the header (PS3.3, C.11)."""

    first: int
    """The value that the first output is of."""
    outputs: NDArray[np.int32]
    bits: int
    """Of an output."""

    def apply(self, stored: NDArray[np.int32]) -> NDArray[np.int32]:
        return self.outputs[np.clip(stored - self.first, 0, len(self.outputs) - 1)]


def _first_table(header: Dataset, sequence: str) -> _Table | None:
    items = header.get(sequence)
    if not items:
        return None
    count, first, bits = (int(number) for number in items[0].LUTDescriptor)
    data, count = items[0].LUTData, count % (1 << 16) or 1 << 16
    if isinstance(data, bytes):
        order = "<" if header.original_encoding[1] else ">"
        data = np.frombuffer(data[: 2 * count], "u1" if len(data) < 2 * count else f"{order}u2")
    outputs = np.asarray(data, np.int32)[:count] & 0xFFFF
    if first >= 1 << 15 and header.get("PixelRepresentation"):
        first -= 1 << 16  # read with the wrong sign
    return _Table(first, outputs, bits)


def _voi(header: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Points of the VOI LUT or, without one, of the first window: values after the modality LUT, and brightness."""
    if table := _first_table(header, "VOILUTSequence"):
        count = len(table.outputs)
        rows = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
        most = max((1 << table.bits) - 1, int(table.outputs.max()), 1)
        return (table.first + rows).astype(np.float64), table.outputs[rows] / most
    centre, width = (_first_number(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function == "SIGMOID":
        steps = np.linspace(-2, 2, 129)
        return centre + width * steps, 1 / (1 + np.exp(-4 * steps))
    if function != "LINEAR_EXACT":  # PS3.3, C.11.2.1.2
        centre, width = centre - 0.5, max(width - 1, 1e-3)
    return np.array([centre - width / 2, centre + width / 2]), np.array([0.0, 1.0])


def _first_number(value: Any) -> float | None:
    """The first of one or several numbers; None where there is none that is finite."""
    first = value if isinstance(value, (int, float, type(None))) else next(iter(value), None)
    return float(first) if first is not None and np.isfinite(float(first)) else None


def _shows(tone: Tone, present: Samples) -> bool:
    """Whether a curve gives the film's own range enough of all brightness."""
    if not len(present):
        return False
    darkest, brightest = tone.apply(np.percentile(present, (0.5, 99.5)))
    return bool(abs(brightest - darkest) >= LEAST_SHOWN)  # a VOI LUT may make a negative


# Pixels as they are stored


def _raw(header: Dataset) -> tuple[NDArray[Any], _Stream | None]:
    """Decoded pixels, and the stream that they come from, of compressed ones."""
    meta = header.file_meta
    if "TransferSyntaxUID" not in meta:
        implicit, little = header.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    syntax = meta.TransferSyntaxUID
    if not header["PixelData"].is_undefined_length or syntax == uid.RLELossless:
        return pixel_array(header, raw=True), None
    stream = _stream(get_frame(header.PixelData, 0, number_of_frames=1), syntax)
    if stream.size != (int(header.Rows), int(header.Columns)):
        raise UndecodableError("damaged DICOM: its pixels have another size than its header says")
    return stream.decode(_photometric(header)), stream


@dataclass(frozen=True)
class _Stream:
    """A compressed frame. What it is, its own bytes say, whatever the transfer syntax."""

    data: bytes
    codec: Literal["JPEG", "lossless JPEG", "JPEG-LS", "JPEG 2000"]
    size: tuple[int, int]
    """Height and width."""
    precision: int
    """Bits of a sample."""
    has_sign: bool = False

    def decode(self, photometric: str) -> NDArray[Any]:
        """Pixels; three channels of `JPEG` are made red, green and blue."""
        if self.codec == "JPEG 2000":
            return np.asarray(imagecodecs.jpeg2k_decode(self.data))
        if self.codec == "JPEG-LS":
            return np.asarray(imagecodecs.jpegls_decode(self.data))
        head = self.data[:HEAD]
        unmarked = photometric == "RGB" and b"JFIF" not in head and b"Adobe" not in head
        return np.asarray(imagecodecs.jpeg8_decode(self.data, colorspace="RGB" if unmarked else None))


def _stream(data: bytes, syntax: uid.UID) -> _Stream:
    start = data.find(b"\xff\x4f\xff\x51")
    if 0 <= start < HEAD:  # SIZ of JPEG 2000 (ISO/IEC 15444-1, A.5.1)
        right, bottom, left, top = (int.from_bytes(data[start + at : start + at + 4]) for at in (8, 12, 16, 20))
        depth = data[start + 42]
        return _Stream(data, "JPEG 2000", (bottom - top, right - left), (depth & 0x7F) + 1, bool(depth & 0x80))
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    name = syntax.name if syntax.name != syntax else "unknown compression"
    raise UndecodableError(f"DICOM whose pixels cannot be decoded ({name}): export it as JPEG 2000 or uncompressed")


def _jpeg(data: bytes) -> _Stream:
    """A stream of JPEG or JPEG-LS by its frame header (ISO/IEC 10918-1, B.2.2; 14495-1, C.2.2)."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            break
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            if data.rfind(b"\xff\xd9") < at:
                raise UndecodableError("damaged DICOM: its JPEG is cut off")
            height, width = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
            return _Stream(data, CODECS.get(marker, "JPEG"), (height, width), data[at + 4])
        at += 2 + length
    raise UndecodableError("damaged DICOM: its JPEG has no frame header")


# Colour


def _colour(header: Dataset) -> NDArray[np.uint8]:
    """Pixels (height, width, 3) of a screenshot, red, green and blue."""
    photometric, bits = _photometric(header), int(header.BitsAllocated)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(pixel_array(header, raw=True), header)
        return np.asarray(coloured >> 8 if coloured.dtype == np.uint16 else coloured).astype(np.uint8)[..., :3]
    if bits != 8 or int(header.SamplesPerPixel) != 3 or not photometric.startswith(("RGB", "YBR")):
        raise UndecodableError(f"DICOM in colour, and not of 8-bit RGB or YBR ({bits} bits): export it in grey")
    raw, stream = _raw(header)
    if photometric in ("YBR_FULL", "YBR_FULL_422") and (stream is None or stream.codec != "JPEG"):
        raw = convert_color_space(raw, "YBR_FULL", "RGB")
    return np.asarray(raw, np.uint8).reshape(int(header.Rows), int(header.Columns), 3)
