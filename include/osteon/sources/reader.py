"""Read the files of an archive or a folder, with their labels. Nothing is passed over unsaid."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pydantic import Field, field_validator

from osteon.errors import SourceError, during
from osteon.images.content import HEAD, UNKNOWN, content_of
from osteon.progress import SizedIterator
from osteon.settings import SourceSettings
from osteon.sources.base import (
    COMPANION,
    ENTERED,
    HIDDEN,
    OUTSIDE,
    PublishedFile,
    SourceConfig,
    is_hidden,
    is_image_name,
)
from osteon.sources.containers import Opener, archive_listing, folder_listing
from osteon.sources.discretion import discreet, shown
from osteon.sources.members import Member, RefusedError
from osteon.sources.notes import Note, once
from osteon.sources.rules import LabelRules, SourceFiles, tell_counts, tell_personal
from osteon.sources.rules.base import Late
from osteon.sources.rules.matching import SPLIT_FOLDERS, plain_path

TABLES = frozenset([".csv", ".tsv", ".xlsx", ".xls", ".json", ".jsonl", ".xml", ".parquet"])
"""Endings of files that may hold labels."""
VERSION = 2
"""Raise it when the same archive gives other files, labels or notes: every source is then read anew, once."""
Said = tuple[str | None, str | None, str | None]
"""What the rules say of an image: label, patient and study."""
ODD_ENDING = (
    "by the bytes, though the name does not say so: taken as an image, leave it out by `images` if it is no film"
)
IN_HIDDEN = "in a hidden file or folder, which is passed over: move it if it is a film"


class LabelledConfig(SourceConfig, Late):
    """What the entries of publishers' archives have in common: which files are images, and how they are labelled."""

    late: ClassVar = frozenset({"expects", "metadata_encoding", "archive_depth", "hash_paths", "blank_text"})
    images: str = "*"
    """Pattern of the paths that belong to the source (`*` matches `/` as well); other files are companions."""
    labels: LabelRules
    split_folders: bool = True
    """Whether folders named train, valid or test are the publisher's splits."""
    expects: dict[str, int] = Field(default_factory=dict)
    """What the publisher states: how many `images` there are, and how many with a word such as `fractured`."""
    metadata_encoding: str | None = None
    """Code page of file names that do not say theirs, such as `cp932`; a guess where it is missing."""
    archive_depth: int | None = Field(None, ge=0, le=8)
    """Archives within archives that are read; OSTEON_ARCHIVE_DEPTH where it is missing."""
    hash_paths: bool = False
    """Whether paths are stored as keyed hashes. Those of DICOM sources are anyway."""
    blank_text: bool = False
    """Whether lines of text that are burnt into DICOM films are blanked."""

    @field_validator("metadata_encoding")
    @classmethod
    def _is_a_code_page(cls, value: str | None) -> str | None:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError:
            raise ValueError(f"{value!r} is no code page of Python's: write cp932, gbk or cp1252") from None
        return value

    @property
    def names_patients(self) -> bool:
        return self.labels.patient is not None

    @property
    def hides_paths(self) -> bool:
        return self.hash_paths

    @property
    def blanks_text(self) -> bool:
        return self.blank_text


