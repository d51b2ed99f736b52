"""The stream of a JPEG: one decode gives the pixels and the decoder's warnings; what they name is looked at closely.

libjpeg-turbo goes on over damage: it warns at most, and only in some cases. Most damage leads to a block of more than
64 coefficients, which it passes over in silence. So pixels that do not fit together across rows of MCUs count as a
warning too. Where something warns, the Huffman codes are read once more, and say what is damaged.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import BROKEN, CUT, Stream, check_size, lost
from osteon.images.streams.jpeg_huffman import Block, Walk, ac_codes, dc_codes, walk
from osteon.images.streams.jpeg_markers import EOI, Jpeg, Scan, parse
from osteon.images.streams.jpeg_seams import seams

SUSPECT, STEEP = 0.7, 5.0
"""Grey levels: from such a seam on, the codes are read; STEEP where it begins at the left border."""
CERTAIN, CLEAR, LOUD = 2.0, 0.8, 15.0
"""Grey levels of a seam that names the place of damage: where the codes make no sense, where they only end early or too
late, and where they are without fault."""
NEAR = 2
"""MCUs: a seam so near to the end of a stream is that end."""
RUN = 16
"""Equal bytes in a row that no film gives where the codes make no sense."""
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_MARKER = re.compile(rb"\xff+[^\x00\xff]", re.DOTALL)
_RUNS = re.compile(rb"\x00{%d,}|\xff{%d,}" % (RUN, RUN))


@dataclass(frozen=True)
class _Interval:
    """One restart interval: its MCUs, and its data."""

    first: int
    end: int
    data: bytes


def read_jpeg(data: bytes, max_pixels: int) -> Stream:
    """Decode a JPEG, and find what its stream lacks.

    Args:
        data: A file that begins with the start marker. What stands behind its end marker is not looked at.
        max_pixels: Width times height from which on it is not decoded.

    Raises:
        UndecodableError: It is of a kind that is not decoded, or nothing of it can be.
    """
    jpeg = parse(data)
    if not jpeg.scans:
        raise UndecodableError("a JPEG that ends before its pixels: fetch it again")
    if not jpeg.width or not jpeg.height:
        raise UndecodableError("a JPEG whose header gives no size: fetch it again")
    check_size(jpeg.width, jpeg.height, max_pixels)
    remarks = () if jpeg.ended else ("the end marker is missing",)
    stream = data if jpeg.ended else data[: jpeg.scans[-1].end].removesuffix(b"\xff") + EOI
    pixels, warning = _decode(stream, jpeg)
    if warning is None and not _is_suspect(pixels, jpeg):
        return Stream(_image(pixels, stream), None, "", remarks)
    if len(jpeg.scans) > 1 or jpeg.progressive or not _is_complete(jpeg, jpeg.scans[0]):
        return _several_scans(stream, jpeg, pixels, warning, remarks)
    return _one_scan(data, jpeg, pixels, remarks)


def _decode(stream: bytes, jpeg: Jpeg) -> tuple[NDArray[np.uint8], str | None]:
    """Pixels (height, width, channels) and what the decoder warns of. What it did not reach is zero."""
    colour = _COLOURS.get(len(jpeg.components))
    if colour is None:
        raise UndecodableError(f"a JPEG of {len(jpeg.components)} components: convert it to PNG")
    buffer = np.zeros((jpeg.height, jpeg.width, len(jpeg.components)), np.uint8)
    try:
        simplejpeg.decode_jpeg(stream, colour, buffer=buffer, strict=True)
    except ValueError as error:
        return buffer, str(error)
    return buffer, None


def _image(pixels: NDArray[np.uint8], stream: bytes) -> Image.Image:
    if pixels.shape[2] < 4:
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image = Image.open(io.BytesIO(stream), formats=["JPEG"])  # Pillow knows how Adobe stores CMYK
    try:
        image.load()
    except OSError:
        return Image.fromarray(pixels, "CMYK")
    return image


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, 1]  # green is most of the luma


def _is_suspect(pixels: NDArray[np.uint8], jpeg: Jpeg) -> bool:
    """Whether a row of MCUs fits so badly to the one above that the codes are worth reading."""
    if jpeg.progressive or len(jpeg.scans) > 1:
        return False
    rows, columns = jpeg.grid(jpeg.scans[0])
    found = seams(_luma(pixels), jpeg.mcu if len(jpeg.components) > 1 else (8, 8)).reshape(rows, columns)
    most = found.max(initial=0.0)
    return bool(most > STEEP or most - found[:, 0].max(initial=0.0) > SUSPECT)


def _is_complete(jpeg: Jpeg, scan: Scan) -> bool:
    return len(scan.components) == len(jpeg.components) and (scan.first, scan.last) == (0, 63)


# Baseline: one scan ---------------------------------------------------------------------------------------------------


def _one_scan(data: bytes, jpeg: Jpeg, pixels: NDArray[np.uint8], remarks: tuple[str, ...]) -> Stream:
    """Baseline: what is damaged is lost up to the next restart marker, or up to the end."""
    scan = jpeg.scans[0]
    end = data.find(EOI, scan.start)
    is_cut = end < 0
    body = data[scan.start : end if end >= 0 else len(data)]
    if is_cut:
        body = _without_filling(body)
    intervals = _intervals(body, scan, jpeg)
    blocks = _blocks(jpeg, scan)
    walks = [walk(part.data, blocks, part.end - part.first) for part in intervals]
    total = jpeg.grid(scan)[0] * jpeg.grid(scan)[1]
    clean = data[: scan.start] + _joined(intervals, scan) + EOI
    pixels, _ = _decode(clean, jpeg)
    fits = seams(_luma(pixels), jpeg.mcu if len(jpeg.components) > 1 else (8, 8))
    gone, kinds = np.zeros(total, bool), set()
    covered = np.zeros(total, bool)
    for part, one in zip(intervals, walks, strict=True):
        covered[part.first : part.end] = True
        place, kind = _place(part, one, fits, jpeg.grid(scan)[1])
        gone[place : part.end] = True
        if place < part.end:
            kinds.add(kind if part is intervals[-1] else BROKEN)
    if not covered.all():
        last = np.flatnonzero(covered)[-1] if covered.any() else -1
        kinds.add(CUT if covered[: last + 1].all() else BROKEN)
        gone |= ~covered
    if not gone.any():
        more = (
            ("bytes that belong to no pixel stand behind the picture",) if any(one.left >= 8 for one in walks) else ()
        )
        return Stream(_image(pixels, clean), None, "", remarks + more)
    missing = _area(gone, jpeg, scan)
    return Stream(_image(pixels, clean), missing, lost(BROKEN if BROKEN in kinds else CUT, missing), remarks)


def _without_filling(body: bytes) -> bytes:
    """Data without the zeros that fill the rest of a file whose end was never written."""
    bare = body.rstrip(b"\0")
    return bare if len(body) - len(bare) >= RUN else body


def _is_whole(part: _Interval, one: Walk) -> bool:
    return one.ending == "whole" and (one.left < 8 or one.is_filled) and not _MARKER.search(part.data)


def _blocks(jpeg: Jpeg, scan: Scan) -> list[Block]:
    found: list[Block] = []
    empty = bytes(16)
    for index, dc, ac in scan.components:
        part = jpeg.components[index]
        most = 1024 // max(1, jpeg.steps.get(part.table, 1)) + 2
        codes = ac_codes(scan.codes.get((1, ac), empty)) if scan.last else None
        block = Block(index, dc_codes(scan.codes.get((0, dc), empty)), codes, most >> scan.low)
        found += [block] * (part.across * part.down if len(scan.components) > 1 else 1)
    return found


def _intervals(body: bytes, scan: Scan, jpeg: Jpeg) -> list[_Interval]:
    """The restart intervals that are there. Their markers count from 0 to 7, which tells where some are missing."""
    rows, columns = jpeg.grid(scan)
    total = rows * columns
    if not scan.interval:
        return [_Interval(0, total, body)]
    parts, numbers, at = [], [], 0
    for match in _MARKER.finditer(body):
        number = match.group()[-1] - 0xD0
        if 0 <= number < 8:
            parts.append(body[at : match.start()])
            numbers.append(number)
            at = match.end()
    parts.append(body[at:])
    count = -(-total // scan.interval)
    return [
        _Interval(index * scan.interval, min((index + 1) * scan.interval, total), part)
        for index, part in zip(_indices(numbers, count), parts, strict=True)
        if 0 <= index < count
    ]


def _indices(numbers: list[int], count: int) -> list[int]:
    """The index of each interval, from the numbers of the restart markers between them. An index comes once."""
    found = [0]
    for number in numbers:
        step = (number - found[-1]) % 8 + 1
        found.append(found[-1] + step)
    gaps = [place for place in range(1, len(found)) if found[place] - found[place - 1] > 1]
    if gaps and (lacking := count - 1 - found[-1]) > 0 and lacking % 8 == 0:
        found = [index + lacking * (place >= gaps[0]) for place, index in enumerate(found)]
    return found


def _joined(intervals: list[_Interval], scan: Scan) -> bytes:
    """The data with every interval in its place, and no marker within one."""
    by_first = {part.first: part.data for part in intervals}
    if not scan.interval:
        return _bare(by_first[0])
    found = []
    for index in range(max(by_first, default=0) // scan.interval + 1):
        found.append(_bare(by_first.get(index * scan.interval, b"")))
        found.append(bytes([0xFF, 0xD0 + index % 8]))
    return b"".join(found[:-1])


def _bare(part: bytes) -> bytes:
    return _MARKER.sub(lambda match: b"\xff\x00" + match.group()[-1:], part)


def _place(part: _Interval, one: Walk, fits: NDArray[np.float64], columns: int) -> tuple[int, str]:
    """The first MCU of an interval that is lost, and what happened; the interval's end where nothing is."""
    reached = part.first + len(one.starts) - (one.ending != "whole")
    end = min(reached + 1, part.end)
    if _is_whole(part, one):
        loud = _seam(fits, part.first, end, columns, LOUD)
        return (part.end, "") if loud is None else (loud, BROKEN)
    seam = _seam(fits, part.first, end, columns, CERTAIN if one.ending == "senseless" else CLEAR)
    places = [seam, _mcu_of(_RUNS, part, one), _mcu_of(_MARKER, part, one)]
    found = min((place for place in places if place is not None), default=reached)
    if one.ending == "short" and found >= reached - NEAR:
        return reached, CUT
    return min(found, part.end - 1), BROKEN


