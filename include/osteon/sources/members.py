"""A file of a source, however it is packed: how it is read within limits, and why it is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import IO

from osteon.images.content import HEAD, UNKNOWN, Content, content_of

CHUNK = 1 << 20
RATIO_FROM = 1 << 20
"""Bytes from which on a file's compression ratio is judged; small flat files compress extremely well."""
BOMB = "compressed beyond OSTEON_MAX_COMPRESSION_RATIO: a bomb"


class RefusedError(Exception):
    """A file cannot be read. The message is the reason that its row in the manifest gets."""


@dataclass(eq=False)
class Entry:
    """A file as its folder or its archive lists it."""

    name: bytes
    """Its path there, as it stands there."""
    open: Callable[[], IO[bytes]]
    size: int = 0
    """Bytes that an archive says it has."""
    mark: object = None
    """Equal for the same bytes, different for others; None where only the bytes tell."""
    packed: int | None = None
    """Bytes that it takes in its archive, where it is compressed."""
    refused: str | None = None
    """Why it cannot be read, where that is known from the start."""
    hostile: str | None = None
    """What it is, where no honest archive of images has such: a link, a device."""
    says_utf8: bool = False
    may_be_image: bool = False
    """Whether images may be lost with it, whatever its name is."""

    @property
    def is_utf8(self) -> bool:
        """Whether the name is UTF-8: it says so, or is ASCII."""
        return self.says_utf8 or self.name.isascii()

    def head(self) -> bytes:
        """The first HEAD bytes, or all of a shorter file. Raises `RefusedError`."""
        return b"".join(self._chunks(HEAD))

    def read(self, limit: int, ratio: float) -> bytes:
        """All bytes.

        Args:
            limit: The most that it may hold.
            ratio: Its bytes for each packed byte, from RATIO_FROM on.

        Raises:
            RefusedError: It cannot be read, or is above the limits.
        """
        return b"".join(self.chunks(limit, "OSTEON_MAX_FILE_BYTES", ratio))

    def chunks(self, limit: int, setting: str, ratio: float) -> Iterator[bytes]:
        """The bytes as they come; no header is believed.

        Args:
            limit: The most that it may hold.
            setting: What the limit comes from.
            ratio: Its bytes for each packed byte, from RATIO_FROM on.

        Raises:
            RefusedError: It cannot be read, or is above the limits.
        """
        count = 0
        for chunk in self._chunks(sys.maxsize):
            count += len(chunk)
            if count > limit:
                raise RefusedError(f"larger than {limit} bytes ({setting})")
            if self.packed is not None and count >= RATIO_FROM and count > ratio * max(1, self.packed):
                raise RefusedError("compressed beyond OSTEON_MAX_COMPRESSION_RATIO: a bomb")
            yield chunk

    def _chunks(self, most: int) -> Iterator[bytes]:
        if self.refused:
            raise RefusedError(self.refused)
        try:
            with self.open() as stream:
                while chunk := stream.read(min(most, CHUNK)):
                    most -= len(chunk)
                    yield chunk
        except (RefusedError, MemoryError):
            raise
        except UnicodeDecodeError:
            raise RefusedError("cannot be unpacked: its name is said to be UTF-8 and is not: pack it anew") from None
        except Exception as error:  # over damaged bytes, Python's unpackers raise whatever comes
            told = error.strerror if isinstance(error, OSError) else str(error)
            raise RefusedError(f"cannot be unpacked: {told or type(error).__name__}: fetch or pack it anew") from error


@dataclass(eq=False)
class Member:
    """A file of a source."""

    path: str
    """In the source; of a file in an inner archive, the archive's path stands before it."""
    entry: Entry
    entered: bool = False
    """Whether it is an archive whose files are listed by themselves."""

    @cached_property
    def content(self) -> Content:
        """What it is; UNKNOWN where it cannot be read."""
        try:
            return content_of(self.entry.head())
        except RefusedError:
            return UNKNOWN
