"""What a file is by its first bytes: neither too greedy nor blind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.images.content import HEAD, TAR, UNKNOWN, ZIP, content_of
from tests.pictures import encode, radiograph
from tests.sources.packed import tarred, zipped

FILM = radiograph(1)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((kind, kind) for kind in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "AVIF")),
        ("WEBP", "WebP"),
        ("JPEG2000", "JPEG 2000"),
        ("PPM", "PGM"),
    ],
)
def test_what_is_written_as_an_image_is_one_also_behind_a_line_break(kind: str, name: str) -> None:
    data = encode(FILM, kind)
    assert (content_of(data[:HEAD]).name, content_of(data[:HEAD]).role) == (name, "image")
    if kind not in ("BMP", "AVIF", "WEBP"):
        assert content_of(b"\r\n" + data[:HEAD]).name == name


@pytest.mark.parametrize(
    "text",
    [
        b"P2 left knee, P5 right knee",
        b"P5 12 30 hand\n",
        b"P2 10 20 30\nP3 11 21 31\n",
        b"BMI,age\n22,31\n",
        b"BZh is a name\n",
        b"II*.jpg\n",
        b"GIF8 files\n",
        b"PK\n",
        b"RIFF,WEBP\n",
        b"name;part\n",
        "name;Körper\n".encode("utf-16"),
        b"\xef\xbb\xbfname,part\n",
        b"file: ftypavif\n",
        b"the word html, and <html> later\n",
    ],
)
def test_a_text_that_begins_like_something_else_is_a_text(text: bytes) -> None:
    assert content_of(text).name == "text"


@pytest.mark.parametrize(
    ("head", "name", "role"),
    [
        (b"P2\n# made by hand\n2 2\n255\n1 2\n3 4\n", "PGM", "image"),
        (b"P5\n2 2 255\n\1\2\3\4", "PGM", "image"),
        (b"RIFF\0\0\0\0WAVEfmt ", UNKNOWN.name, "other"),
        (b"RIFF\0\0\0\0AVI LIST", "a video", "other"),
        (b"\0\0\0\x20ftypisom", "a video", "other"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "foreign"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document", "document"),
        (b"\n\n<!doctype HTML>", "an HTML page", "document"),
        (b"<?xml version='1.0'?>\n<html>", "an HTML page", "document"),
        (b"\xef\xbb\xbf<annotation>", "an XML document", "document"),
        (zipped({"word/document.xml": b"x"})[:HEAD], "an Office document", "document"),
        (zipped({"a.jpg": b"x"})[:HEAD], ZIP.name, "archive"),
        (b"PK00" + zipped({"a.jpg": b"x"})[:HEAD], ZIP.name, "archive"),
        (tarred({"a.jpg": b"x"})[:HEAD], TAR.name, "archive"),
        (tarred({"a.jpg": b"x"})[:HEAD].replace(b"a.jpg", b"b.jpg"), UNKNOWN.name, "other"),
        (b"II*\0".ljust(128, b"\0") + b"DICM", "DICOM", "dicom"),
        (b"", "an empty file", "other"),
        (b"\x80" * HEAD, UNKNOWN.name, "other"),
    ],
)
def test_kinds_are_told_apart(head: bytes, name: str, role: str) -> None:
    assert (content_of(head).name, content_of(head).role) == (name, role)


@given(st.binary(max_size=HEAD))
def test_whatever_is_no_image_has_a_remedy(head: bytes) -> None:
    found = content_of(head)
    assert found.name and (found.remedy or found.role == "image")
