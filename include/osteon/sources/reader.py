"""Read the files of a zip or a folder, with their labels. Nothing is ever unpacked to disk, nothing hostile is read."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import ClassVar

from pydantic import Field

from osteon.errors import SourceError
from osteon.progress import SizedIterator
from osteon.settings import SourceSettings
from osteon.sources.base import COMPANION, OUTSIDE, PublishedFile, SourceConfig, is_image_name
from osteon.sources.notes import Note, once
from osteon.sources.rules import LabelRules, OpenMember, SourceFiles, tell_counts, tell_personal
from osteon.sources.rules.base import Late
from osteon.sources.rules.matching import SPLIT_FOLDERS, plain_path

RATIO_FROM = 1 << 20
"""Bytes from which on a file's compression ratio is judged; small flat files compress extremely well."""
CHUNK = 1 << 20
Said = tuple[str | None, str | None, str | None]
"""What the rules say of an image: label, patient and study."""


class LabelledConfig(SourceConfig, Late):
    """What the entries of publishers' archives have in common: which files are images, and how they are labelled."""

    late: ClassVar = frozenset({"expects"})
    images: str = "*"
    """Pattern of the paths that belong to the source (`*` matches `/` as well); other files are companions."""
    labels: LabelRules
    split_folders: bool = True
    """Whether folders named train, valid or test are the publisher's splits."""
    expects: dict[str, int] = Field(default_factory=dict)
    """What the publisher states: how many `images` there are, and how many with a word such as `fractured`."""

    @property
    def names_patients(self) -> bool:
        return self.labels.patient is not None


