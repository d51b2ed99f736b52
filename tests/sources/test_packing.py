"""Zips and tars as a source, and within one: methods, limits, links, damage of what lists the files."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from osteon.errors import SourceError
from osteon.sources.archive import ArchiveConfig
from osteon.sources.base import ENTERED
from tests.sources.packed import STATE, films, laid, limits, read, tarred, with_field, zipped

MODES = ("w", "w:gz", "w:bz2", "w:xz")


@pytest.mark.parametrize("mode", MODES)
def test_a_tar_is_read_like_a_zip(mode: str, tmp_path: Path) -> None:
    members = films("train/fractured/ü 手.jpg", "test/normal/b.jpg") | {"read.me": b"text"}
    found = read(tarred(members, mode), tmp_path, STATE)
    assert found.taken == {path: data for path, data in members.items() if path.endswith("jpg")}
    assert found.files["train/fractured/ü 手.jpg"].raw_label == "hand|fractured"
    assert found.files["test/normal/b.jpg"].raw_split == "test"
    assert not list(tmp_path.glob("state/*")), "what was unpacked is gone"


def test_a_version_of_a_tar_changes_with_its_bytes(tmp_path: Path) -> None:
    def version(data: bytes) -> str:
        (tmp_path / "a.tar.gz").write_bytes(data)
        entry = {"kind": "archive", "name": "s", "licence": "CC0-1.0", "location": str(tmp_path / "a.tar.gz")}
        config = ArchiveConfig.model_validate({**entry, "labels": {"part": {"constant": "hand"}}})
        return config.open(limits(tmp_path), tmp_path).latest_version()

    one, other = tarred(films("a.jpg"), "w:gz"), tarred(films("b.jpg"), "w:gz")
    assert version(one) == version(one) != version(other)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "a.jpg"}, "is a link"),
        ({"type": tarfile.CHRTYPE}, "is a device"),
        ({"type": tarfile.FIFOTYPE}, "is a device"),
        ({"name": "../a.jpg"}, "points outside"),
        ({"name": "/etc/a.jpg"}, "points outside"),
        ({"name": "x/../../a.jpg"}, "points outside"),
    ],
)
def test_a_hostile_tar_is_refused_as_a_whole(info: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read(tarred({"a.jpg": b""}, **info), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=message):
        read(zipped(films("b.jpg") | {"inner.tar": tarred({"a.jpg": b""}, **info)}), tmp_path)  # type: ignore[arg-type]


def test_limits_hold_for_tars_and_for_what_inner_archives_bring(tmp_path: Path) -> None:
    members = films(*(f"{number}.jpg" for number in range(12)))
    few = limits(tmp_path, max_files=10)
    for data in (tarred(members), zipped(films("a.jpg") | {"b.zip": zipped(members)})):
        with pytest.raises(SourceError, match="OSTEON_MAX_FILES"):
            read(data, tmp_path, limit=few)
    small = limits(tmp_path, max_archive_bytes=60_000, max_compression_ratio=1e6)
    large = {f"{number}.bin": bytes(30_000) for number in range(3)}
    for data in (tarred(large), zipped(films("a.jpg") | {"b.zip": zipped(large)})):
        with pytest.raises(SourceError, match="OSTEON_MAX_ARCHIVE_BYTES"):
            read(data, tmp_path, limit=small)
    with pytest.raises(SourceError, match=r"larger than 60000 bytes \(OSTEON_MAX_ARCHIVE_BYTES\)"):
        read(tarred(large, "w:gz"), tmp_path, limit=small)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_bomb_is_refused_by_the_bytes_that_come(mode: str, tmp_path: Path) -> None:
    bomb = tarred({"a.bin": bytes(6 << 20)}, mode)
    with pytest.raises(SourceError, match="bomb"):
        read(bomb, tmp_path)
    found = read(zipped(films("a.jpg") | {"inner.tar": bomb}, zipfile.ZIP_STORED), tmp_path)
    assert list(found.taken) == ["a.jpg"] and "bomb" in found.reasons["inner.tar"]


def test_headers_that_are_made_to_hurt_are_refused_soon(tmp_path: Path) -> None:
    for body in (b"9" * 100_000, b"1" * (2 << 20)):
        data = tarred({"././@PaxHeader": body}, type=tarfile.XHDTYPE)
        with pytest.raises(SourceError, match="damaged tar"):
            read(data + tarred(films("a.jpg")), tmp_path)
    back = tarred({"././@PaxHeader": b"14 size=-1024\n"}, type=tarfile.XHDTYPE).rstrip(b"\0")
    with pytest.raises(SourceError, match="damaged tar"):
        read(back + bytes(-len(back) % 512) + tarred(films("a.jpg")), tmp_path)


def test_memory_of_an_xz_stream_is_bounded(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    data = lzma.compress(tarred(films("a.jpg")), lzma.FORMAT_XZ, filters=filters)
    with pytest.raises(SourceError, match="cannot be unpacked: Memory usage limit"):
        read(data, tmp_path)


def test_an_xz_of_several_streams_is_read_whole(tmp_path: Path) -> None:
    data, members = tarred(films("a.jpg", "b.jpg")), films("a.jpg", "b.jpg")
    several = lzma.compress(data[:1000]) + bytes(8) + lzma.compress(data[1000:]) + bytes(4)
    assert read(several, tmp_path).taken == members


@pytest.mark.parametrize("pack", [zipped, *(lambda members, mode=mode: tarred(members, mode) for mode in MODES)])
@pytest.mark.parametrize("outer", [zipped, tarred, None])
def test_an_archive_in_the_source_is_entered(
    outer: Callable[[dict[str, bytes]], bytes] | None, pack: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    inner = films("images/fractured/a.jpg", "images/normal/b.jpg") | {"labels.csv": b"name,part\n"}
    members = films("sample.jpg") | {"part 1": pack(inner), "deep/part2.bin": pack(films("x/normal/c.jpg"))}
    place = outer(members) if outer else laid(tmp_path / "set", members)
    found = read(place, tmp_path, STATE)
    assert set(found.taken) == {
        "sample.jpg", "part 1/images/fractured/a.jpg", "part 1/images/normal/b.jpg", "deep/part2.bin/x/normal/c.jpg"
    }  # fmt: skip
    assert found.files["part 1/images/fractured/a.jpg"].raw_label == "hand|fractured"
    assert found.reasons["part 1"] == ENTERED
    assert list(found.told("unread_table")) == ["part 1/labels.csv"]


def test_patterns_tables_and_splits_work_on_paths_in_inner_archives(tmp_path: Path) -> None:
    table = b"name,part\na.jpg,hand\n"
    members = {
        "train.zip": zipped(films("a.jpg")),
        "test.tar.gz": tarred(films("b.jpg"), "w:gz"),
        "tables.zip": zipped({"t.csv": table}),
    }
    rule = {"part": {"csv": {"file": "tables.zip/t.csv", "key": "name", "column": "part"}}}
    found = read(zipped(members), tmp_path, rule, images="train.zip/*")
    assert list(found.taken) == ["train.zip/a.jpg"]
    assert (found.files["train.zip/a.jpg"].raw_label, found.files["train.zip/a.jpg"].raw_split) == ("hand|", "train")
    assert read(zipped(members), tmp_path).files["test.tar.gz/b.jpg"].raw_split == "test"


def test_one_level_is_entered_and_more_where_it_is_wanted(tmp_path: Path) -> None:
    twice = zipped(films("a.jpg") | {"b.zip": zipped(films("b.jpg") | {"c.zip": zipped(films("c.jpg"))})})
    found = read(twice, tmp_path)
    assert list(found.taken) == ["a.jpg", "b.zip/b.jpg"]
    assert "OSTEON_ARCHIVE_DEPTH" in found.told("nested_archive")["b.zip/c.zip"]
    assert len(read(twice, tmp_path, archive_depth=2).taken) == 3
    assert len(read(twice, tmp_path, limit=limits(tmp_path, archive_depth=2)).taken) == 3
    assert list(read(twice, tmp_path, archive_depth=0).taken) == ["a.jpg"]


@pytest.mark.parametrize(
    ("data", "said", "is_lost"),
    [
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7z archive: unpack it, and pack it as a zip", False),
        (b"Rar!\x1a\x07\0" + bytes(99), "a rar archive: unpack it, and pack it as a zip", False),
        (zipped(films("a.jpg"))[:-40], "its end is missing", True),
        (tarred(films("a.jpg"), "w:gz")[:-40], "cannot be unpacked", True),
        (tarred(films("a.jpg"))[:2000], "a damaged tar", True),
        (with_field(zipped({"a.jpg": b"x"}), 6, 8, 1), None, False),
    ],
)
def test_an_inner_archive_that_cannot_be_read_costs_itself_and_is_named(
    data: bytes, said: str | None, is_lost: bool, tmp_path: Path
) -> None:
    found = read(zipped(films("a.jpg") | {"inner": data}, zipfile.ZIP_STORED), tmp_path)
    assert list(found.taken) == ["a.jpg"]
    if said is None:
        assert found.reasons["inner/a.jpg"].startswith("encrypted: unpack it with its password")
    else:
        assert said in found.told("nested_archive")["inner"]
        assert ("not entered" in found.reasons["inner"]) == is_lost


def test_a_compressed_table_is_no_archive_of_images(tmp_path: Path) -> None:
    found = read(zipped(films("a.jpg") | {"labels.csv.gz": gzip.compress(b"name,part\n" * 99)}), tmp_path)
    assert list(found.taken) == ["a.jpg"] and "holds no tar" in found.told("nested_archive")["labels.csv.gz"]


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (93, "Zstandard"), (1, "Shrink")])
def test_a_method_that_is_not_unpacked_is_named(method: int, name: str, tmp_path: Path) -> None:
    found = read(with_field(zipped(films("a.jpg")), 8, 10, method), tmp_path)
    assert found.reasons == {"a.jpg": f"packed with {name}: pack it anew, with Deflate"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_python_knows_are_unpacked(method: int, tmp_path: Path) -> None:
    assert read(zipped(films("a.jpg"), method), tmp_path).taken == films("a.jpg")


def test_one_bad_entry_of_a_zips_directory_leaves_the_others(tmp_path: Path) -> None:
    data = zipped(films("a.jpg", "b.jpg"))
    entry = data.index(b"PK\1\2")
    newer = data[: entry + 6] + b"\xff" + data[entry + 7 :]
    assert read(newer, tmp_path).taken == films("a.jpg", "b.jpg"), "the version says nothing of what is used"
    info = zipfile.ZipInfo("a.jpg")
    info.extra = b"\x99\x99\x04\0\1\2\3\4"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, films("a.jpg")["a.jpg"])
        archive.writestr("b.jpg", films("a.jpg", "b.jpg")["b.jpg"])
    data = buffer.getvalue()
    at = data.rindex(b"\x99\x99\x04\0")
    assert read(data[: at + 2] + b"\xff\0" + data[at + 4 :], tmp_path).taken == films("a.jpg", "b.jpg")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped(films("a.jpg"))[:-200], "its end is missing, where the list of its files stands: fetch it again"),
        (zipped(films("a.jpg")).replace(b"PK\1\2", b"PK\1\3"), "no readable zip .*fetch it again, or pack it anew"),
        (b"PK\7\x08" + zipped(films("a.jpg")), "a part of a split zip archive: join the parts"),
        (zipped(films("a.jpg"))[:-18] + b"\2\0\2\0" + zipped(films("a.jpg"))[-14:], "a part of a split zip archive"),
        (zipped({}), "an empty zip archive: fetch it again"),
        (tarred(films("a.jpg"), "w:gz")[:700], "cannot be unpacked: Compressed file ended"),
        (tarred(films("a.jpg"))[:1500], "is a damaged tar .*fetch it again"),
        (b"Rar!\x1a\x07\1\0", "a rar archive: unpack it, and pack it as a zip"),
        (b"<html>", "an HTML page: did the link want a log-in"),
        (b"", "an empty file, no archive"),
    ],
)
def test_what_cannot_be_listed_says_what_to_do(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        read(data, tmp_path)


def test_a_damaged_header_of_a_tar_loses_one_file_and_says_so(tmp_path: Path) -> None:
    members = films("a.jpg", "b.jpg", "c.jpg")
    data = bytearray(tarred(members))
    at = data.index(b"b.jpg")
    data[at : at + 40] = bytes(40)
    found = read(bytes(data), tmp_path, images="*.jpg")
    assert found.taken == {name: members[name] for name in ("a.jpg", "c.jpg")}
    (reason,) = found.reasons.items()
    assert reason == (f"file at byte {at}", "its header in the tar is damaged, so its name is lost: fetch the tar anew")


@pytest.mark.parametrize("cut", [0, 100])
def test_a_tar_that_ends_between_two_files_says_that_more_may_be_missing(cut: int, tmp_path: Path) -> None:
    members = films("a.jpg", "b.jpg")
    data = tarred(members)
    at = data.index(b"b.jpg")
    found = read(data[: at + cut], tmp_path)
    assert found.taken == {"a.jpg": members["a.jpg"]}
    assert found.reasons == {f"file at byte {at}": "the tar has no end, so files may be missing: fetch it again"}


def test_a_zip_behind_a_program_is_a_zip(tmp_path: Path) -> None:
    assert read(b"MZ" + bytes(range(256)) * 8 + zipped(films("a.jpg")), tmp_path).taken == films("a.jpg")
