"""Names of files as archives have them: separators, code pages, bytes that are no text, one name for two files."""

from __future__ import annotations

import os
import struct
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from osteon.sources.codepages import guess
from tests.sources.packed import STATE, films, laid, read, tarred, zipped, zipped_under

UTF8 = 1 << 11


def test_backslashes_are_folders_in_a_zip(tmp_path: Path) -> None:
    members = films("train\\fractured\\a.jpg", "train\\normal\\b.jpg")
    found = read(zipped(members | {"train\\": b"", "train\\normal\\": b""}), tmp_path, STATE)
    assert list(found.files) == ["train/fractured/a.jpg", "train/normal/b.jpg"]
    assert [(file.raw_label, file.raw_split) for file in found.files.values()] == [
        ("hand|fractured", "train"),
        ("hand|normal", "train"),
    ]


def test_a_backslash_is_a_letter_in_a_folder(tmp_path: Path) -> None:
    assert list(read(laid(tmp_path / "set", films("a\\b.jpg")), tmp_path).taken) == ["a\\b.jpg"]


@pytest.mark.parametrize("packed", [zipped, tarred])
def test_a_dot_before_a_path_says_nothing(packed: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    table = {"./labels.csv": b"name,part\nimages/a.jpg,hand\n"}
    rule = {"part": {"csv": {"file": "labels.csv", "key": "name", "column": "part"}}}
    found = read(packed(films("./images/a.jpg", "images/./sub//b.jpg") | table), tmp_path, rule, images="images/*")
    assert list(found.taken) == ["images/a.jpg", "images/sub/b.jpg"]
    assert found.files["images/a.jpg"].raw_label == "hand|"


CODE_PAGES = {
    "cp932": ("骨折", "正常"),
    "gbk": ("骨折", "正常"),
    "big5": ("骨折", "左手正常"),
    "euc_kr": ("골절된손목사진", "정상적인엑스레이영상"),
    "cp1251": ("перелом", "норма без патологии"),
    "cp866": ("перелом", "норма без патологии"),
    "cp1252": ("fracturé", "Röntgenbild"),
}


@pytest.mark.parametrize("page", CODE_PAGES)
def test_names_of_another_code_page_are_guessed_said_and_can_be_set(page: str, tmp_path: Path) -> None:
    words = CODE_PAGES[page]
    names = [f"{word}/film{number:02}.jpg" for number, word in enumerate(words * 2)]
    data = zipped_under(dict(zip((name.encode(page) for name in names), films(*names).values(), strict=True)))
    found = read(data, tmp_path)
    assert sorted(found.taken) == sorted(names)
    (note,) = found.notes
    assert note.kind == "guess" and page in note.text and "metadata_encoding" in note.text
    known = read(data, tmp_path, {"part": {"constant": "hand"}, "fracture": {"folder": 0}}, metadata_encoding=page)
    assert known.notes == [] and {file.raw_label for file in known.files.values()} == {f"hand|{word}" for word in words}


def test_a_second_byte_that_looks_like_a_backslash_is_no_folder(tmp_path: Path) -> None:
    names = [f"骨折/表{number:02}.jpg" for number in range(3)]
    data = zipped_under({name.encode("cp932"): film for name, film in films(*names).items()})
    assert list(read(data, tmp_path, metadata_encoding="cp932").taken) == names
    assert list(read(data, tmp_path).taken) == names


def test_utf_8_that_is_not_flagged_is_utf_8_and_no_guess(tmp_path: Path) -> None:
    names = [unicodedata.normalize("NFD", f"Brüche/Müller{number:02}.jpg") for number in range(2)]
    found = read(zipped_under({name.encode(): film for name, film in films(*names).items()}), tmp_path)
    assert list(found.taken) == names and found.notes == []


def test_names_that_fit_page_437_are_in_it_and_names_that_fit_none_are_told(tmp_path: Path) -> None:
    names = ["Brüche/a01.jpg", "Brüche/a02.jpg"]
    found = read(zipped_under({name.encode("cp437"): film for name, film in films(*names).items()}), tmp_path)
    assert list(found.taken) == names and found.notes == []
    odd = [b"\xff\xfe\xfd\xb0/long-a01.jpg", b"\xff\xfe\xfd\xb0/long-a02.jpg"]
    found = read(zipped_under(dict(zip(odd, films("a", "b").values(), strict=True))), tmp_path)
    assert len(found.taken) == 2 and "which is not known" in found.notes[0].text


def test_a_name_in_an_extra_field_is_the_name(tmp_path: Path) -> None:
    (film,) = films("a").values()
    raw = "骨.jpg".encode("cp932")
    info = zipfile.ZipInfo("012345"[: len(raw)])
    name = "骨.jpg".encode()
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(raw)) + name
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, film)
    data = (tmp_path / "a.zip").read_bytes().replace(info.filename.encode(), raw)
    assert list(read(data, tmp_path, metadata_encoding="gbk").taken) == ["骨.jpg"]


