"""A source that is an archive: a zip, a tar, a folder, or the URL of a zip or a tar."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from osteon.errors import SourceError
from osteon.settings import SourceSettings
from osteon.sources.base import PublishedFile
from osteon.sources.notes import Note
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.registry import publisher
from osteon.sources.transfer import download, is_url, remote_version


@publisher
class ArchiveConfig(LabelledConfig):
    """An `archive` entry of a sources file."""

    kind: Literal["archive"]
    location: str | list[str]
    """Zip, tar (also gz, bz2, xz), folder or http(s) URL; of several the first that exists.

    Relative paths start at the sources file.
    """

    def open(self, settings: SourceSettings, folder: Path) -> ArchiveSource:
        """Find the archive. Raises `SourceError` that names every place looked at."""
        locations = [self.location] if isinstance(self.location, str) else self.location
        for location in locations:
            if is_url(location) or (folder / location).exists():
                found = location if is_url(location) else str((folder / location).resolve())
                return ArchiveSource(self, settings, found)
        tried = ", ".join(str((folder / location).resolve()) for location in locations)
        raise SourceError(f"source {self.name}: nothing at {tried}: correct `location`, or put the archive there")


@dataclass(frozen=True)
class ArchiveSource:
    """An archive that was found."""

    config: ArchiveConfig
    settings: SourceSettings
    location: str

    def latest_version(self) -> str:
        """16 hex digits over what the archive holds and the rules that label it."""
        reader = Reader(self.config, self.settings)
        listing: object
        if is_url(self.location):
            listing = remote_version(self.location, self.settings)
        else:
            listing = reader.listing(Path(self.location))
        return hashlib.sha256(json.dumps([listing, reader.digest()]).encode()).hexdigest()[:16]

    def fetch(self, version: str) -> Iterable[PublishedFile | Note]:
        """Every file of the archive, in the order of paths. A hostile or empty archive raises before any is given."""
        path = Path(self.location)
        if is_url(self.location):
            path = download(self.config.name, version, lambda: self.location, self.settings)
        return Reader(self.config, self.settings).files(path)
