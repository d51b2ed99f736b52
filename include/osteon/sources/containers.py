"""The files of a folder or an archive, and of the archives in it. No name decides what is written: nothing is unpacked.

An inner archive, and a tar that is compressed, is unpacked as a whole into a file without a name, which is gone when
it is closed. Limits hold for all that a source brings, whatever headers say.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from osteon.errors import SourceError
from osteon.images.content import HEAD, HTML_PAGE, READABLE_ARCHIVES, TAR, UNKNOWN, ZIP, Content, content_of
from osteon.settings import SourceSettings
from osteon.sources import tars, zips
from osteon.sources.base import is_hidden, is_image_name
from osteon.sources.codepages import guess, is_gibberish, is_utf8, readable
from osteon.sources.members import Entry, Member, RefusedError
from osteon.sources.notes import AddNote, Note

MOST_INNER = 200
"""Archives in a source that are entered; each stays open."""


class Opener:
    """Lists what a source holds.

    Args:
        source: Its name, for errors.
        settings: Limits, and the folder for what is unpacked.
        encoding: The code page of names that do not say theirs; a guess without it.
        depth: Archives in archives that are entered.
        note: Takes notes.
        stack: Closes what stays open.
    """

    def __init__(
        self, source: str, settings: SourceSettings, encoding: str | None, depth: int, note: AddNote, stack: ExitStack
    ) -> None:  # fmt: skip
        self.source, self.settings, self.encoding, self.depth = source, settings, encoding, depth
        self.note, self.stack = note, stack
        self.bytes = self.files = self.inner = 0

    def open(self, place: Path) -> list[Member]:
        """Files of a folder or an archive and of the archives in it, in no order. Raises `SourceError`."""
        if place.is_dir():
            return self._with_inner(self._folder(place), self.depth)
        try:
            file = self.stack.enter_context(place.open("rb"))
            return self._with_inner(self._archive(file, str(place)), self.depth)
        except OSError as error:
            raise SourceError(
                f"source {self.source}: {place} cannot be read ({error.strerror}): let it be read"
            ) from error
        except RefusedError as error:
            raise SourceError(f"source {self.source}: {place} {error}") from error

    # Archives in it

    def _with_inner(self, members: list[Member], depth: int) -> list[Member]:
        found = []
        for member in members:
            found.append(member)
            if is_hidden(member.path) or is_image_name(member.path) or member.content.role != "archive":
                continue
            try:
                found += self._enter(member, depth)
            except RefusedError as error:
                self.note(Note(kind="nested_archive", subject=member.path, text=f"is not entered ({error}).", count=1))
                if member.content in READABLE_ARCHIVES and depth:
                    member.entry.refused = f"an archive in the source that is not entered ({error})"
                    member.entry.may_be_image = True
        return found

    def _enter(self, member: Member, depth: int) -> list[Member]:
        if member.content not in READABLE_ARCHIVES:
            raise RefusedError(f"{member.content.name}: {member.content.remedy}")
        if not depth:
            raise RefusedError("deeper than OSTEON_ARCHIVE_DEPTH: raise that, or unpack it")
        if self.inner == MOST_INNER:
            raise RefusedError(f"one of more than {MOST_INNER}: unpack them")
        self.inner += 1
        members = self._archive(self._copied(member.entry), member.path)
        member.entered = True
        for inner in members:
            inner.path = f"{member.path}/{inner.path}"
        return self._with_inner(members, depth - 1)

    # Limits

    def _add(self, entry: Entry) -> None:
        limits = self.settings
        self.files, self.bytes = self.files + 1, self.bytes + entry.size
        for count, most, what in (
            (self.files, limits.max_files, "files"),
            (self.bytes, limits.max_archive_bytes, "bytes"),
        ):
            if count > most:
                setting = "OSTEON_MAX_FILES" if what == "files" else "OSTEON_MAX_ARCHIVE_BYTES"
                raise SourceError(f"source {self.source}: more than {most} {what}: raise {setting} if you trust it")

    # What lies at a place

    def _folder(self, root: Path) -> list[Member]:
        files = ((os.fsencode(path), file) for path, file in folder_files(self.source, root))
        entries = (Entry(name, _opener(file), says_utf8=is_utf8(name)) for name, file in files)
        return [Member(path, entry) for path, entry in self._named(entries, str(root))]

    def _archive(self, file: IO[bytes], name: str) -> list[Member]:
        """Files of a zip or a tar. Raises `RefusedError`, and `SourceError` where it is hostile."""
        content = content_of(file.read(HEAD))
        file.seek(0)
        if content == ZIP or (content == UNKNOWN and zipfile.is_zipfile(file)):  # a zip may stand behind a program
            entries, is_zip = zips.entries(file), True
        elif content == TAR:
            entries, is_zip = tars.entries(file), False
        elif content in READABLE_ARCHIVES:
            entries, is_zip = tars.entries(self._unpacked(file, content)), False
        else:
            raise RefusedError(f"is {no_archive(content)}")
        members = []
        for path, entry in self._named(entries, name, is_zip):
            windows = PureWindowsPath(path)
            if windows.drive or windows.root or ".." in windows.parts or "\0" in path:
                raise SourceError(f"source {self.source}: {path!r} points outside the archive: do not trust it")
            if entry.hostile:
                raise SourceError(
                    f"source {self.source}: {path} is a {entry.hostile}: archives with such are refused, unpack it and "
                    "give the folder"
                )
            members.append(Member(PurePosixPath(path).as_posix(), entry))
        return members

    def _unpacked(self, file: IO[bytes], content: Content) -> IO[bytes]:
        """The tar in a compressed file."""
        size = os.fstat(file.fileno()).st_size
        stream = Entry(b"", lambda: tars.decompressed(file, content), packed=size)
        if content_of(stream.head()) != TAR:
            raise RefusedError(f"is {content.name} that holds no tar: unpack it")
        return self._copied(stream)

    def _copied(self, entry: Entry) -> IO[bytes]:
        """A file without a name that holds the same bytes."""
        limit, ratio = self.settings.max_archive_bytes, self.settings.max_compression_ratio
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        file: IO[bytes] = tempfile.TemporaryFile(dir=self.settings.state_dir)  # noqa: SIM115 - the stack closes it
        self.stack.enter_context(file)
        try:
            for chunk in entry.chunks(limit, "OSTEON_MAX_ARCHIVE_BYTES", ratio):
                file.write(chunk)
        except RefusedError:
            file.close()
            raise
        file.seek(0)
        return file

    # Names

    def _named(self, entries: Iterable[Entry], place: str, is_zip: bool = False) -> list[tuple[str, Entry]]:
        r"""Entries with their names as text, counted.

        The code page of names that do not say theirs is the setting's, else a guess, of which a note tells.

        Args:
            entries: Of one archive or folder.
            place: The archive or the folder.
            is_zip: Whether a name may be in DOS' page 437 (APPNOTE, appendix D), and hold `\` for `/`.

        Raises:
            SourceError: There are too many, or they are too large.
        """
        found = []
        for entry in entries:
            self._add(entry)
            found.append(entry)
        unknown = [entry.name for entry in found if not entry.is_utf8]
        page = self.encoding or self._guess(place, unknown, "cp437" if is_zip else "utf-8")
        separator = "\\" if is_zip else "/"
        return [(readable(entry.name, "utf-8" if entry.is_utf8 else page, separator), entry) for entry in found]

    def _guess(self, place: str, unknown: list[bytes], default: str) -> str:
        """The code page of names; the default where they may well be in it, or none fits."""
        if not unknown or (default == "cp437" and not any(is_gibberish(raw.decode(default)) for raw in unknown)):
            return default
        page = guess(unknown)
        if page != "utf-8":
            text = f"{page} is assumed" if page else "which is not known"
            example = readable(unknown[0], page or default)
            told = f"holds a name that does not say its code page, {text}, so it is read as {example!r}"
            remedy = "where that is wrong, set `metadata_encoding` in the source's entry"
            self.note(Note(kind="guess", subject=Path(place).name, text=f"{told}: {remedy}.", count=len(unknown)))
        return page or default


def is_archive(file: Path) -> bool:
    """Whether a file is a zip with its end, or begins as a tar or as a compressed file does."""
    with file.open("rb") as opened:
        content = content_of(opened.read(HEAD))
    return zipfile.is_zipfile(file) or (content in READABLE_ARCHIVES and content != ZIP)


def no_archive(content: Content) -> str:
    """What something is that should be an archive and is none that is read, and what to do."""
    if content.role == "archive" or content == HTML_PAGE:
        return f"{content.name}: {content.remedy}"
    return f"{content.name}, no archive: give a zip, a tar or a folder"


def folder_files(source: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Path in the folder and place of each file. Links that lead out of it are refused.

    Args:
        source: Its name, for errors.
        root: The folder.

    Raises:
        SourceError: A folder that cannot be read, or a link that leaves the folder.
    """

    def unread(error: OSError) -> None:
        raise SourceError(f"source {source}: {error.filename} cannot be read ({error.strerror}): let it be read")

    for parent, folders, names in os.walk(root, onerror=unread, followlinks=False):
        for name in [*names, *(folder for folder in folders if (Path(parent) / folder).is_symlink())]:
            file = Path(parent) / name
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                name = readable(os.fsencode(file), "utf-8")
                raise SourceError(f"source {source}: {name} is a link that leaves the folder: remove it")
            if file.is_file():
                yield file.relative_to(root).as_posix(), file


def folder_listing(source: str, root: Path) -> list[tuple[str, int, int, int]]:
    """Path, size, time of change and mode of each file of a folder. Raises `SourceError` as `folder_files` does."""
    stats = [(path, file.stat()) for path, file in sorted(folder_files(source, root))]
    return [(path, stat.st_size, stat.st_mtime_ns, stat.st_mode) for path, stat in stats]


def archive_listing(source: str, place: Path) -> object:
    """Name, size and checksum of each member of a zip; the digest of any other archive. Raises `SourceError`."""
    try:
        with place.open("rb") as file:
            if content_of(file.read(HEAD)) != ZIP:
                file.seek(0)
                return hashlib.file_digest(file, "sha256").hexdigest()
            return [(info.filename, info.file_size, info.CRC) for info in zips.open_zip(file).infolist()]
    except RefusedError as error:
        raise SourceError(f"source {source}: {place} {error}") from error
    except OSError as error:
        raise SourceError(f"source {source}: {place} cannot be read ({error.strerror}): let it be read") from error


def _opener(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("rb")
