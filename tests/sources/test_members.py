"""Which files of a source are its images: their bytes say so, and their names only propose it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osteon.errors import SourceError
from osteon.sources.base import COMPANION, HIDDEN, OUTSIDE
from tests.pictures import encode, radiograph
from tests.sources.packed import STATE, films, laid, read, tarred, zipped

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        \0\2" + bytes(58)
FILM = Image.fromarray(radiograph(1))


def test_twins_of_macos_and_what_programs_leave_are_no_images(tmp_path: Path) -> None:
    members = films("set/fractured/a.jpg", "set/normal/b.jpg")
    twins = {
        f"__MACOSX/set/{state}/._{name}.jpg": APPLE_DOUBLE for state, name in (("fractured", "a"), ("normal", "b"))
    }
    left = {
        "set/.DS_Store": b"\0\0\0\1Bud1",
        "set/Thumbs.db": b"x",
        "set/normal/desktop.ini": b"x",
        "._c.png": APPLE_DOUBLE,
    }
    found = read(zipped(members | twins | left), tmp_path, STATE)
    assert found.taken == members and set(found.reasons.values()) == {HIDDEN}
    assert found.notes == [], "there is no image among them"


def test_copies_in_hidden_folders_are_passed_over_and_counted(tmp_path: Path) -> None:
    members = films("fractured/a.jpg", "normal/b.jpg")
    copies = {f"fractured/.ipynb_checkpoints/a{n}-checkpoint.jpg": members["fractured/a.jpg"] for n in range(2)}
    found = read(
        laid(tmp_path / "set", members | copies | {"@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg": b"\xff\xd8\xff"}),
        tmp_path,
        STATE,
    )
    assert found.taken == members
    (note,) = found.notes
    assert (note.kind, note.count) == ("passed_over", 3) and "move it if it is a film" in note.text


def test_an_image_under_an_odd_name_is_an_image_and_a_note_says_so(tmp_path: Path) -> None:
    film = radiograph(3)
    odd = {
        "IM0000": encode(film),
        "x.jpg ": encode(film, "PNG"),
        "x.jpg_large": encode(film, "TIFF"),
        "x.data": encode(FILM, "BMP"),
        "x.bin": encode(FILM.convert("P"), "GIF"),
        "x.img": encode(film, "WEBP"),
        "deep/x.txt": encode(film, "JPEG2000"),
        "x.heif": encode(film, "AVIF"),
        "x.pnm": encode(film, "PPM"),
    }
    plain = films("a.jpg") | {
        "x.pgm": encode(film, "PPM"),
        "x.avif": encode(film, "AVIF"),
        "x.j2k": encode(film, "JPEG2000"),
    }
    found = read(zipped(plain | odd), tmp_path)
    assert found.taken == plain | odd
    assert set(found.told("guess")) == set(odd)
    assert all("taken as an image, leave it out by `images`" in text for text in found.told("guess").values())


def test_what_the_pattern_leaves_out_stays_out_whatever_its_bytes_are(tmp_path: Path) -> None:
    masks = films("masks/a.png", "masks/a") | {"masks/note.txt": b"text"}
    found = read(zipped(films("images/a.jpg") | masks), tmp_path, images="images/*")
    assert list(found.taken) == ["images/a.jpg"] and found.notes == []
    assert found.reasons == {"masks/a.png": OUTSIDE, "masks/a": OUTSIDE, "masks/note.txt": COMPANION}
    assert found.files["masks/note.txt"].content == "text"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page, no image: did the link want a log-in"),
        (b"  <!-- x -->\n<HTML lang='de'>", "an HTML page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript, no image: convert it to PNG"),
        (b"%PDF-1.4\n", "a PDF document"),
        (zipped({"a": b"x"}), "a zip archive, no image: unpack it"),
        (tarred({"a": b"x"}), "a tar archive, no image"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC, no image: convert it to PNG"),
        (b"\x93NUMPY\1\0", "a NumPy array, no image: convert it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, no image: fetch the file"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document, no image"),
        (b"404: not found", "text, no image"),
        (APPLE_DOUBLE, "a macOS companion"),
        (b"", "empty file"),
    ],
)
def test_something_else_under_an_images_name_is_refused_with_its_format(
    data: bytes, reason: str, tmp_path: Path
) -> None:
    found = read(zipped(films("a.jpg") | {"b.jpg": data}), tmp_path)
    assert list(found.taken) == ["a.jpg"] and found.reasons["b.jpg"].startswith(reason)


def test_films_that_nobody_decodes_are_passed_over_with_a_remedy(tmp_path: Path) -> None:
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(3))
    odd = {"x.heic": b"\0\0\0\x18ftypheic" + bytes(40), "y.heic": b"\0\0\0\x18ftypmif1" + bytes(40)}
    odd |= {"arrays.npz": arrays.getvalue(), "volume.nii": bytes(344) + b"n+1\0"}
    found = read(zipped(films("a.jpg") | odd), tmp_path)
    assert set(found.told("passed_over")) == {"arrays.npz", "volume.nii", "x.heic"}
    assert read(zipped(films("a.jpg") | odd), tmp_path, images="*.jpg").notes == [], "they are not meant"
    assert found.told("passed_over")["x.heic"].endswith("convert it to PNG, and so are 1 more files.")


def test_dicom_counts_among_the_images_with_or_without_an_ending_and_its_directory_does_not(tmp_path: Path) -> None:
    dicom = bytes(128) + b"DICM" + bytes(80)
    found = read(zipped(films("a.jpg") | {"d/IM1": dicom, "d/x.dcm": dicom, "d/DICOMDIR": dicom}), tmp_path)
    assert list(found.taken) == ["a.jpg", "d/IM1", "d/x.dcm"], "ingest reads them"
    assert found.reasons["d/DICOMDIR"] == COMPANION


def test_tables_that_no_rule_reads_are_told_once_a_folder(tmp_path: Path) -> None:
    tables = {"labels.csv": b"name,part\na.jpg,hand\n", "more.csv": b"name,state\n", "readme.txt": b"text"}
    tables |= dict.fromkeys(("voc/a.xml", "voc/b.xml", "voc/.c.xml"), b"<annotation/>")
    tables["notes.xlsx"] = zipped({"[Content_Types].xml": b"<a/>"})
    rule = {"part": {"csv": {"file": "./labels.csv", "key": "name", "column": "part"}}}
    found = read(zipped(films("a.jpg") | tables), tmp_path, rule)
    assert found.files["a.jpg"].raw_label == "hand|"
    assert {note.subject: note.count for note in found.notes} == {"more.csv": 1, "voc/a.xml": 2, "notes.xlsx": 1}
    assert {note.kind for note in found.notes} == {"unread_table"}
    assert found.files["notes.xlsx"].content == "an Office document", "it is a zip, and is not entered"


def test_a_source_without_an_image_says_how_much_was_looked_at(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no image among its 2 files: check where it points and its `images`"):
        read(zipped({"a.txt": b"text", ".b.jpg": b"\xff\xd8\xff"}), tmp_path)
