"""Image files of each format, made of one film, and ways to damage them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.sources.phantom import PARTS, draw

Pixels = NDArray[np.uint8]


def drawn(seed: int, size: tuple[int, int] = (320, 400)) -> Pixels:
    """A film (height, width) with a little noise; `size` is (width, height)."""
    rng = np.random.default_rng(seed)
    film = draw(sorted(PARTS)[seed % len(PARTS)], False, size, rng)
    return np.clip(film + rng.normal(0, 3, film.shape) + 20, 0, 255).astype(np.uint8)


def packed(picture: Pixels | Image.Image, kind: str, **options: object) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, checksum: bytes | None = None) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + (checksum or struct.pack(">I", zlib.crc32(kind + body)))


def interlaced(picture: Pixels, piece: int = 4096) -> bytes:
    """An 8-bit grey PNG in the seven passes of Adam7, in chunks of `piece` bytes."""
    height, width = picture.shape
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    lines = [line for top, left, down, across in passes for line in picture[top::down, left::across]]
    body = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    data = [chunk(b"IDAT", body[at : at + piece]) for at in range(0, len(body), piece)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(data) + chunk(b"IEND", b"")


FORMATS: dict[str, Callable[[Pixels], bytes]] = {
    "JPEG baseline": lambda film: packed(film, "JPEG", quality=85),
    "JPEG colour": lambda film: packed(np.stack([film] * 3, -1), "JPEG", quality=80),
    "JPEG progressive": lambda film: packed(film, "JPEG", quality=85, progressive=True),
    "JPEG restarts": lambda film: packed(film, "JPEG", quality=85, restart_marker_rows=4),
    "PNG": lambda film: packed(film, "PNG"),
    "PNG interlaced": interlaced,
    "TIFF raw": lambda film: packed(film, "TIFF"),
    "TIFF LZW": lambda film: packed(film, "TIFF", compression="tiff_lzw"),
    "TIFF Deflate": lambda film: packed(film, "TIFF", compression="tiff_adobe_deflate"),
    "BMP": lambda film: packed(film, "BMP"),
    "GIF": lambda film: packed(film, "GIF"),
    "WebP": lambda film: packed(film, "WEBP", quality=85),
    "JPEG 2000": lambda film: packed(film, "JPEG2000", quality_mode="rates", quality_layers=[12]),
}
"""What writes a film in each format."""
SUMMED = ("PNG", "PNG interlaced")
"""Formats whose pixels have checksums."""


def truncated(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at]


def zeroed(data: bytes, at: int, rng: np.random.Generator, run: int = 64) -> bytes:
    return data[:at] + bytes(min(run, len(data) - at)) + data[at + run :]


def overwritten(data: bytes, at: int, rng: np.random.Generator, run: int = 64) -> bytes:
    return data[:at] + rng.bytes(min(run, len(data) - at)) + data[at + run :]


def cut_out(data: bytes, at: int, rng: np.random.Generator, run: int = 64) -> bytes:
    return data[:at] + data[at + run :]


def repeated(data: bytes, at: int, rng: np.random.Generator, run: int = 64) -> bytes:
    return data[: at + run] + data[at:]


def flipped(data: bytes, at: int, rng: np.random.Generator) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes, int, np.random.Generator], bytes]] = {
    "cut off": truncated,
    "64 zeroed": zeroed,
    "64 overwritten": overwritten,
    "64 cut out": cut_out,
    "64 repeated": repeated,
    "a bit flipped": flipped,
}
"""By name what takes a file, a place and a generator."""