def _seam(fits: NDArray[np.float64], first: int, end: int, columns: int, least: float) -> int | None:
    """The MCU from which on the rows do not fit, if there is one.

    An edge of the film that lies along a row of MCUs begins at the left border. So what a seam is worth is less where
    the border of its row fits badly as well.
    """
    if end <= first:
        return None
    rows, left = np.arange(first, end) // columns, fits[::columns]
    natural = np.maximum(left[rows], left[np.minimum(rows + 1, len(left) - 1)]).clip(0)
    natural[np.arange(first, end) % columns == 0] = 0 if least == CERTAIN else np.inf
    worth = fits[first:end] - natural * (0.5 if least == CERTAIN else 1.0)
    place = int(np.argmax(worth))
    return first + place if worth[place] > least else None


def _mcu_of(pattern: re.Pattern[bytes], part: _Interval, one: Walk) -> int | None:
    """The MCU in which a pattern is found first."""
    match = pattern.search(part.data)
    if match is None:
        return None
    bits = 8 * len(part.data[: match.start()].replace(b"\xff\x00", b"\xff"))
    return part.first + max(0, bisect_right(one.starts, bits) - 1)


def _area(gone: NDArray[np.bool_], jpeg: Jpeg, scan: Scan) -> NDArray[np.bool_]:
    """(height, width): MCUs as pixels."""
    high, wide = jpeg.mcu if len(scan.components) > 1 else _block(jpeg, scan)
    full = gone.reshape(jpeg.grid(scan)).repeat(high, axis=0).repeat(wide, axis=1)
    return full[: jpeg.height, : jpeg.width]


