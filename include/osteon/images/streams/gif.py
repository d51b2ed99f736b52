"""The stream of a GIF: its blocks, and how many pixels its codes give. A GIF has no checksum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from osteon.images.errors import UndecodableError
from osteon.images.streams.base import BROKEN, CUT, Stream, lost
from osteon.images.streams.pillow import TRUNCATED, opened

_INTERLACED = ((0, 8), (4, 8), (2, 4), (1, 2))
"""First row and step of the four passes."""


def read_gif(data: bytes, max_pixels: int) -> Stream:
    """Decode a GIF of one picture, and find what its stream lacks.

    Raises:
        UndecodableError: It ends before its pixels.
    """
    image = opened(data, max_pixels, "GIF")
    found = _first_picture(data)
    if found is None:
        raise UndecodableError("a GIF that ends before its pixels: fetch it again")
    (left, top, width, height), interlaced, least, packed, is_cut = found
    pixels, is_sound = _pixels(packed, least, width * height)
    try:
        image.load()
    except (OSError, EOFError) as error:
        if isinstance(error, OSError) and not str(error).startswith(TRUNCATED):
            raise UndecodableError(f"damaged: {error}") from None
        image.tile = []  # type: ignore[attr-defined]
    if pixels >= width * height and is_sound:
        return Stream(image)
    missing = np.zeros((image.height, image.width), bool)
    missing[top : top + height, left : left + width] = _lacking(pixels, width, height, interlaced)
    if not missing.any():
        return Stream(image)
    return Stream(image, missing, lost(CUT if is_cut else BROKEN, missing))


def _first_picture(data: bytes) -> tuple[tuple[int, int, int, int], bool, int, bytes, bool] | None:
    """Box (left, top, width, height), whether it is interlaced, first code size, codes, and whether they are cut."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    while at < len(data):
        if data[at] == 0x21:
            _, at, _ = _blocks(data, at + 2)
        elif data[at] == 0x2C and at + 10 < len(data):
            box = tuple(int.from_bytes(data[at + 1 + 2 * n : at + 3 + 2 * n], "little") for n in range(4))
            flags = data[at + 9]
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            if at >= len(data):
                return None
            packed, _, is_cut = _blocks(data, at + 1)
            return (box[0], box[1], box[2], box[3]), bool(flags & 0x40), data[at], packed, is_cut
        else:
            return None
    return None


def _blocks(data: bytes, at: int) -> tuple[bytes, int, bool]:
    """The bodies of a chain of blocks, where it ends, and whether the file ends before."""
    found = []
    while at < len(data) and data[at]:
        found.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(found), at + 1, at >= len(data)


def _pixels(packed: bytes, least: int, most: int) -> tuple[int, bool]:
    """Pixels that the codes give, and whether each code is one that the table can hold by then."""
    if not 1 <= least <= 11:
        return 0, False
    clear, stop = 1 << least, (1 << least) + 1
    lengths = [1] * clear + [0, 0]
    size, before, got, bits, held = least + 1, 0, 0, 0, 0
    for byte in packed:
        bits |= byte << held
        held += 8
        while held >= size:
            code, bits, held = bits & ((1 << size) - 1), bits >> size, held - size
            if code == clear:
                del lengths[clear + 2 :]
                size, before = least + 1, 0
                continue
            if code == stop:  # where it comes too early, nobody knows where the damage is
                return (got, True) if got >= most else (0, False)
            if code > len(lengths) or (code == len(lengths) and not before):
                return got, False
            length = lengths[code] if code < len(lengths) else before + 1
            if before and len(lengths) < 4096:
                lengths.append(before + 1)
            before, got = length, got + length
            if len(lengths) == 1 << size and size < 12:
                size += 1
            if got >= most:
                return got, True
    return got, got >= most


def _lacking(pixels: int, width: int, height: int, interlaced: bool) -> NDArray[np.bool_]:
    passes = _INTERLACED if interlaced else ((0, 1),)
    order = np.concatenate([np.arange(first, height, step) for first, step in passes])
    whole = pixels // width if width else 0
    lacking = np.zeros((height, width), bool)
    lacking[order[whole:]] = True
    return lacking