@dataclass(frozen=True)
class Reader:
    """Reads a source's archive in the order of paths. A hostile or empty one raises before any file is given."""

    config: LabelledConfig
    settings: SourceSettings

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def _depth(self) -> int:
        """Archives within archives that are read."""
        return self.settings.archive_depth if self.config.archive_depth is None else self.config.archive_depth

    def digest(self) -> str:
        """8 hex digits over all that decides what a manifest says of a file, besides the file: entry and limits.

        Fields that came later (`Late`) count where an entry uses them, and a depth other than 1. So an entry keeps the
        digest that it had before there were such fields.
        """
        entry = self.config.model_dump_json(exclude={"name", "enabled"})
        limits = [VERSION, self.settings.max_file_bytes, self.settings.max_compression_ratio]
        limits += [self._depth] if self._depth != 1 else []
        return hashlib.sha256(json.dumps([entry, limits]).encode()).hexdigest()[:8]

    def listing(self, place: Path) -> object:
        """What tells one version of a folder or an archive from the next. Raises `SourceError`."""
        if place.is_dir():
            return folder_listing(self.name, place)
        return archive_listing(self.name, place)

    def files(self, place: Path) -> SizedIterator[PublishedFile | Note]:
        """The files of a folder or an archive, and notes on them. Raises `SourceError`."""
        stack, notes = ExitStack(), list[Note]()
        try:
            encoding = self.config.metadata_encoding
            opener = Opener(self.name, self.settings, encoding, self._depth, notes.append, stack)
            members = list[Member]()

            def head(path: str) -> bytes:
                return next(member for member in members if member.path == path).entry.head()

            with discreet(
                self.name, self.config.model_dump_json(), self.config.hides_paths,
                lambda: [member.path for member in members], head,
            ):  # fmt: skip
                members += opener.open(place)
                listing = _Listing(self.config, self.settings, members, notes)
                with during("reading its labels"):
                    said = listing.read_rules()
        except BaseException:
            stack.close()
            raise

        def files() -> Iterator[PublishedFile | Note]:
            with stack:
                for member in listing.members:
                    is_hidden_path = self.config.hides_paths or member.content.role == "dicom"
                    with during(f"reading {shown(member.path, is_hidden_path)}"):
                        file = listing.published(member, said)
                    yield file
            yield from notes

        return SizedIterator(files(), len(listing.members))


