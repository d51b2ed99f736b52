"""Streams of uncompressed rows: BMP, PGM and PPM. They have no checksum; only what is cut off can be known."""

from __future__ import annotations

import re
import struct

import numpy as np

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import CUT, Stream, check_size, lost
from osteon.images.streams.pillow import loaded, opened

_UNCOMPRESSED = {0, 3, 6}
_HEADER = re.compile(rb"P[56](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")


def read_bmp(data: bytes, max_pixels: int) -> Stream:
    """Decode a BMP. Its rows are stored from the bottom up unless its height is negative.

    Raises:
        UndecodableError: It is cut, and compressed or without its header.
    """
    if len(data) < 54:
        raise UndecodableError("a BMP that ends before its pixels: fetch it again")
    start, header = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    if header < 40:
        return loaded(data, max_pixels, "BMP")
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    line = (abs(width) * bits + 31) // 32 * 4
    lacking = start + line * abs(height) - len(data)
    if lacking <= 0 or compression not in _UNCOMPRESSED or not line:
        return loaded(data, max_pixels, "BMP")
    if start > len(data):
        raise UndecodableError("a BMP that ends before its pixels: fetch it again")
    check_size(abs(width), abs(height), max_pixels)
    image = opened(data + bytes(lacking), max_pixels, "BMP")
    image.load()
    missing = np.zeros((abs(height), abs(width)), bool)
    gone = -(-lacking // line)
    missing[slice(0, gone) if height > 0 else slice(abs(height) - gone, None)] = True
    return Stream(image, missing, lost(CUT, missing))


def read_pnm(data: bytes, max_pixels: int) -> Stream:
    """Decode a PGM or PPM. Raises `UndecodableError` where it is cut before its pixels."""
    if data[:2] not in (b"P5", b"P6") or (match := _HEADER.match(data)) is None:
        return loaded(data, max_pixels, "PPM")
    width, height, most = (int(number) for number in match.groups())
    line = width * (2 if most > 255 else 1) * (3 if data[1:2] == b"6" else 1)
    lacking = match.end() + line * height - len(data)
    if lacking <= 0:
        return loaded(data, max_pixels, "PPM")
    check_size(width, height, max_pixels)
    image = opened(data + bytes(lacking), max_pixels, "PPM")
    image.load()
    missing = np.zeros((height, width), bool)
    missing[height - min(height, -(-lacking // line)) :] = True
    return Stream(image, missing, lost(CUT, missing))
