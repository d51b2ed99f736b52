"""The stream of a PNG: checksums of the chunks that concern pixels, and how far its rows can be unpacked."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import BROKEN, CUT, Stream, check_size, lost
from osteon.images.streams.pillow import opened

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps down and across, of the seven passes."""
_KEPT = {b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"gAMA"}
"""Chunks that the decoder gets beside IHDR and IDAT."""
_NAMES = {*_KEPT, b"IHDR", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"tIME", b"sRGB", b"cHRM",
          b"bKGD", b"sBIT", b"hIST", b"sPLT"}  # fmt: skip


@dataclass
class _Png:
    """What the chunks say."""

    head: bytes = b""
    others: list[tuple[bytes, bytes]] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    """Bodies of the IDAT chunks up to the first that is damaged or cut."""
    suspect: list[bytes] = field(default_factory=list)
    """Bodies of those from there on."""
    is_cut: bool = False
    remarks: list[str] = field(default_factory=list)


def read_png(data: bytes, max_pixels: int) -> Stream:
    """Decode a PNG, and find what its stream lacks.

    Args:
        data: A file that begins with the signature.
        max_pixels: Width times height from which on it is not decoded.

    Raises:
        UndecodableError: Its header or palette is damaged.
    """
    png = _chunks(data)
    if len(png.head) != 13:
        raise UndecodableError("a PNG whose header is damaged: fetch it again")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", png.head)
    if colour not in _CHANNELS or not width or not height:
        raise UndecodableError("a PNG whose header is damaged: fetch it again")
    check_size(width, height, max_pixels)
    if not png.suspect and not png.is_cut:
        return _whole(png, max_pixels)
    rows = _Rows(width, height, depth * _CHANNELS[colour], bool(interlaced))
    packed = b"".join(png.packed)
    plain, is_sound = _unpacked(packed + b"".join(png.suspect), rows.size)
    if is_sound:  # the checksum of the pixels themselves is right
        png.remarks.append("a checksum of the pixels' packing is wrong, the pixels are whole")
        png.packed += png.suspect
        return _whole(png, max_pixels)
    if not png.is_cut or png.suspect:
        plain, _ = _unpacked(packed, rows.size)
    missing = rows.missing(len(plain))
    image = opened(_joined(png, zlib.compress(plain + bytes(rows.size - len(plain)), 1)), max_pixels, "PNG")
    image.load()
    kind = BROKEN if png.suspect else CUT
    damage = lost(kind, missing) if missing.any() else ""
    return Stream(image, missing if damage else None, damage, tuple(png.remarks))


def _whole(png: _Png, max_pixels: int) -> Stream:
    image = opened(_joined(png, b"".join(png.packed)), max_pixels, "PNG")
    try:
        image.load()
    except OSError as error:
        return _unpacked_too_short(png, max_pixels, str(error))
    return Stream(image, None, "", tuple(png.remarks))


