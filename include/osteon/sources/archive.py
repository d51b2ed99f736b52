"""A source that is an archive: a zip, a folder, or the URL of a zip. Nothing is ever unpacked to disk."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from osteon.errors import SourceError
from osteon.settings import Settings
from osteon.sources.base import COMPANION, PublishedFile, SourceConfig, is_image_name
from osteon.sources.download import download, is_url, remote_version
from osteon.sources.rules import LabelRules

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
RATIO_FROM = 1 << 20
"""Bytes from which on a file's compression ratio is judged; small flat files compress extremely well."""
CHUNK = 1 << 20


class ArchiveConfig(SourceConfig):
    """An `archive` entry of a sources file."""

    kind: Literal["archive"]
    location: str | list[str]
    """Zip, folder or http(s) URL; of several the first that exists. Relative paths start at the sources file."""
    images: str = "*"
    """Pattern of the paths that belong to the source (`*` matches `/` as well); other files are companions."""
    labels: LabelRules
    split_folders: bool = True

    def open(self, settings: Settings, folder: Path) -> ArchiveSource:
        """Find the archive. Raises `SourceError` that names every place looked at."""
        places = [self.location] if isinstance(self.location, str) else self.location
        for place in places:
            if is_url(place) or (folder / place).exists():
                return ArchiveSource(self, settings, place if is_url(place) else str((folder / place).resolve()))
        tried = ", ".join(str((folder / place).resolve()) for place in places)
        raise SourceError(f"source {self.name}: nothing at {tried}: correct `location`, or put the archive there")


@dataclass(frozen=True)
class ArchiveSource:
    """An archive that was found."""

    config: ArchiveConfig
    settings: Settings
    place: str

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def licence(self) -> str:
        return self.config.licence

    @property
    def attribution(self) -> str:
        return self.config.attribution

    def latest_version(self) -> str:
        """16 hex digits over what the archive lists (names, sizes, checksums) and the rules that label it."""
        rules = self.config.model_dump(include={"images", "labels", "split_folders"}, mode="json")
        if is_url(self.place):
            listing: object = remote_version(self.place, self.settings)
        elif Path(self.place).is_dir():
            listing = [(path, file.stat().st_size, file.stat().st_mtime_ns) for path, file in self._folder_files()]
        else:
            with self._open_zip(Path(self.place)) as archive:
                listing = [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
        return hashlib.sha256(json.dumps([listing, rules], sort_keys=True).encode()).hexdigest()[:16]

    def fetch(self, version: str) -> Iterator[PublishedFile]:
        """Every file of the archive, in the order of paths. A hostile or empty archive raises before any is given."""
        if not is_url(self.place) and Path(self.place).is_dir():
            yield from self._fetch_folder()
            return
        path = download(self.place, version, self.settings) if is_url(self.place) else Path(self.place)
        with self._open_zip(path) as archive:
            yield from self._fetch_zip(archive)

    # Zip

    def _open_zip(self, path: Path) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise SourceError(f"source {self.name}: {path} is no readable zip ({error}): fetch it again") from error

    def _fetch_zip(self, archive: zipfile.ZipFile) -> Iterator[PublishedFile]:
        members = sorted((info for info in archive.infolist() if not info.is_dir()), key=lambda info: info.filename)
        self._check_members(members)
        read = {info.filename: info for info in members}
        label = self.config.labels.compile(self.name, lambda path: archive.read(read[path]))
        for info in members:
            if not self._is_image(info.filename):
                yield PublishedFile(info.filename, reason=COMPANION)
                continue
            data, reason = self._unpack(archive, info)
            yield self._published(info.filename, label(info.filename), data, reason)

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
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            return None, f"cannot be unpacked: {error}"
        return bytes(data), None

    # Folder

    def _folder_files(self) -> list[tuple[str, Path]]:
        root = Path(self.place)
        files = []
        for parent, folders, names in os.walk(root, followlinks=False):
            for name in [*names, *(folder for folder in folders if (Path(parent) / folder).is_symlink())]:
                file = Path(parent) / name
                if file.is_symlink() and not file.resolve().is_relative_to(root):
                    raise SourceError(f"source {self.name}: {file} is a link that leaves the folder: remove it")
                if file.is_file():
                    files.append((file.relative_to(root).as_posix(), file))
        return sorted(files)

    def _fetch_folder(self) -> Iterator[PublishedFile]:
        files = self._folder_files()
        self._check_listing([path for path, _ in files])
        by_path = dict(files)
        label = self.config.labels.compile(self.name, lambda path: by_path[path].read_bytes())
        for path, file in files:
            if not self._is_image(path):
                yield PublishedFile(path, reason=COMPANION)
                continue
            data, reason = None, None
            if file.stat().st_size > self.settings.max_file_bytes:
                reason = f"larger than {self.settings.max_file_bytes} bytes (OSTEON_MAX_FILE_BYTES)"
            else:
                try:
                    data = file.read_bytes()
                except OSError as error:
                    reason = f"cannot be read: {error.strerror}"
            yield self._published(path, label(path), data, reason)

    # Both

    def _is_image(self, path: str) -> bool:
        return is_image_name(path) and fnmatchcase(path, self.config.images)

    def _check_listing(self, paths: list[str]) -> None:
        for path in paths:
            windows = PureWindowsPath(path)
            if windows.drive or windows.root or ".." in windows.parts or "\0" in path:
                raise SourceError(f"source {self.name}: {path!r} points outside the archive: it is refused as a whole")
        if len(paths) > self.settings.max_files:
            raise SourceError(f"source {self.name}: {len(paths)} files, more than {self.settings.max_files}: "
                              "raise OSTEON_MAX_FILES if you trust it")  # fmt: skip
        if not any(self._is_image(path) for path in paths):
            raise SourceError(f"source {self.name}: there is no image in {self.place}: check `location` and `images`")

    def _published(self, path: str, label: str | None, data: bytes | None, reason: str | None) -> PublishedFile:
        if data is not None and not data:
            data, reason = None, "empty file"
        split = None
        if self.config.split_folders:
            folders = (SPLIT_FOLDERS.get(part.lower()) for part in PurePosixPath(path).parts[:-1])
            split = next((name for name in folders if name), None)
        return PublishedFile(path, data=data, raw_label=label, raw_split=split, reason=reason)
