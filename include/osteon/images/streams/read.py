"""From the bytes of a file to its first picture, and to what its stream lacks."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from osteon.images.content import HEAD, content_of
from osteon.images.errors import UndecodableError
from osteon.images.streams.base import Stream
from osteon.images.streams.boxes import read_avif, read_jpeg2000, read_webp
from osteon.images.streams.gif import read_gif
from osteon.images.streams.jpeg import read_jpeg
from osteon.images.streams.plain import read_bmp, read_pnm
from osteon.images.streams.png import read_png
from osteon.images.streams.tiff import read_tiff

READERS: dict[str, Callable[[bytes, int], Stream]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "TIFF": read_tiff,
    "BigTIFF": read_tiff,
    "BMP": read_bmp,
    "GIF": read_gif,
    "WebP": read_webp,
    "JPEG 2000": read_jpeg2000,
    "AVIF": read_avif,
    "PGM": read_pnm,
}
"""By the name that `content_of` gives a format."""
THUMBNAIL = 0.5
"""A further picture of at most this share of the first one's pixels is a preview of it."""


def reader_of(data: bytes) -> tuple[Callable[[bytes, int], Stream], bytes, tuple[str, ...]]:
    """How a file is decoded.

    Args:
        data: The file.

    Returns:
        What decodes it, its bytes without a stray line break before them, and a remark where there was one.

    Raises:
        UndecodableError: It is of no format that is decoded. The message names what it is, and the remedy.
    """
    content = content_of(data[:HEAD])
    if (reader := READERS.get(content.name)) is None:
        remedy = f": {content.remedy}" if content.remedy else ""
        raise UndecodableError(f"not an image but {content.name}{remedy}")
    if content.name in ("WebP", "AVIF"):
        return reader, data, ()
    bare = data.lstrip(b"\r\n\t ")
    return reader, bare, () if len(bare) == len(data) else ("it begins with a line break",)


def other_pictures(image: Image.Image) -> tuple[int, int]:
    """Pictures beside the first: previews of it, and others.

    Args:
        image: Opened and not decoded. It stands at the first picture afterwards.
    """
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format not in ("MPO", "TIFF"):
        return 0, count - 1
    most = image.width * image.height * THUMBNAIL
    previews = 0
    for number in range(1, count):
        image.seek(number)
        previews += image.width * image.height <= most
    image.seek(0)
    return previews, count - 1 - previews