@dataclass(frozen=True)
class Reader:
    """Reads a source's archive in the order of paths. A hostile or empty one raises before any file is given."""

    config: LabelledConfig
    settings: SourceSettings

    @property
    def name(self) -> str:
        return self.config.name

    def digest(self) -> str:
        """8 hex digits over all that decides what a manifest says of a file, besides the file: entry and limits.

        Fields that came later (`Late`) count where an entry uses them, so an entry without them keeps its digest.
        """
        entry = self.config.model_dump_json(exclude={"name", "enabled"})
        limits = [self.settings.max_file_bytes, self.settings.max_compression_ratio]
        return hashlib.sha256(json.dumps([entry, limits]).encode()).hexdigest()[:8]

    # Zip

    def zip_listing(self, path: Path) -> list[tuple[str, int, int]]:
        """Name, size and checksum of each member."""
        with self._open_zip(path) as archive:
            return [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]

    def zip_files(self, path: Path) -> SizedIterator[PublishedFile | Note]:
        """The files of a zip, and notes on them. Raises `SourceError`."""
        notes: list[Note] = []
        archive = self._open_zip(path)
        try:
            members = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
            self._check_members(members)
            read = {info.filename: info for info in members}
            said = self._read_rules(list(read), lambda path: self._companion(archive, read[path]), notes)
        except BaseException:
            archive.close()
            raise

        def files() -> Iterator[PublishedFile | Note]:
            with archive:
                for info in members:
                    if not self._is_image(info.filename):
                        yield self._companion_file(info.filename)
                        continue
                    data, reason = self._unpack(archive, info)
                    yield self._published(info.filename, said, data, reason)
            yield from notes

        return SizedIterator(files(), len(members))

    def _open_zip(self, path: Path) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, UnicodeDecodeError) as error:
            raise SourceError(f"source {self.name}: {path} is no readable zip ({error}): fetch it again") from error

    def _check_members(self, members: list[zipfile.ZipInfo]) -> None:
        """Refuse the archive as a whole: paths that escape, links, too much of anything, two files of one name."""
        names = Counter(info.filename for info in members)
        self._check_listing([info.filename for info in members])
        for info in members:
            if stat.S_ISLNK(info.external_attr >> 16):
                raise SourceError(f"source {self.name}: {info.filename} is a link: archives with links are refused")
        double = [name for name, count in names.items() if count > 1]
        if double:
            raise SourceError(
                f"source {self.name}: {double[0]} is in the archive {names[double[0]]} times: mend the archive"
            )
        total = sum(info.file_size for info in members)
        if total > self.settings.max_archive_bytes:
            raise SourceError(
                f"source {self.name}: {total} bytes unpacked, more than {self.settings.max_archive_bytes}: "
                "raise OSTEON_MAX_ARCHIVE_BYTES if you trust it"
            )

    def _unpack(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[bytes | None, str | None]:
        """A member's bytes, or why it is left out. Bytes are counted as they come; the header is not believed."""
        limit = self.settings.max_file_bytes
        if info.flag_bits & 1:
            return None, "encrypted"
        data = bytearray()
        try:
            with archive.open(info) as stream:
                while chunk := stream.read(CHUNK):
                    data += chunk
                    if len(data) > limit:
                        return None, f"larger than {limit} bytes (OSTEON_MAX_FILE_BYTES)"
                    if len(data) >= RATIO_FROM and len(data) > self.settings.max_compression_ratio * max(
                        1, info.compress_size
                    ):
                        return None, "compressed beyond OSTEON_MAX_COMPRESSION_RATIO: a bomb"
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, NotImplementedError, EOFError) as error:
            return None, f"cannot be unpacked: {error}"
        return bytes(data), None

    def _companion(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
        data, reason = self._unpack(archive, info)
        if data is None:
            raise SourceError(f"source {self.name}: {info.filename}, which its labels need, is {reason}")
        return data

    # Folder

    def folder_listing(self, root: Path) -> list[tuple[str, int, int, int]]:
        """Path, size, time of change and mode of each file."""
        stats = [(path, file.stat()) for path, file in self._folder_paths(root)]
        return [(path, stat.st_size, stat.st_mtime_ns, stat.st_mode) for path, stat in stats]

    def folder_files(self, root: Path) -> SizedIterator[PublishedFile | Note]:
        """The files of a folder, and notes on them. Raises `SourceError`."""
        notes: list[Note] = []
        paths = dict(self._folder_paths(root))
        self._check_listing(list(paths))
        said = self._read_rules(list(paths), lambda path: paths[path].read_bytes(), notes)

        def files() -> Iterator[PublishedFile | Note]:
            for path, file in paths.items():
                if not self._is_image(path):
                    yield self._companion_file(path)
                    continue
                data, reason = None, None
                if file.stat().st_size > self.settings.max_file_bytes:
                    reason = f"larger than {self.settings.max_file_bytes} bytes (OSTEON_MAX_FILE_BYTES)"
                else:
                    try:
                        data = file.read_bytes()
                    except OSError as error:
                        reason = f"cannot be read: {error.strerror}"
                yield self._published(path, said, data, reason)
            yield from notes

        return SizedIterator(files(), len(paths))

    def _folder_paths(self, root: Path) -> list[tuple[str, Path]]:
        def unread(error: OSError) -> None:
            raise SourceError(f"source {self.name}: {error.filename} cannot be read ({error.strerror}): let it be read")

        files = []
        for parent, folders, names in os.walk(root, onerror=unread, followlinks=False):
            for name in [*names, *(folder for folder in folders if (Path(parent) / folder).is_symlink())]:
                file = Path(parent) / name
                if file.is_symlink() and not file.resolve().is_relative_to(root):
                    raise SourceError(f"source {self.name}: {file} is a link that leaves the folder: remove it")
                if file.is_file():
                    files.append((file.relative_to(root).as_posix(), file))
        return sorted(files)

    # Both

    def _is_image(self, path: str) -> bool:
        return is_image_name(path) and fnmatchcase(path, self.config.images)

    def _companion_file(self, path: str) -> PublishedFile:
        return PublishedFile(path, reason=OUTSIDE if is_image_name(path) else COMPANION)

    def _check_listing(self, paths: list[str]) -> None:
        for path in paths:
            windows = PureWindowsPath(path)
            if windows.drive or windows.root or ".." in windows.parts or "\0" in path:
                raise SourceError(f"source {self.name}: {path!r} points outside the archive: it is refused as a whole")
        if len(paths) > self.settings.max_files:
            raise SourceError(f"source {self.name}: {len(paths)} files, more than {self.settings.max_files}: "
                              "raise OSTEON_MAX_FILES if you trust it")  # fmt: skip
        if not any(self._is_image(path) for path in paths):
            raise SourceError(f"source {self.name}: there is no image in it: check where it points and its `images`")

    def _read_rules(self, members: list[str], read: OpenMember, notes: list[Note]) -> dict[str, Said]:
        images = tuple(path for path in members if self._is_image(path))
        files = SourceFiles(self.name, images, tuple(members), read, once(notes.append))
        labels, ids = self.config.labels.read(files), self.config.labels.read_ids(files)
        tell_counts(files, labels.values(), self.config.expects)
        tell_personal(files)
        return {path: (labels[path], *ids[path]) for path in images}

    def _published(self, path: str, said: dict[str, Said], data: bytes | None, reason: str | None) -> PublishedFile:
        if data is not None and not data:
            data, reason = None, "empty file"
        split = None
        if self.config.split_folders:
            folders = (SPLIT_FOLDERS.get(part.lower()) for part in PurePosixPath(plain_path(path)).parts[:-1])
            split = next((name for name in folders if name), None)
        label, patient, study = said[path]
        return PublishedFile(
            path, data=data, raw_label=label, raw_split=split, reason=reason, patient=patient, study=study
        )