def _block(jpeg: Jpeg, scan: Scan) -> tuple[int, int]:
    """(height, width) in pixels that one block of a scan of one component covers."""
    part = jpeg.components[scan.components[0][0]]
    return jpeg.mcu[0] // part.down, jpeg.mcu[1] // part.across


# Several scans: progressive, or one for each component ----------------------------------------------------------------


def _several_scans(
    stream: bytes, jpeg: Jpeg, pixels: NDArray[np.uint8], warning: str | None, remarks: tuple[str, ...]
) -> Stream:
    """What the scans before the first damaged one give: all of the area, with less detail."""
    whole = _whole_scans(stream, jpeg)
    if whole == len(jpeg.scans):
        more = (f"the decoder warns: {warning}",) if warning else ()
        return Stream(_image(pixels, stream), None, "", remarks + more)
    if whole == 0:
        return _first_scan(stream, jpeg, remarks)
    is_cut = bool(remarks) and whole == len(jpeg.scans) - 1
    left = stream if is_cut else stream[: jpeg.scans[whole - 1].end] + EOI
    pixels, _ = _decode(left, jpeg)
    scans = "scan is" if whole == 1 else "scans are"
    damage = f"{CUT if is_cut else BROKEN}: detail is lost, only {whole} {scans} whole"
    return Stream(_image(pixels, left), None, damage, remarks)


def _whole_scans(stream: bytes, jpeg: Jpeg) -> int:
    """Scans before the first that the decoder warns of."""
    for number, scan in enumerate(jpeg.scans):
        if _decode(stream[: scan.end] + EOI, jpeg)[1] is not None:
            return number
    return len(jpeg.scans)


def _first_scan(stream: bytes, jpeg: Jpeg, remarks: tuple[str, ...]) -> Stream:
    """The first scan alone, as far as it is whole: of a progressive JPEG the mean of each block."""
    scan = jpeg.scans[0]
    part = _Interval(0, int(np.prod(jpeg.grid(scan))), stream[scan.start : scan.end])
    one = walk(part.data, _blocks(jpeg, scan), part.end)
    clean = stream[: scan.start] + _bare(part.data) + EOI
    pixels, _ = _decode(clean, jpeg)
    fits = seams(_luma(pixels), jpeg.mcu if len(scan.components) > 1 else _block(jpeg, scan))
    place, kind = _place(part, one, fits, jpeg.grid(scan)[1])
    place = min(place, part.end - 1)
    gone = np.arange(part.end) >= place
    missing = _area(gone, jpeg, scan)
    kind = kind if remarks and len(jpeg.scans) == 1 else BROKEN
    return Stream(_image(pixels, clean), missing, lost(kind or BROKEN, missing), remarks)
