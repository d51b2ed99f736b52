"""The stream of a TIFF: each strip or tile of its first page is there, and can be unpacked.

Only Deflate has a checksum. Damaged strips are replaced by empty ones behind the file's end, so that one decode gives
all the others.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import imagecodecs
import numpy as np

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import BROKEN, CUT, Stream, lost
from osteon.images.streams.pillow import loaded, opened

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {3: "H", 4: "I", 16: "Q"}
_RAW, _LZW, _DEFLATE, _PACKBITS = 1, 5, (8, 32946), 32773


@dataclass
class _Page:
    """The tags of the first page: where their values stand, and the values."""

    order: str
    values: dict[int, list[int]]
    places: dict[int, tuple[int, str]]
    """Where the first value of a tag stands, and how one is packed."""

    def one(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return (self.values.get(tag) or [default])[0]


@dataclass(frozen=True)
class _Layout:
    """How the parts of a page lie."""

    width: int
    height: int
    wide: int
    high: int
    line: int
    """Bytes of one row of a part, unpacked."""
    planes: int

    @property
    def columns(self) -> int:
        """Parts beside each other."""
        return -(-self.width // self.wide)

    @property
    def count(self) -> int:
        """Parts of all planes."""
        return self.columns * -(-self.height // self.high) * self.planes

    def box(self, part: int) -> tuple[int, int, int]:
        """First row, first column and number of rows of a part."""
        part %= self.count // self.planes
        top = part // self.columns * self.high
        return top, part % self.columns * self.wide, min(self.high, self.height - top)


def read_tiff(data: bytes, max_pixels: int) -> Stream:
    """Decode the first page of a TIFF, and find what its stream lacks.

    Raises:
        UndecodableError: Its tags are damaged, or nothing can be decoded.
    """
    page = _page(data)
    if page is None:
        raise UndecodableError("a TIFF whose tags are damaged or cut off: fetch it again")
    compression = page.one(259, _RAW)
    layout = _layout(page)
    if layout is None or compression not in (_RAW, _LZW, *_DEFLATE, _PACKBITS):
        return loaded(data, max_pixels, "TIFF")
    tags = (324, 325) if 324 in page.values else (273, 279)
    starts, sizes = (page.values.get(tag, []) for tag in tags)
    if not layout.count == len(starts) == len(sizes):
        raise UndecodableError("a TIFF whose tags do not fit to one another: fetch it again")
    missing, kinds = np.zeros((layout.height, layout.width), bool), set()
    patched = bytearray(data)
    for part, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        top, left, rows = layout.box(part)
        full = layout.line * (layout.high if 324 in page.values else rows)
        plain, is_whole = _unpacked(data[start : start + size], compression, full, page.one(266, 1))
        if is_whole:
            continue
        is_cut = start + size > len(data)
        there = min(rows, len(plain) // layout.line) if is_cut else 0  # within a part, nobody knows where the damage is
        missing[top + there : top + rows, left : left + layout.wide] = True
        kinds.add(CUT if is_cut else BROKEN)
        packed = _packed(plain[: there * layout.line] + bytes(full - there * layout.line), compression)
        _replace(patched, page, tags, part, packed)
    if not missing.any():
        return loaded(data, max_pixels, "TIFF")
    image = opened(bytes(patched), max_pixels, "TIFF")
    try:
        image.load()
    except (OSError, ValueError, SyntaxError) as error:
        raise UndecodableError(
            f"a TIFF of which {missing.mean():.0%} is lost, and the rest cannot be decoded: {error}"
        ) from None
    return Stream(image, missing, lost(BROKEN if BROKEN in kinds else CUT, missing))


def _page(data: bytes) -> _Page | None:
    """The first page's tags; None where the file ends before, or they make no sense."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        is_big = struct.unpack_from(order + "H", data, 2)[0] == 43
        word, entry = ("Q", 20) if is_big else ("I", 12)
        at = struct.unpack_from(order + word, data, 8 if is_big else 4)[0]
        count = struct.unpack_from(order + ("Q" if is_big else "H"), data, at)[0]
        at += 8 if is_big else 2
        page = _Page(order, {}, {})
        for number in range(min(count, 4096)):
            _tag(data, at + number * entry, order, word, page)
    except struct.error:
        return None
    return page


def _tag(data: bytes, at: int, order: str, word: str, page: _Page) -> None:
    tag, kind = struct.unpack_from(order + "HH", data, at)
    count = struct.unpack_from(order + word, data, at + 4)[0]
    if kind not in _LETTERS or tag < 254 or count > len(data):
        return
    inline = at + 4 + struct.calcsize(word)
    place = inline
    if count * _SIZES[kind] > struct.calcsize(word):
        place = struct.unpack_from(order + word, data, inline)[0]
    page.values[tag] = list(struct.unpack_from(f"{order}{count}{_LETTERS[kind]}", data, place))
    page.places[tag] = (place, order + _LETTERS[kind])


def _layout(page: _Page) -> _Layout | None:
    width, height = page.one(256, 0), page.one(257, 0)
    samples = page.one(277, 1)
    planes = samples if page.one(284, 1) == 2 else 1
    bits = page.one(258, 1) * (samples // planes)
    wide = page.one(322, width)
    high = page.one(323, 0) if 322 in page.values else min(page.one(278, height), height)
    if not (width and height and wide and high and bits) or page.one(262, 1) == 6:  # 6: YCbCr may be subsampled
        return None
    return _Layout(width, height, wide, high, (wide * bits + 7) // 8, planes)


def _unpacked(packed: bytes, compression: int, full: int, order: int) -> tuple[bytes, bool]:
    """What a part gives, and whether that is all of it."""
    if compression == _RAW:
        return packed[:full], len(packed) >= full
    if compression in _DEFLATE:
        return _inflated(packed, full)
    if order != 1:  # bits are stored in reverse: Pillow decides
        return b"", True
    decode = imagecodecs.lzw_decode if compression == _LZW else imagecodecs.packbits_decode
    try:
        plain = bytes(decode(packed))
    except (RuntimeError, ValueError):
        return b"", False
    return plain[:full], len(plain) >= full


def _inflated(packed: bytes, full: int) -> tuple[bytes, bool]:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(packed, full + 1)
        plain += unpacker.decompress(unpacker.unconsumed_tail, 1)  # reaches the checksum
    except zlib.error:
        return b"", False
    return plain[:full], unpacker.eof and len(plain) >= full


def _packed(plain: bytes, compression: int) -> bytes:
    if compression == _RAW:
        return plain
    if compression in _DEFLATE:
        return zlib.compress(plain, 1)
    return bytes(imagecodecs.lzw_encode(plain) if compression == _LZW else imagecodecs.packbits_encode(plain))


def _replace(patched: bytearray, page: _Page, tags: tuple[int, int], part: int, packed: bytes) -> None:
    """Put a part behind the file's end, and let its tags point there."""
    for tag, value in zip(tags, (len(patched), len(packed)), strict=True):
        place, letter = page.places[tag]
        struct.pack_into(letter, patched, place + part * struct.calcsize(letter), value)
    patched += packed