@dataclass
class _Listing:
    """The files of a source, of which each path stands for one."""

    config: LabelledConfig
    settings: SourceSettings
    members: list[Member]
    notes: list[Note]
    used: set[str] = field(default_factory=set)
    """Paths of files that label rules read."""

    def __post_init__(self) -> None:
        by_path = defaultdict[str, list[Member]](list)
        for member in self.members:
            by_path[member.path].append(member)
        self.members = [self._one_of(by_path[path]) for path in sorted(by_path)]
        self._by_path = {member.path: member for member in self.members}

    def _one_of(self, same: list[Member]) -> Member:
        """The file of a path. Where several have it, they must have the same bytes."""
        first = same[0]
        if len(same) > 1 and len({member.entry.mark or self._digest(member) for member in same}) > 1:
            first.entry.refused = f"in the archive {len(same)} times, with different bytes: mend the archive"
        return first

    def _digest(self, member: Member) -> object:
        try:
            return hashlib.sha256(self._bytes(member)).digest()
        except RefusedError as error:
            return str(error)

    def _bytes(self, member: Member) -> bytes:
        return member.entry.read(self.settings.max_file_bytes, self.settings.max_compression_ratio)

    # What is an image

    @cached_property
    def images(self) -> dict[str, Member]:
        """Images of the source: by their names, or by their bytes."""
        return {member.path: member for member in self.members if self._is_image(member)}

    def _is_image(self, member: Member) -> bool:
        path = member.path
        if is_hidden(path) or PurePosixPath(path).name == "DICOMDIR":
            return False
        if member.entry.may_be_image:  # nobody knows what paths were lost with it
            return True
        if not fnmatchcase(path, self.config.images):
            return False
        return is_image_name(path) or member.content.role in ("image", "dicom")

    def read_rules(self) -> dict[str, Said]:
        """What the label rules say of each image. Notes tell of what was passed over. Raises `SourceError`."""
        if not self.images:
            raise SourceError(
                f"source {self.config.name}: there is no image among its {len(self.members)} files: check where it "
                "points and its `images`"
            )
        paths = tuple(member.path for member in self.members)
        note = once(self.notes.append)
        files = SourceFiles(self.config.name, tuple(self.images), paths, self._read_companion, note)
        labels, ids = self.config.labels.read(files), self.config.labels.read_ids(files)
        tell_counts(files, labels.values(), self.config.expects)
        tell_personal(files)
        self._note_oddities()
        return {path: (labels[path], *ids[path]) for path in self.images}

    def _read_companion(self, path: str) -> bytes:
        path = PurePosixPath(path).as_posix()
        self.used.add(path)
        try:
            return self._bytes(self._by_path[path])
        except RefusedError as error:
            raise SourceError(f"source {self.config.name}: {path}, which its labels need, is {error}") from error

    def _note_oddities(self) -> None:
        odd = defaultdict[tuple[str, str], list[str]](list)
        for member in self.members:
            if is_image_name(member.path) and member.path in self.images:
                continue  # what it is, is seen when it is read
            if found := self._oddity(member):
                odd[found].append(member.path)
        for (kind, text), paths in odd.items():
            self._note(kind, paths, text)
        tables = defaultdict[tuple[str, str], list[str]](list)
        for path in (member.path for member in self.members if self._may_hold_labels(member)):
            tables[PurePosixPath(path).parent.as_posix(), PurePosixPath(path).suffix.lower()].append(path)
        for paths in tables.values():
            self._note("unread_table", paths, "is a table that no label rule reads: see whether it says more")

    def _oddity(self, member: Member) -> tuple[str, str] | None:
        """Kind and text of a note on a file that is an image by its bytes and not by its name, or is passed over."""
        content = member.content
        if member.path in self.images:
            return ("guess", f"is {content.name} {ODD_ENDING}") if content.role == "image" else None
        if is_hidden(member.path):
            is_image = content.role in ("image", "dicom")
            return ("passed_over", f"is {content.name} {IN_HIDDEN}") if is_image else None
        if content.role == "foreign" and fnmatchcase(member.path, self.config.images):
            return "passed_over", f"is {content.name}, which is passed over: {content.remedy}"
        return None

    def _may_hold_labels(self, member: Member) -> bool:
        path = PurePosixPath(member.path)
        is_companion = member.path not in self.images and not is_hidden(member.path)
        return path.suffix.lower() in TABLES and is_companion and member.path not in self.used

    def _note(self, kind: str, paths: list[str], text: str) -> None:
        more = f", and so are {len(paths) - 1} more files" if len(paths) > 1 else ""
        self.notes.append(
            Note.model_validate({"kind": kind, "subject": paths[0], "text": f"{text}{more}.", "count": len(paths)})
        )

    # What is published

    def published(self, member: Member, said: dict[str, Said]) -> PublishedFile:
        """The file as it is handed on, or left out with a reason."""
        if member.path not in self.images:
            return PublishedFile(member.path, reason=self._aside(member), content=member.content.name)
        data, content = None, UNKNOWN
        try:
            data = self._bytes(member)
            content = content_of(data[:HEAD])
            reason = _why_no_image(data)
        except RefusedError as error:
            reason = str(error)
        label, patient, study = said[member.path]
        return PublishedFile(
            member.path,
            data=None if reason else data,
            raw_label=label,
            raw_split=self._split(member.path),
            reason=reason,
            patient=patient,
            study=study,
            content=None if data is None else content.name,
        )

    def _aside(self, member: Member) -> str:
        if is_hidden(member.path):
            return HIDDEN
        if member.entered:
            return ENTERED
        is_outside = not fnmatchcase(member.path, self.config.images)
        return OUTSIDE if is_outside and (is_image_name(member.path) or member.content.role == "image") else COMPANION

    def _split(self, path: str) -> str | None:
        """The publisher's split by the names of folders, or of archives, that the file lies in."""
        if not self.config.split_folders:
            return None
        folders = (part.lower().removesuffix(".gz").removesuffix(".tar").removesuffix(".zip")
                   for part in PurePosixPath(plain_path(path)).parts[:-1])  # fmt: skip
        return next((SPLIT_FOLDERS[name] for name in folders if name in SPLIT_FOLDERS), None)


def _why_no_image(data: bytes) -> str | None:
    """Why nobody need try to decode a file: it is something else. None for an image, and for what nobody knows."""
    if not data:
        return "empty file"
    content = content_of(data[:HEAD])
    if content.role in ("image", "dicom") or content is UNKNOWN:
        return None
    return f"{content.name}, no image: {content.remedy}"
