"""Archives as odd tools pack them, made of bytes, and what a source of them gives."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

from osteon.settings import Settings, load_settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.base import PublishedFile
from osteon.sources.notes import Note
from tests.pictures import encode, radiograph

STATE = {"part": {"constant": "hand"}, "fracture": {"folder": -1}}


def films(*names: str) -> dict[str, bytes]:
    """A film of its own for each name."""
    return {name: encode(radiograph(100 + number, size=(70, 80))) for number, name in enumerate(names)}


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def zipped_under(members: dict[bytes, bytes], flags: int = 0) -> bytes:
    """A zip whose names are bytes of any code page, at least five of them each."""
    plain = {f"{number:04d}".ljust(len(name), "q").encode(): name for number, name in enumerate(members)}
    data = zipped({stand.decode(): members[name] for stand, name in plain.items()})
    for stand, name in plain.items():
        assert len(stand) == len(name) and data.count(stand) == 2, "a longer name is needed"
        data = data.replace(stand, name)
    return with_field(data, 6, 8, flags) if flags else data


def with_field(data: bytes, local: int, central: int, value: int) -> bytes:
    """A zip whose members all have another value (16 bits) in a field of both headers (APPNOTE, 4.3.7 and 4.3.12)."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        at = -1
        while (at := data.find(signature, at + 1)) != -1:
            struct.pack_into("<H", changed, at + offset, value)
    return bytes(changed)


def tarred(members: dict[str, bytes] | list[tuple[str, bytes]], mode: str = "w", **info: object) -> bytes:
    """A tar; `info` changes every member's header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, errors="surrogateescape") as archive:  # type: ignore[call-overload]
        for name, data in members.items() if isinstance(members, dict) else members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            for field, value in info.items():
                setattr(header, field, value)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def laid(folder: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


class Read:
    """What a source gives."""

    def __init__(self, given: list[PublishedFile | Note]) -> None:
        self.files = {item.path: item for item in given if isinstance(item, PublishedFile)}
        self.notes = [item for item in given if isinstance(item, Note)]
        assert len(self.files) + len(self.notes) == len(given), "a path stands for one file"

    @property
    def taken(self) -> dict[str, bytes]:
        return {path: file.data for path, file in self.files.items() if file.data is not None}

    @property
    def reasons(self) -> dict[str, str]:
        return {path: file.reason for path, file in self.files.items() if file.reason is not None}

    def told(self, kind: str) -> dict[str, str]:
        return {note.subject: note.text for note in self.notes if note.kind == kind}


def limits(folder: Path, **changes: object) -> Settings:
    return load_settings(state_dir=folder / "state", **changes)


def read(
    place: Path | bytes, folder: Path, labels: object = None, limit: Settings | None = None, **more: object
) -> Read:
    """Read a folder, or an archive of these bytes."""
    if isinstance(place, bytes):
        (folder / "archive").write_bytes(place)
        place = folder / "archive"
    rules = labels or {"part": {"constant": "hand"}}
    entry = {"kind": "archive", "name": "s", "licence": "CC0-1.0", "location": str(place), "labels": rules, **more}
    source = ArchiveConfig.model_validate(entry).open(limit or limits(folder), folder)
    return Read(list(source.fetch(source.latest_version())))