def _unpacked_too_short(png: _Png, max_pixels: int, reason: str) -> Stream:
    """Chunks without fault whose pixels cannot be unpacked: what its writer left out, or packed wrongly."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", png.head)
    rows = _Rows(width, height, depth * _CHANNELS[colour], bool(interlaced))
    plain, _ = _unpacked(b"".join(png.packed), rows.size)
    missing = rows.missing(len(plain))
    if not missing.any():
        raise UndecodableError(f"damaged: {reason}")
    image = opened(_joined(png, zlib.compress(plain + bytes(rows.size - len(plain)), 1)), max_pixels, "PNG")
    image.load()
    return Stream(image, missing, lost(CUT, missing), tuple(png.remarks))


def _chunks(data: bytes) -> _Png:
    png, at = _Png(), len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body, end = data[at + 8 : at + 8 + size], at + 12 + size
        if kind not in _NAMES and not (kind.isalpha() and end <= len(data) and _is_right(data, at, size)):
            png.suspect.append(b"")  # lengths no longer lead from chunk to chunk
            return png
        if end > len(data):
            return _cut_chunk(png, kind, body)
        is_right = _is_right(data, at, size)
        if kind == b"IEND":
            return png
        _take(png, kind, body, is_right)
        at = end
    png.is_cut = not _unpacks(png)
    if not png.is_cut:
        png.remarks.append("its end is missing")
    return png


def _cut_chunk(png: _Png, kind: bytes, body: bytes) -> _Png:
    """The last chunk of a file that ends within it."""
    if kind == b"IDAT" and not png.suspect:
        png.packed.append(body)
    if kind == b"IDAT" or not png.packed:
        png.is_cut = True
    else:
        png.remarks.append("its end is missing")
    return png


def _take(png: _Png, kind: bytes, body: bytes, is_right: bool) -> None:
    if kind == b"IDAT":
        (png.suspect if png.suspect or not is_right else png.packed).append(body)
    elif kind == b"IHDR":
        png.head = body if is_right else b""
    elif kind in (b"PLTE", b"tRNS") and not is_right:
        raise UndecodableError(
            f"a PNG whose {'palette' if kind == b'PLTE' else 'transparency'} is damaged: fetch it again"
        )
    elif not is_right:
        png.remarks.append(f"the checksum of its {kind.decode('latin-1')} is wrong, which holds no pixels")
    elif kind in _KEPT:
        png.others.append((kind, body))


def _is_right(data: bytes, at: int, size: int) -> bool:
    return zlib.crc32(memoryview(data)[at + 4 : at + 8 + size]) == int.from_bytes(data[at + 8 + size : at + 12 + size])


def _unpacks(png: _Png) -> bool:
    """Whether the pixels' own checksum is there and right: then nothing of them is cut off."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(b"".join(png.packed + png.suspect))
    except zlib.error:
        return False
    return unpacker.eof


def _unpacked(packed: bytes, most: int) -> tuple[bytes, bool]:
    """What can be unpacked, and whether all of it is there and its checksum right."""
    unpacker, found, got = zlib.decompressobj(), [], 0
    try:
        for at in range(0, len(packed), 1024):
            found.append(unpacker.decompress(packed[at : at + 1024], max(1, most + 1 - got)))
            got += len(found[-1])
            if got > most:
                break
    except zlib.error:
        return b"".join(found)[:most], False
    return b"".join(found)[:most], unpacker.eof and got >= most


def _joined(png: _Png, packed: bytes) -> bytes:
    """The PNG with right checksums, and without chunks that concern no pixel."""
    parts = [(b"IHDR", png.head), *png.others, (b"IDAT", packed), (b"IEND", b"")]
    joined = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    return SIGNATURE + b"".join(joined)


@dataclass(frozen=True)
class _Rows:
    """How the rows of a PNG follow one another."""

    width: int
    height: int
    bits: int
    """Of one pixel."""
    interlaced: bool

    @property
    def passes(self) -> list[tuple[slice, slice, int, int]]:
        """Rows and columns of each pass, their number of rows and the bytes of one."""
        steps = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        found = []
        for top, left, down, across in steps:
            rows, columns = -(-(self.height - top) // down), -(-(self.width - left) // across)
            if rows > 0 and columns > 0:
                line = 1 + (columns * self.bits + 7) // 8
                found.append((slice(top, None, down), slice(left, None, across), rows, line))
        return found

    @property
    def size(self) -> int:
        """Bytes of all rows, unpacked."""
        return sum(rows * line for _, _, rows, line in self.passes)

    def missing(self, plain: int) -> NDArray[np.bool_]:
        """(height, width): pixels that the first `plain` bytes do not give."""
        lacking = np.zeros((self.height, self.width), bool)
        for down, across, rows, line in self.passes:
            whole = min(rows, max(0, plain // line))
            part = lacking[down, across]
            part[whole:] = True
            plain -= rows * line
        return lacking
