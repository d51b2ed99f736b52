"""Zips as they are: with directories that Python refuses, methods that it lacks, names in any code page."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from osteon.images.content import HEAD, UNKNOWN, ZIP, content_of
from osteon.sources.codepages import is_utf8
from osteon.sources.members import Entry, RefusedError

UTF8_NAME = 1 << 11
"""Bit of a zip's flags: the name is UTF-8 (PKWARE's APPNOTE, 4.4.4)."""
UNICODE_PATH, ZIP64 = 0x7075, 1
"""Extra fields (the same, 4.6.9 and 4.5.3)."""
SPLIT = "a part of a split zip archive: join the parts (zip -s 0), and pack them anew"
METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd"}
"""Methods of zips that Python does not unpack (the same, 4.4.5)."""


def entries(file: IO[bytes]) -> Iterator[Entry]:
    """Files of a zip, in its order. Raises `RefusedError` where nobody can list them."""
    archive = open_zip(file)
    if _is_last_part(file, archive):
        raise RefusedError(f"is {SPLIT}")
    for info in archive.infolist():
        if info.orig_filename.endswith(("/", "\\")) and not info.file_size:
            continue
        name, says_utf8 = _name(info)
        yield Entry(
            name,
            _opener(archive, info),
            size=info.file_size,
            mark=(info.file_size, info.CRC),
            packed=info.compress_size,
            refused=_refused(info),
            hostile="link" if stat.S_ISLNK(info.external_attr >> 16) else None,
            says_utf8=says_utf8,
        )


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "encrypted: unpack it with its password, and pack it anew"
    if info.compress_type in METHODS:
        return f"packed with {METHODS[info.compress_type]}: pack it anew, with Deflate"
    return None


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """The zip in a file, also where its directory has names or extra fields that Python refuses."""
    try:
        return zipfile.ZipFile(file)
    except Exception as first:  # over damaged bytes, zipfile raises whatever comes
        mended: Any = _Mended(file)
        try:
            archive = zipfile.ZipFile(mended)
        except Exception:
            raise RefusedError(_why_no_zip(file, first)) from first
        mended.reads_directory = False
        return archive


def _why_no_zip(file: IO[bytes], error: Exception) -> str:
    file.seek(0)
    content = content_of(file.read(HEAD))
    if "multiple disks" in str(error):
        return f"is {SPLIT}"
    if content in (ZIP, UNKNOWN) and "not a zip file" in str(error):
        return "is no readable zip: its end is missing, where the list of its files stands: fetch it again"
    return f"is no readable zip ({error}): fetch it again, or pack it anew"


def _is_last_part(file: IO[bytes], archive: zipfile.ZipFile) -> bool:
    """Whether a zip is the last one of several parts: its end names another disk than the first (APPNOTE, 4.3.16)."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - 22 - len(archive.comment)))
    end = file.read(6)
    return end[:4] == b"PK\5\6" and end[4:] not in (b"\0\0", b"\xff\xff")


class _Mended(io.RawIOBase):
    """A zip whose directory is mended as it is read: each entry that would make the others unreadable.

    Names that claim to be UTF-8 and are not become names that claim nothing. Extra fields of wrong lengths become
    empty ones, and versions that are not known become 2.0.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.reads_directory = True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        return _mend(bytearray(data)) if self.reads_directory and data.startswith(b"PK\1\2") else data


def _mend(directory: bytearray) -> bytes:
    at = 0
    while directory[at : at + 4] == b"PK\1\2" and at + 46 <= len(directory):
        flags, (name, extra, comment) = directory[at + 9], struct.unpack_from("<3H", directory, at + 28)
        text = at + 46
        if flags << 8 & UTF8_NAME and not is_utf8(bytes(directory[text : text + name])):
            directory[at + 9] = flags & ~(UTF8_NAME >> 8)
        if directory[at + 6] > zipfile.MAX_EXTRACT_VERSION:
            directory[at + 6] = zipfile.DEFAULT_VERSION
        fields = bytes(directory[text + name : text + name + extra])
        sizes = struct.unpack_from("<2L", directory, at + 20) + struct.unpack_from("<L", directory, at + 42)
        if not _has_whole_fields(fields, 8 * sizes.count(0xFFFFFFFF)):
            directory[text + name : text + name + extra] = bytes(len(fields))
        at = text + name + extra + comment
    return bytes(directory)


def _has_whole_fields(extra: bytes, sizes: int) -> bool:
    """Whether each extra field fits into the rest, and that of large sizes holds as many bytes as it has to."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if length + 4 > len(extra) or (kind == ZIP64 and length < sizes):
            return False
        extra = extra[length + 4 :]
    return True


def _name(info: zipfile.ZipInfo) -> tuple[bytes, bool]:
    """A file's name, and whether it is said to be UTF-8: by a flag, or by an extra field that holds it (0x7075)."""
    if info.flag_bits & UTF8_NAME:
        return info.orig_filename.encode("utf-8"), True
    name, extra = info.orig_filename.encode("cp437"), info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        body = extra[4 : 4 + length]
        if kind == UNICODE_PATH and body[1:5] == struct.pack("<I", zlib.crc32(name)):
            return body[5:], True
        extra = extra[4 + length :]
    return name, False


def _opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)
