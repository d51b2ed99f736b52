"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import Literal

HEAD = 512
"""Bytes of a file that `content_of` looks at."""
Role = Literal["image", "dicom", "foreign", "archive", "document", "other"]


@dataclass(frozen=True)
class Content:
    """A kind of file."""

    name: str
    """As people call it: `JPEG`, `a zip archive`, `an HTML page`."""
    role: Role
    """`image`: Osteon decodes it. `foreign`: an image or a volume that Osteon does not decode. `document`: a page, a
    table or a text. `other`: nothing that Osteon reads."""
    remedy: str = ""
    """What to do with such a file where an image is expected; empty for what Osteon reads."""


UNKNOWN = Content("of no known format", "other", "look at it, and remove or convert it")
CONVERT = "convert it to PNG"
REPACK = "unpack it, and pack it as a zip"
ZIP, GZIP = Content("a zip archive", "archive", "unpack it"), Content("a gzip file (tar.gz)", "archive", "unpack it")
BZIP2, XZ = (Content(f"{name} file ({end})", "archive", "unpack it") for name, end in
             (("a bzip2", "tar.bz2"), ("an xz", "tar.xz")))  # fmt: skip
TAR = Content("a tar archive", "archive", "unpack it")
READABLE_ARCHIVES = (ZIP, GZIP, BZIP2, XZ, TAR)
"""Those that a source may be, and that it may hold. A compressed file is one where it holds a tar."""
_OFFICE = Content("an Office document", "document", "export its pictures")
_IN_OFFICE = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"word/", b"ppt/", b"mimetype")
"""What the first member of a zip is called where the zip is a document (ECMA-376, OASIS ODF 1.3)."""
_PATTERNS: tuple[tuple[re.Pattern[bytes], Content], ...] = tuple(
    (re.compile(pattern, re.DOTALL), content)
    for pattern, content in (
        (rb".{128}DICM", Content("DICOM", "dicom", CONVERT)),  # first: the bytes before may be a TIFF's (PS3.10, 7.1)
        (rb"\xff\xd8\xff", Content("JPEG", "image")),
        (rb"\x89PNG\r\n\x1a\n", Content("PNG", "image")),
        (rb"II\*\0|MM\0\*", Content("TIFF", "image")),
        (rb"II\+\0|MM\0\+", Content("BigTIFF", "image")),
        (rb"GIF8[79]a", Content("GIF", "image")),
        (rb"RIFF.{4}WEBP", Content("WebP", "image")),
        (rb"BM.{4}\0\0\0\0", Content("BMP", "image")),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", Content("JPEG 2000", "image")),
        (rb".{4}ftypavi[fs]", Content("AVIF", "image")),
        (rb"P5\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+\d+\s", Content("PGM", "image")),
        (rb"P2\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+\d+\s[\d\s]*\Z", Content("PGM", "image")),
        (rb"P6\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+\d+\s", Content("PPM", "image")),
        (rb".{4}ftyp(?:hei|hev|mif1|msf1)", Content("HEIC", "foreign", CONVERT)),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", Content("JPEG XL", "foreign", CONVERT)),
        (rb"\0\0[\0\x01].ftyp|RIFF.{4}AVI |\x1aE\xdf\xa3", Content("a video", "other", "export single films")),
        (rb"%!PS|\xc5\xd0\xd3\xc6", Content("PostScript", "foreign", CONVERT)),
        (rb"8BPS\0[\x01\x02]", Content("a Photoshop document", "foreign", CONVERT)),
        (rb"\x93NUMPY", Content("a NumPy array", "foreign", CONVERT)),
        (rb"\x89HDF\r\n\x1a\n", Content("an HDF5 file", "foreign", "convert its arrays to PNG")),
        (rb".{344}(?:n\+1|ni1)\0", Content("NIfTI", "foreign", CONVERT)),
        (rb"NRRD000", Content("NRRD", "foreign", CONVERT)),
        (rb"MATLAB 5\.0 MAT-file", Content("a MATLAB file", "foreign", "convert its arrays to PNG")),
        (rb"PK\x05\x06", Content("an empty zip archive", "archive", "fetch it again")),
        (rb"PK\x07\x08", Content("a part of a split zip archive", "archive",
                                                "join the parts (zip -s 0), and pack them anew")),
        (rb"(?:PK00)?PK\x03\x04", ZIP),
        (rb"\x1f\x8b\x08", GZIP),
        (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", BZIP2),
        (rb"\xfd7zXZ\0", XZ),
        (rb"\x28\xb5\x2f\xfd", Content("a zstd archive", "archive", REPACK)),
        (rb"7z\xbc\xaf\x27\x1c", Content("a 7z archive", "archive", REPACK)),
        (rb"Rar!\x1a\x07", Content("a rar archive", "archive", REPACK)),
        (rb"%PDF-", Content("a PDF document", "document", "export its pictures")),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
        (rb"\0\x05\x16\x07", Content("a macOS companion (AppleDouble)", "other", "remove it")),
        (rb"\0\0\0\x01Bud1", Content("a macOS companion (.DS_Store)", "other", "remove it")),
        (rb"SQLite format 3\0", Content("an SQLite database", "other", "remove it")),
        (rb"PAR1", Content("a Parquet table", "document", "write it as CSV")),
        (rb"version https://git-lfs", Content("a Git LFS pointer", "document", "fetch the file that it stands for")),
    )
)  # fmt: skip
HTML_PAGE = Content("an HTML page", "document", "did the link want a log-in? Fetch the file anew")
_XML = Content("an XML document", "document", "leave it out by `images`")
_TEXT = Content("text", "document", "leave it out by `images`")
_EMPTY = Content("an empty file", "other", "fetch it again")
_HTML = re.compile(rb"(?:<\?xml[^>]*>|<!--.*?-->|\s)*<(?:!doctype html|html|head|body|script)\b", re.DOTALL)
_TEXT_START = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))


def content_of(head: bytes) -> Content:
    """What a file is.

    Args:
        head: Its first HEAD bytes, or all of a shorter file. Stray white space before a signature is passed over.

    Returns:
        Its kind; UNKNOWN for bytes of no known kind.
    """
    if not head:
        return _EMPTY
    for start in dict.fromkeys((head, head.lstrip(b"\r\n\t "))):
        for pattern, content in _PATTERNS:
            if pattern.match(start):
                return _packed(start) if content is ZIP else content
    if _is_tar(head):
        return TAR
    return _document(head) or UNKNOWN


def _packed(head: bytes) -> Content:
    """What a zip is by the name of its first member: an archive, a document of Office, arrays of NumPy."""
    head = head.removeprefix(b"PK00")  # of a split archive that is one part only
    first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if first.startswith(_IN_OFFICE):
        return _OFFICE
    if first.endswith(b".npy"):
        return Content("a NumPy archive (npz)", "foreign", "convert its arrays to PNG")
    return ZIP


def _is_tar(head: bytes) -> bool:
    """Whether the first block is a tar's header, which holds a checksum (POSIX.1, pax)."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _document(head: bytes) -> Content | None:
    encoding = next((name for mark, name in _TEXT_START if head.startswith(mark)), "utf-8")
    words = head.decode(encoding, errors="ignore").removeprefix("\ufeff")  # the last letter may be cut
    text = words.lower().encode()
    if _HTML.match(text):
        return HTML_PAGE
    if text.lstrip().startswith(b"<"):
        return _XML
    is_text = all(letter.isprintable() or letter in "\r\n\t" for letter in words) and len(words) > len(head) / 4
    return _TEXT if is_text else None
