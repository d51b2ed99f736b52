"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD = 512
"""Bytes of a file that `content_of` looks at."""
Role = Literal["image", "dicom", "archive", "document", "other"]


@dataclass(frozen=True)
class Content:
    """A kind of file."""

    name: str
    """As people call it: `JPEG`, `a zip archive`, `an HTML page`."""
    role: Role
    """`image`: Osteon decodes it. `document`: a page, a table or a text. `other`: nothing that Osteon reads."""
    remedy: str = ""
    """What to do with such a file where an image is expected; empty for what Osteon reads."""


_DICOM = Content("DICOM", "dicom")
UNKNOWN = Content("of no known format", "other", "look at it, and remove or convert it")
_SIGNATURES: tuple[tuple[int, bytes, Content], ...] = (
    (128, b"DICM", _DICOM),  # first, as the bytes before may be those of a TIFF as well (PS3.10, 7.1)
    (0, b"\xff\xd8\xff", Content("JPEG", "image")),
    (0, b"\x89PNG\r\n\x1a\n", Content("PNG", "image")),
    (0, b"II*\0", Content("TIFF", "image")),
    (0, b"MM\0*", Content("TIFF", "image")),
    (0, b"II+\0", Content("BigTIFF", "image")),
    (0, b"MM\0+", Content("BigTIFF", "image")),
    (0, b"GIF8", Content("GIF", "image")),
    (8, b"WEBP", Content("WebP", "image")),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Content("JPEG 2000", "image")),
    (0, b"\xff\x4f\xff\x51", Content("JPEG 2000", "image")),
    (4, b"ftypavif", Content("AVIF", "image")),
    (4, b"ftypavis", Content("AVIF", "image")),
    (4, b"ftyphei", Content("HEIC", "other", "convert it to PNG")),
    (4, b"ftyphev", Content("HEIC", "other", "convert it to PNG")),
    (4, b"ftypmif1", Content("HEIF", "other", "convert it to PNG")),
    (4, b"ftyp", Content("a video", "other", "export single films")),
    (0, b"P2", Content("PGM", "image")),
    (0, b"P5", Content("PGM", "image")),
    (0, b"PK\x03\x04", Content("a zip archive", "archive", "unpack it")),
    (0, b"PK\x05\x06", Content("an empty zip archive", "archive", "fetch it again")),
    (0, b"PK\x07\x08", Content("a part of a split zip archive", "archive", "join the parts and pack them anew")),
    (0, b"\x1f\x8b", Content("a gzip archive (tar.gz)", "archive", "unpack it")),
    (0, b"BZh", Content("a bzip2 archive (tar.bz2)", "archive", "unpack it")),
    (0, b"\xfd7zXZ\0", Content("an xz archive (tar.xz)", "archive", "unpack it")),
    (0, b"\x28\xb5\x2f\xfd", Content("a zstd archive", "archive", "unpack it")),
    (257, b"ustar", Content("a tar archive", "archive", "unpack it")),
    (0, b"7z\xbc\xaf\x27\x1c", Content("a 7z archive", "archive", "unpack it, and pack it as a zip")),
    (0, b"Rar!\x1a\x07", Content("a rar archive", "archive", "unpack it, and pack it as a zip")),
    (0, b"%PDF-", Content("a PDF document", "document", "export its pictures")),
    (0, b"%!PS", Content("PostScript", "other", "convert it to PNG")),
    (0, b"\xc5\xd0\xd3\xc6", Content("PostScript", "other", "convert it to PNG")),
    (0, b"\0\x05\x16\x07", Content("a macOS companion (AppleDouble)", "other", "remove it")),
    (0, b"\0\0\0\1Bud1", Content("a macOS companion (.DS_Store)", "other", "remove it")),
    (0, b"\x93NUMPY", Content("a NumPy array", "other", "convert it to PNG")),
    (0, b"\x89HDF\r\n\x1a\n", Content("an HDF5 file", "other", "convert its arrays to PNG")),
    (344, b"n+1\0", Content("NIfTI", "other", "convert it to PNG")),
    (0, b"NRRD", Content("NRRD", "other", "convert it to PNG")),
    (0, b"8BPS", Content("a Photoshop document", "other", "convert it to PNG")),
    (0, b"SQLite format 3\0", Content("an SQLite database", "other", "remove it")),
    (0, b"version https://git-lfs", Content("a Git LFS pointer", "document", "fetch the file that it stands for")),
)
_PAGE = Content("an HTML page", "document", "did the link want a log-in? Fetch the file anew")
_XML = Content("an XML document", "document", "leave it out by `images`")
_TEXT = Content("text", "document", "leave it out by `images`")
_EMPTY = Content("an empty file", "other", "fetch it again")
_BMP = Content("BMP", "image")
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")
_FIRST_VRS = (b"UL", b"OB", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM")


def content_of(head: bytes) -> Content:
    """What a file is.

    Args:
        head: Its first HEAD bytes, or all of a shorter file. A stray line break before a signature is passed over.

    Returns:
        Its kind; UNKNOWN for bytes of no known kind.
    """
    if not head:
        return _EMPTY
    body = head.lstrip(b"\r\n\t ")
    for offset, signature, content in _SIGNATURES:
        start = head if offset else body
        if start[offset : offset + len(signature)] == signature:
            return content
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return _BMP
    if _is_bare_dicom(head):
        return _DICOM
    return _document(body.removeprefix(b"\xef\xbb\xbf").lower()) or UNKNOWN


def _is_bare_dicom(head: bytes) -> bool:
    """Whether a file begins with DICOM's first elements, as one does that lacks the preamble.

    Elements of group 2 or 8 come first. Their value representation has two letters, or else a short length follows.
    """
    if head[:2] not in _FIRST_GROUPS:
        return False
    implicit = head[1:2] == b"\0" and head[3:4] == b"\0" and int.from_bytes(head[4:8], "little") in range(2, 66, 2)
    return head[4:6] in _FIRST_VRS or (implicit and len(head) > 8)


def _document(text: bytes) -> Content | None:
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        return _PAGE
    if text.startswith(b"<"):
        return _XML
    words = text.decode("utf-8", errors="ignore")  # the last letter may be cut
    is_text = all(letter.isprintable() or letter in "\r\n\t" for letter in words) and len(words) > len(text) / 4
    return _TEXT if is_text else None
