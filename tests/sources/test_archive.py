"""Archives as publishers hand them out, and as nobody should."""

from __future__ import annotations

import http.server
import os
import random
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from osteon.errors import ConfigurationError, RetryableError, SourceError, SourceUnreachableError
from osteon.ingest import ingest
from osteon.lake import Lake
from osteon.settings import ROOT, Settings, load_settings
from osteon.sources.archive import ArchiveConfig, ArchiveSource
from osteon.sources.base import COMPANION, OUTSIDE, PublishedFile
from osteon.sources.config import open_source, read_sources_file
from osteon.sources.notes import Note
from osteon.sources.reader import Reader
from tests.pictures import encode, radiograph
from tests.runs import published_files
from tests.sources.packed import tarred

IMAGE = encode(radiograph(1))
WITHOUT_PATIENTS = "018581dc"
"""Digest of an entry without rules for patients, by this version of the reader."""
CSV = "image_id,hand,leg,fractured\na.jpg,1,0,1\nb.jpg,1,1,0\n"
TABLE = {"file": "labels.csv", "key": "image_id"}
BY_CSV = {
    "part": {"csv": {**TABLE, "columns": ["hand", "leg"]}},
    "fracture": {"csv": {**TABLE, "column": "fractured", "values": {"1": "fractured", "0": "non-fractured"}}},
}
Make = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def limits(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", max_file_bytes=50_000, max_archive_bytes=400_000, max_files=20)


def source(place: Path | str, settings: Settings, labels: object = None, **more: object) -> ArchiveSource:
    rules = labels or {"part": {"constant": "hand"}}
    entry = {"kind": "archive", "name": "s", "licence": "CC0-1.0", "location": str(place), "labels": rules, **more}
    return ArchiveConfig.model_validate(entry).open(settings, Path("/"))


def read(opened: ArchiveSource) -> dict[str, PublishedFile]:
    return {file.path: file for file in published_files(opened)}


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.fixture(params=[make_zip, make_folder])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return lambda members: request.param(tmp_path / "archive", members)


def test_labels_come_from_columns_and_every_file_is_accounted_for(make: Make, limits: Settings) -> None:
    files = read(source(make({"train/a.jpg": IMAGE, "b.jpg": IMAGE, "labels.csv": CSV.encode()}), limits, BY_CSV))
    assert files["train/a.jpg"] == PublishedFile("train/a.jpg", IMAGE, "hand|fractured", "train", content="JPEG")
    assert files["b.jpg"].raw_label == "hand+leg|non-fractured"
    assert files["labels.csv"].reason == COMPANION


def test_what_the_sources_pattern_leaves_out_is_none_of_its_images(make: Make, lake: Lake, limits: Settings) -> None:
    place = make({"images/a.png": IMAGE, "images/b.png": IMAGE + b"x", "masks/a.png": IMAGE, "read.me": b"text"})
    key, counts = ingest(limits, lake, source(place, limits, images="images/*"))
    assert counts == {"files": 2, "uploaded": 2, "refused": 0}
    reasons = lake.get_table(key).set_index("path")["reason"].dropna().to_dict()
    assert reasons == {"masks/a.png": OUTSIDE, "read.me": COMPANION}


def test_a_folder_that_cannot_be_read_is_an_error_and_no_smaller_source(
    tmp_path: Path, limits: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, scan = make_folder(tmp_path / "archive", {"hand/a.jpg": IMAGE, "knee/b.jpg": IMAGE}), os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "knee":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match="knee cannot be read"):
        read(source(place, limits, {"part": {"folder": 0}}))


def test_labels_come_from_folders(make: Make, limits: Settings) -> None:
    rules = {"part": {"folder": 0}, "fracture": {"folder": -1, "values": {"Pos": "fractured"}}}
    files = read(source(make({"XR_HAND/Pos/ü 手.jpg": IMAGE, "top.jpg": IMAGE}), limits, rules))
    assert files["XR_HAND/Pos/ü 手.jpg"].raw_label == "XR_HAND|fractured"
    assert files["top.jpg"].raw_label is None


def test_paths_with_backslashes_have_folders_and_a_split(tmp_path: Path, limits: Settings) -> None:
    place = make_zip(tmp_path / "a.zip", {r"train\hand\a.jpg": IMAGE, r"val\knee\b.jpg": IMAGE})
    files = read(source(place, limits, {"part": {"folder": -1}}))
    assert [(file.raw_label, file.raw_split) for file in files.values()] == [("hand|", "train"), ("knee|", "valid")]


def test_two_images_of_one_name_in_two_folders_are_two(make: Make, limits: Settings) -> None:
    assert len(read(source(make({"x/a.jpg": IMAGE, "y/a.jpg": IMAGE}), limits))) == 2


def test_an_empty_and_a_large_file_are_left_out_with_a_reason(make: Make, limits: Settings) -> None:
    files = read(source(make({"a.jpg": IMAGE, "empty.jpg": b"", "large.jpg": bytes(60_000)}), limits))
    assert files["a.jpg"].data == IMAGE
    assert files["empty.jpg"].reason == "empty file"
    assert "larger than 50000 bytes" in str(files["large.jpg"].reason)


def test_a_version_changes_with_the_files_and_with_the_rules(tmp_path: Path, limits: Settings) -> None:
    first = source(make_zip(tmp_path / "a.zip", {"a.jpg": IMAGE}), limits)
    other_rules = source(tmp_path / "a.zip", limits, {"part": {"constant": "leg"}})
    other_files = source(make_zip(tmp_path / "b.zip", {"a.jpg": IMAGE[:-1]}), limits)
    other_limit = source(tmp_path / "a.zip", limits.model_copy(update={"max_file_bytes": 9}))
    other_licence = source(tmp_path / "a.zip", limits, licence="CC BY 4.0")
    opened = (first, first, other_rules, other_files, other_limit, other_licence)
    versions = [item.latest_version() for item in opened]
    assert versions[0] == versions[1] and len(set(versions)) == 5


def test_a_version_changes_with_the_rules_for_patients_and_without_them_is_what_it_was(limits: Settings) -> None:
    def digest(**more: object) -> str:
        return Reader(
            source("https://x.org/a.zip", limits, {"part": {"constant": "hand"}, **more}).config, limits
        ).digest()

    digests = [digest(), digest(patient={"folder": 0}), digest(patient={"folder": 0}, study={"folder": 1})]
    assert len(set(digests)) == 3 and digests[0] == WITHOUT_PATIENTS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.jpg", "points outside"),
        ("/etc/a.jpg", "points outside"),
        ("C:\\a.jpg", "points outside"),
    ],
)
def test_a_zip_that_points_outside_is_refused(name: str, message: str, tmp_path: Path, limits: Settings) -> None:
    with pytest.raises(SourceError, match=message):
        read(source(make_zip(tmp_path / "bad.zip", {name: IMAGE}), limits))


