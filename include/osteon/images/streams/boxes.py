"""WebP, JPEG 2000 and AVIF: their boxes have lengths and no checksums. What is cut off or out is known by length."""

from __future__ import annotations

import struct

import numpy as np

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import CUT, Stream
from osteon.images.streams.pillow import loaded, opened

_CODESTREAM, _TILE, _END = b"\xff\x4f\xff\x51", b"\xff\x90", b"\xff\xd9"


def read_webp(data: bytes, max_pixels: int) -> Stream:
    """Decode a WebP whose RIFF and chunk lengths are right.

    Raises:
        UndecodableError: It is shorter than its header says, or cannot be decoded.
    """
    stated = 8 + int.from_bytes(data[4:8], "little")
    if stated > len(data) + 1:
        raise UndecodableError(f"a WebP that is {CUT}: {len(data)} of {stated} bytes are there; fetch it again")
    at, names = 12, set[bytes]()
    while at + 8 <= stated:
        kind, size = struct.unpack_from("<4sI", data, at)
        names.add(kind)
        at += 8 + size + size % 2
    if at > stated + 1 or not names & {b"VP8 ", b"VP8L", b"ANIM"}:
        raise UndecodableError("a WebP whose chunks do not fit into it: fetch it again")
    return _complete(data, max_pixels, "WEBP")


def read_jpeg2000(data: bytes, max_pixels: int) -> Stream:
    """Decode a JPEG 2000 as far as it comes. Its tile-parts have lengths, and an end marker follows the last.

    Raises:
        UndecodableError: Nothing of it can be decoded.
    """
    start = data.find(_CODESTREAM)
    if start < 0:
        raise UndecodableError("a JPEG 2000 without a code stream: fetch it again")
    left = _after_tiles(data, data.find(_TILE, start))
    if left is not None and data[left : left + 2] == _END:
        return _complete(data, max_pixels, "JPEG2000")
    image = opened(data, max_pixels, "JPEG2000")
    try:
        image.load()
    except (OSError, SyntaxError):
        raise UndecodableError(f"a JPEG 2000 that is {CUT}, and cannot be decoded: fetch it again") from None
    return Stream(image, np.zeros((image.height, image.width), bool), f"{CUT}: detail is lost")


def read_avif(data: bytes, max_pixels: int) -> Stream:
    """Decode an AVIF whose boxes are all there. Raises `UndecodableError`."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:  # 0: up to the end; 1: a long box
            break
        at += size
    if at > len(data):
        raise UndecodableError(f"an AVIF that is {CUT}: {len(data)} of {at} bytes are there; fetch it again")
    return _complete(data, max_pixels, "AVIF")


def _complete(data: bytes, max_pixels: int, name: str) -> Stream:
    try:
        return loaded(data, max_pixels, name)
    except (ValueError, SyntaxError, EOFError) as error:
        raise UndecodableError(f"damaged: {error}") from None


def _after_tiles(data: bytes, at: int) -> int | None:
    """Where the last tile-part ends; None where a length leads out of the file."""
    while at >= 0 and data[at : at + 2] == _TILE and at + 12 <= len(data):
        size = int.from_bytes(data[at + 6 : at + 10], "big")
        if size == 0:
            return len(data) - 2
        at += size
    return at if 0 <= at <= len(data) - 2 else None
