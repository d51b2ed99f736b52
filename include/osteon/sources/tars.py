"""Tars as they are: compressed, with damaged headers, and with headers that are made to hurt."""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from bz2 import BZ2File
from collections.abc import Callable, Iterator
from gzip import GzipFile
from typing import IO, Any

from osteon.images.content import BZIP2, GZIP, XZ, Content
from osteon.sources.codepages import is_utf8
from osteon.sources.members import CHUNK, Entry, RefusedError

XZ_MEMORY = 256 << 20
"""Bytes that the decoder of an xz stream may take."""
TAR_HEADER, TAR_DIGITS = 1 << 20, 4096
"""Bytes that an extended header of a tar may have, and digits in a row: Python's parser takes their square as time."""


def entries(file: IO[bytes]) -> Iterator[Entry]:
    """Files of a tar, in its order, and places where a header is damaged. Raises `RefusedError` for a damaged tar."""
    archive = _open_tar(file)
    for info in _headers(archive):
        if not info.isdir():
            name = info.name.encode("utf-8", "surrogateescape")
            yield Entry(
                name,
                _opener(archive, info),
                size=info.size,
                refused="stored with holes: pack it anew, without --sparse" if info.issparse() else None,
                hostile=_hostile(info),
                says_utf8=is_utf8(name),
            )
    for place in archive.damaged:
        reason = "its header in the tar is damaged, so its name is lost: fetch the tar anew"
        yield Entry(f"file at byte {place}".encode(), io.BytesIO, refused=reason, may_be_image=True)
    if not archive.has_end:
        reason = "the tar has no end, so files may be missing: fetch it again"
        yield Entry(f"file at byte {archive.offset}".encode(), io.BytesIO, refused=reason, may_be_image=True)


def _hostile(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "link"
    return "device" if info.ischr() or info.isblk() or info.isfifo() else None


class _Bounded(io.RawIOBase):
    """A tar of which no header, whatever it says, makes anybody read much at once, or parse for hours."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.reads_headers = True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        if not self.reads_headers:
            return self.file.read(size)
        if not 0 <= size <= TAR_HEADER:
            raise tarfile.ReadError("a header is larger than any should be")
        data = self.file.read(size)
        if size > TAR_DIGITS and max(map(len, re.findall(rb"\d+", data)), default=0) > TAR_DIGITS:
            raise tarfile.ReadError("a header holds a number of thousands of digits")
        return data


class _Header(tarfile.TarInfo):
    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Any:
        try:
            return super().fromtarfile(tarfile)
        except InvalidHeaderError:
            tarfile.lose(tarfile.offset)
            raise
        except EOFHeaderError:
            tarfile.has_end = True
            raise


InvalidHeaderError = tarfile.InvalidHeaderError  # type: ignore[attr-defined] # public, but typeshed lacks both
EOFHeaderError = tarfile.EOFHeaderError  # type: ignore[attr-defined]


class _Tar(tarfile.TarFile):
    """A tar that is read on behind a damaged header, and remembers where that was."""

    def __init__(self, file: _Bounded) -> None:
        self.damaged: list[int] = []
        """Where the blocks begin that are neither a header nor a file's."""
        self.has_end = False
        """Whether a block of zeros stands where a header might: the mark of the end."""
        self._lost = -1
        self.bounded: Any = file
        encoding: Any = {"encoding": "utf-8", "errors": "surrogateescape"}
        super().__init__(fileobj=self.bounded, tarinfo=_Header, ignore_zeros=True, **encoding)

    def forget(self) -> None:
        """Forget the headers that were read: it would keep all."""
        self.members: list[tarfile.TarInfo] = []

    def lose(self, offset: int) -> None:
        """Remember a block that is no header; those that follow it are the same loss."""
        if offset != self._lost + tarfile.BLOCKSIZE:
            self.damaged.append(offset)
        self._lost = offset


def _open_tar(file: IO[bytes]) -> _Tar:
    try:
        return _Tar(_Bounded(file))
    except Exception as error:  # over damaged headers, tarfile raises whatever comes
        raise _damaged_tar(error) from error


def _damaged_tar(error: Exception) -> RefusedError:
    return RefusedError(f"is a damaged tar ({error}): fetch it again")


def _headers(archive: _Tar) -> Iterator[tarfile.TarInfo]:
    before = -1
    while True:
        try:
            info = archive.next()
        except Exception as error:  # the same
            raise _damaged_tar(error) from error
        if info is None:
            break
        if archive.offset <= before or info.size < 0:
            raise RefusedError("is a damaged tar, whose headers lead back: fetch it again")
        before = archive.offset
        archive.forget()
        yield info
    archive.bounded.reads_headers = False


def _opener(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        stream = archive.extractfile(info)
        if stream is None:
            raise RefusedError("neither a file nor a folder")
        return stream

    return opened


def decompressed(file: IO[bytes], content: Content) -> IO[bytes]:
    """A stream of what a gzip, bzip2 or xz file holds, from its start. Closing it leaves the file open."""
    file.seek(0)
    if content == GZIP:
        return GzipFile(fileobj=file)  # type: ignore[return-value]
    if content == BZIP2:
        return BZ2File(file)
    assert content == XZ
    return io.BufferedReader(_Xz(file))


class _Xz(io.RawIOBase):
    """What an xz file holds, decoded in bounded memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.rest = file, b""
        self.decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._has_more():
            data = self.decoder.decompress(self.rest, len(buffer))
            self.rest = b""
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0

    def _has_more(self) -> bool:
        """Give the decoder what it needs, a new one where another stream begins. False at the end."""
        if self.decoder.eof:
            self.rest = self.decoder.unused_data.lstrip(b"\0") or self.file.read(CHUNK).lstrip(b"\0")
            if self.rest:
                self.decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY)
            return bool(self.rest)
        if self.decoder.needs_input and not self.rest:
            self.rest = self.file.read(CHUNK)
            if not self.rest:
                raise EOFError("it ends too early")
        return True