def test_a_link_is_refused_in_a_zip_and_where_it_leaves_a_folder(tmp_path: Path, limits: Settings) -> None:
    info = zipfile.ZipInfo("link.jpg")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="is a link"):
        read(source(tmp_path / "link.zip", limits))
    folder = make_folder(tmp_path / "folder", {"a.jpg": IMAGE})
    (folder / "link.jpg").symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="leaves the folder"):
        read(source(folder, limits))


def test_bombs_are_refused_by_the_bytes_that_come_not_by_the_header(tmp_path: Path, limits: Settings) -> None:
    bomb = make_zip(tmp_path / "bomb.zip", {"a.jpg": IMAGE, "bomb.jpg": bytes(3 << 20)})
    generous = limits.model_copy(update={"max_file_bytes": 1 << 30, "max_archive_bytes": 1 << 30})
    files = read(source(bomb, generous))
    assert files["a.jpg"].data == IMAGE and "bomb" in str(files["bomb.jpg"].reason)
    with pytest.raises(SourceError, match="OSTEON_MAX_ARCHIVE_BYTES"):
        read(source(bomb, limits))
    raw = bytearray(bomb.read_bytes())
    raw = bytearray(re.sub(re.escape((3 << 20).to_bytes(4, "little")), (100).to_bytes(4, "little"), bytes(raw)))
    (tmp_path / "lying.zip").write_bytes(raw)
    lying = read(source(tmp_path / "lying.zip", limits))["bomb.jpg"]
    assert lying.data is None and lying.reason


