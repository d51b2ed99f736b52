"""Tone curves: how a file wants its stored values shown. They travel with the pixels, in a text chunk of their PNG."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = "Osteon-Tone"
"""Keyword of the text chunk (ISO/IEC 15948, 11.3.4)."""
SIGNATURE, KEYWORD = b"\x89PNG\r\n\x1a\n", CHUNK.encode() + b"\0\0"
"""How a PNG begins, and its text chunk: keyword, its end, and the method of compression."""
MOST_TEXT = 1 << 18
"""Bytes of the text, unpacked."""
MOST_POINTS = 1024
"""Points of a curve. Between two of them it is straight, so a window needs two."""


@dataclass(frozen=True)
class Tone:
    """A curve from stored values to brightness: straight between its points, and level beyond them."""

    values: tuple[float, ...]
    """Stored values, ascending."""
    brightness: tuple[float, ...]
    """0 is black, 1 is white; one for each of `values`."""

    def apply(self, stored: NDArray[np.floating[Any] | np.integer[Any]]) -> NDArray[np.float32]:
        """Brightness, 0 to 1, of stored values of any shape."""
        return np.asarray(np.interp(stored, self.values, self.brightness), np.float32)

    @property
    def text(self) -> str:
        """What the chunk holds."""
        return json.dumps([self.values, self.brightness])


def tone_of(data: bytes) -> Tone | None:
    """The curve that a file brings.

    Args:
        data: The file. Its chunks are read here, as decoders pass over texts.

    Returns:
        The curve; None where there is none, or where the chunk is damaged or not of Osteon's form.
    """
    try:
        values, brightness = (tuple(map(float, axis)) for axis in json.loads(_text(data)))
    except (ValueError, TypeError, OverflowError, RecursionError, zlib.error):
        return None
    whole = np.isfinite([*values, *brightness]).all() and 2 <= len(values) == len(brightness) <= MOST_POINTS
    rising = whole and bool((np.diff(values) > 0).all())
    return Tone(values, brightness) if rising and min(brightness) >= 0 and max(brightness) <= 1 else None


def _text(data: bytes) -> bytes:
    """What the chunk of a PNG holds that stands before its pixels; empty without one."""
    at = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while at + 12 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        end = at + 8 + int.from_bytes(data[at : at + 4])
        name, text, checksum = data[at + 4 : at + 8], data[at + 8 : end], int.from_bytes(data[end : end + 4])
        if name == b"zTXt" and text.startswith(KEYWORD) and zlib.crc32(name + text) == checksum:
            return zlib.decompressobj().decompress(text[len(KEYWORD) :], MOST_TEXT)
        at = end + 4
    return b""