def test_a_code_page_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no code page"):
        read(zipped(films("a.jpg")), tmp_path, metadata_encoding="klingon")


def test_a_code_page_that_does_not_fit_escapes_what_it_cannot_read(tmp_path: Path) -> None:
    data = zipped_under({"骨折/a01.jpg".encode("gbk"): film for film in films("a").values()})
    assert list(read(data, tmp_path, metadata_encoding="ascii").taken) == ["%B9%C7%D5%DB/a01.jpg"]


def test_a_name_that_is_flagged_as_utf_8_and_is_not_costs_itself_at_most(tmp_path: Path) -> None:
    names = ["a.jpg", "bé.jpg", "c.jpg"]
    members = films(*names)
    data, name = zipped(members), "bé.jpg".encode()
    local, central = data.index(name), data.rindex(name)
    in_local = data[:local] + b"b\xe9\xff.jpg"[: len(name)].ljust(len(name), b"x") + data[local + len(name) :]
    found = read(in_local, tmp_path)
    assert list(found.taken) == ["a.jpg", "c.jpg"]
    assert found.reasons == {"bé.jpg": "cannot be unpacked: its name is said to be UTF-8 and is not: pack it anew"}
    in_both = in_local[:central] + in_local[local : local + len(name)] + in_local[central + len(name) :]
    found = read(in_both, tmp_path)
    assert list(found.taken) == ["a.jpg", "c.jpg"] and len(found.reasons) == 1


def test_names_in_folders_and_tars_that_are_no_text_are_shown_with_what_they_hold(tmp_path: Path) -> None:
    for name, shown in ((b"LISEZ-MOI-\xe9t\xe9.txt", "LISEZ-MOI-été.txt"), (b"\xff\xfe.jpg", "%FF%FE.jpg")):
        folder = laid(tmp_path / shown, films("a.jpg"))
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(*films("x").values())
        found = read(folder, tmp_path)
        assert set(found.taken) == {"a.jpg", shown}
        assert any("metadata_encoding" in note.text and shown in note.text for note in found.notes)
    film = {os.fsdecode("骨折/1.jpg".encode("cp932")): data for data in films("x").values()}
    found = read(tarred(film), tmp_path)
    assert list(found.taken) == ["骨折/1.jpg"] and "cp932" in found.notes[0].text


def test_a_name_that_stands_twice_is_one_file_where_the_bytes_are_the_same(tmp_path: Path) -> None:
    members = films("a.jpg", "b.jpg")
    with zipfile.ZipFile(tmp_path / "double.zip", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in [
            *members.items(),
            ("a.jpg", members["a.jpg"]),
            ("b.jpg", members["a.jpg"]),
            (".\\a.jpg", members["a.jpg"]),
        ]:
            archive.writestr(name, data)
    found = read(tmp_path / "double.zip", tmp_path)
    assert found.taken == {"a.jpg": members["a.jpg"]}
    assert found.reasons == {"b.jpg": "in the archive 2 times, with different bytes: mend the archive"}
    again = [("a.jpg", members["a.jpg"]), ("b.jpg", members["a.jpg"])]
    found = read(tarred([*members.items(), *again]), tmp_path)
    assert found.taken == {"a.jpg": members["a.jpg"]} and "2 times" in found.reasons["b.jpg"]


def test_short_or_mixed_names_are_not_guessed() -> None:
    assert guess(["手.jpg".encode("gbk"), "Müller.jpg".encode("cp1252")]) is None
    assert guess(["Κάταγμα.jpg".encode("cp1253")]) is None
    assert guess([]) == "utf-8"