def test_too_many_files_and_a_name_of_two_different_files_are_refused(tmp_path: Path, limits: Settings) -> None:
    with pytest.raises(SourceError, match="OSTEON_MAX_FILES"):
        read(source(make_zip(tmp_path / "many.zip", {f"{i}.jpg": IMAGE for i in range(21)}), limits))
    with zipfile.ZipFile(tmp_path / "double.zip", "w") as archive:
        archive.writestr("a.jpg", IMAGE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.jpg", IMAGE[:-1])
        archive.writestr("b.jpg", IMAGE)
    files = read(source(tmp_path / "double.zip", limits))
    assert "2 times, with different bytes" in str(files["a.jpg"].reason) and files["b.jpg"].data == IMAGE


def test_damage_in_one_member_leaves_out_that_member_only(tmp_path: Path, limits: Settings) -> None:
    path = make_zip(tmp_path / "damaged.zip", {"a.jpg": IMAGE, "b.jpg": IMAGE})
    raw = bytearray(path.read_bytes())
    raw[200] ^= 0xFF
    path.write_bytes(raw)
    files = read(source(path, limits))
    assert "cannot be unpacked" in str(files["a.jpg"].reason) and files["b.jpg"].data == IMAGE


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"part": {"csv": {**TABLE, "file": "other.csv", "column": "hand"}}}, r"no other\.csv"),
        ({"part": {"csv": {**TABLE, "column": "knee"}}}, r"no column knee \(it has image_id, hand, leg, fractured\)"),
    ],
)
def test_a_missing_table_or_column_is_named_with_what_there_is(
    make: Make, rules: object, message: str, limits: Settings
) -> None:
    with pytest.raises(SourceError, match=message):
        read(source(make({"a.jpg": IMAGE, "labels.csv": CSV.encode()}), limits, rules))


def test_a_table_with_two_rows_of_one_file_makes_it_ambiguous(make: Make, limits: Settings) -> None:
    table = CSV + "a.jpg,0,1,1\n"
    files = read(source(make({"a.jpg": IMAGE, "b.jpg": IMAGE, "labels.csv": table.encode()}), limits, BY_CSV))
    assert files["a.jpg"].raw_label == "hand+leg|fractured"
    assert files["b.jpg"].raw_label == "hand+leg|non-fractured"


def test_a_missing_archive_names_every_place_looked_at(tmp_path: Path, limits: Settings) -> None:
    with pytest.raises(SourceError, match=r"one\.zip, .*two\.zip.*correct `location`"):
        source(tmp_path / "one.zip", limits, location=[str(tmp_path / "one.zip"), str(tmp_path / "two.zip")])
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(SourceError, match=r"text\.zip is text, no archive"):
        read(source(tmp_path / "text.zip", limits))


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file with ETag and ranges, and breaks off the first GETs."""

    data = b""
    breaks = 0
    status = 200
    head = 0
    """Status of the answer to HEAD, where it is another one."""
    tells = True
    """Whether ETag and length are told."""
    ranges: list[str]
    sent = 0
    """Bytes that the client took."""

    def do_HEAD(self) -> None:
        self.send_response(self.head or self.status)
        self.describe(self.data)

    def describe(self, rest: bytes) -> None:
        if self.tells:
            self.send_header("ETag", '"v1"')
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()

    def do_GET(self) -> None:
        cls = type(self)
        asked = self.headers.get("Range", "")
        cls.ranges.append(asked)
        start = int(asked[6:-1]) if asked else 0
        self.send_response(206 if asked else self.status)
        rest = self.data[start:]
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(self.data) - 1}/{len(self.data)}")
        self.describe(rest)
        if cls.breaks:
            cls.breaks -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
            self.connection.close()
        else:
            for start in range(0, len(rest), 1 << 16):
                self.wfile.write(rest[start : start + (1 << 16)])
                cls.sent = start

    def log_message(self, *args: object) -> None: ...


Served = tuple[type[Server], str]


@pytest.fixture
def server() -> Iterator[Served]:
    handler = type("Handler", (Server,), {"ranges": [], "breaks": 0})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{running.server_address[1]}/a.zip?key=hidden"
        running.shutdown()


def test_a_download_that_breaks_goes_on_where_it_stopped(server: Served, tmp_path: Path, limits: Settings) -> None:
    handler, url = server
    members = {f"{i}.jpg": random.Random(i).randbytes(45_000) for i in range(8)}
    handler.data = make_zip(tmp_path / "a.zip", members).read_bytes()
    handler.breaks = 2
    files = read(source(url, limits))
    assert {path: file.data for path, file in files.items()} == members
    starts = [int(asked[6:-1]) if asked else 0 for asked in handler.ranges]
    assert len(starts) == 3 and 0 == starts[0] < starts[1] < starts[2] < len(handler.data)


LONG_PAGE = b"<!doctype html><html><body>please log in" + b"x" * (8 << 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>sign in</html>", "an HTML page: did the link want a log-in"),
        (LONG_PAGE, "an HTML page: did the link want a log-in"),
        (IMAGE, "JPEG, no archive: give a zip, a tar or a folder"),
        (b"%PDF-1.7 " + bytes(600), "a PDF document, no archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "a 7z archive: unpack it, and pack it as a zip"),
        (bytes(range(256)) * 4, "of no known format, no archive"),
    ],
)
def test_what_is_no_archive_is_told_after_one_request_and_never_kept(
    server: Served, data: bytes, message: str, tmp_path: Path, limits: Settings
) -> None:
    handler, url = server
    handler.data = data
    opened = source(url, limits)
    version = opened.latest_version()
    with pytest.raises(SourceError, match=message) as caught:
        opened.fetch(version)
    assert not isinstance(caught.value, RetryableError) and "hidden" not in str(caught.value)
    assert len(handler.ranges) == 1 and handler.sent < 8 << 20, "a page is not fetched whole"
    handler.data = make_zip(tmp_path / "a.zip", {"a.jpg": IMAGE}).read_bytes()
    assert [file.path for file in published_files(opened, version)] == ["a.jpg"]


def test_an_archive_without_an_end_is_told_at_once_where_the_server_gave_its_length(
    server: Served, tmp_path: Path, limits: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, url = server
    whole = make_zip(tmp_path / "a.zip", {"a.jpg": IMAGE}).read_bytes()
    handler.data = whole[:-30]
    opened = source(url, limits)
    version = opened.latest_version()
    with pytest.raises(SourceError, match="has no end: the publisher has to mend it"):
        opened.fetch(version)
    assert len(handler.ranges) == 1
    handler.tells = False
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(SourceUnreachableError, match=r"6 times in a row .*has no end"):
        opened.fetch(version)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_a_url_may_give_a_tar(server: Served, mode: str, tmp_path: Path, limits: Settings) -> None:
    handler, url = server
    handler.data = tarred({"a.jpg": IMAGE}, mode)
    assert read(source(url, limits))["a.jpg"].data == IMAGE


def test_a_server_that_refuses_head_is_asked_by_get(server: Served, tmp_path: Path, limits: Settings) -> None:
    handler, url = server
    handler.data, handler.head = make_zip(tmp_path / "a.zip", {"a.jpg": IMAGE}).read_bytes(), 405
    assert list(read(source(url, limits))) == ["a.jpg"]


def test_a_server_that_tells_nothing_of_a_version_or_wants_a_browser_is_refused(
    server: Served, limits: Settings
) -> None:
    handler, url = server
    handler.tells = False
    with pytest.raises(SourceError, match="neither ETag nor date nor length"):
        source(url, limits).latest_version()
    handler.tells, handler.status = True, 202
    with pytest.raises(SourceError, match="wants a browser"):
        source(url, limits).latest_version()


@pytest.mark.parametrize(("status", "remedy"), [(403, "refused"), (404, "not there")])
def test_a_refusal_is_told_at_once_without_the_urls_secrets(
    server: Served, status: int, remedy: str, limits: Settings
) -> None:
    handler, url = server
    handler.status = status
    with pytest.raises(SourceError, match=remedy) as caught:
        source(url, limits).latest_version()
    assert "hidden" not in str(caught.value)


def test_a_sources_file_with_mistakes_names_them(tmp_path: Path, limits: Settings) -> None:
    path = tmp_path / "sources.yaml"
    with pytest.raises(ConfigurationError, match="OSTEON_SOURCES_FILE"):
        open_source(path, limits, "a")
    entry = "{name: a, kind: phantom, licence: CC0-1.0}"
    for text, message in (
        ("sources: []", "sources"),
        ("sources: [{name: a, kind: ftp}]", "kind"),
        (f"sources: [{entry}, {entry}]", "a twice"),
        ("sources: [{name: a, kind: phantom, licence: CC0-1.0, imagse: 3}]", "imagse"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            open_source(path, limits, "a")
    path.write_text(f"sources: [{entry}]")
    with pytest.raises(ConfigurationError, match="no source b; it has a"):
        open_source(path, limits, "b")


def test_the_two_real_archives_have_4396_images_and_one_contradiction(real_data: Path) -> None:
    path = ROOT / "config" / "sources.fracatlas.yaml"
    names = [entry.name for entry in read_sources_file(path).sources]
    got = [item for name in names for item in open_source(path, load_settings(), name).fetch("")]
    files = [file for file in got if isinstance(file, PublishedFile)]
    images = [file for file in files if file.data is not None]
    assert len(images) == 4396
    assert sum(file.raw_label == "spine|" for file in images) == 1329
    assert not [file for file in files if file.reason not in (None, COMPANION)]
    notes = [item for item in got if isinstance(item, Note)]
    assert [(note.kind, note.subject, note.count) for note in notes] == [
        ("contradiction", "FracAtlas/images/Fractured/IMG0003298.jpg", 1),
        ("personal_name", "names of files", 80),  # such as `N126--Rt-TAIS--F--13-Yrs`
    ]
