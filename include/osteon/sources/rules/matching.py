"""Which files a publisher's keys mean: one matching for tables, boxes and label files.

A table, a label file and the name of a file seldom agree letter by letter. The strictest form in which a key means a
file counts. Where that form fits several files the key is refused, and no looser form is tried.
"""

from __future__ import annotations

import posixpath
import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import unquote

from osteon.errors import SourceError
from osteon.sources.base import is_hidden
from osteon.sources.notes import Note
from osteon.sources.rules.base import MISLEADING, SourceFiles, listed
from osteon.sources.rules.personal import shown

BLANKS = string.whitespace + "\u00a0\u200b\u200e\u200f\ufeff"
"""What may stand unseen at the ends of a name."""
ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,5}$")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""Names of folders that are the publisher's splits."""
LABEL_ENDINGS = (".csv", ".tsv", ".txt", ".xml", ".json", ".jsonl", ".ndjson", ".xlsx", ".yaml", ".yml")
MOST_COMPARED = 300
"""Names that are compared to find the pair that an error shows."""


def plain_path(path: str) -> str:
    """A path in Unicode's composed form, with `/` between folders, without `.` and empty parts."""
    parts = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def without_ending(path: str) -> str:
    """A plain path without the ending of its file."""
    return ENDING.sub("", path)


def loose(path: str) -> str:
    """A plain path without regard to case, and to blanks at the ends of its parts."""
    return "/".join(part.strip(BLANKS).casefold() for part in path.split("/"))


def loose_without_ending(path: str) -> str:
    """As `loose`, and without the ending of its file."""
    return loose(without_ending(path.strip(BLANKS)))


def whole_number(path: str) -> str:
    """A plain path whose last part may be a number that a program wrote with decimals: `12.0` is 12."""
    return re.sub(r"(?<!\d)(\d+)\.0$", r"\1", path)


WITHOUT_ENDING = "without their ending"


class Form(NamedTuple):
    """One way of comparing keys with files."""

    differs: str
    """What keys and files differ in; empty where they are alike."""
    of_file: Callable[[str], str]
    of_key: tuple[Callable[[str], str], ...]
    """Forms of a key, any of which may be that of a file. A key may have an ending or lack it."""


FORMS = (
    Form("", str, (str,)),
    Form("in other letters or with blanks", loose, (loose,)),
    Form(WITHOUT_ENDING, without_ending, (str, without_ending, whole_number)),
    Form("in other letters and without their ending", loose_without_ending, (loose, loose_without_ending)),
)
"""The strictest first."""
EXACT = 3
"""The loosest way in which keys and files are alike."""
LONGER = "with more folders than the files have"
QUOTED = "as addresses write them"
SHORTENED = "without the folders that all of them begin with"


def folder_of(path: str) -> str:
    """The plain path of the folder that a file lies in; empty for the outermost."""
    return posixpath.dirname(plain_path(path))


def home_of(table: str, names: Names) -> str:
    """The folder whose files a table speaks of first: its own, or `train` where it is called `train.csv`."""
    own = folder_of(table)
    words = re.split(r"[^a-z]+", posixpath.splitext(posixpath.basename(plain_path(table)))[0].lower())
    meant = {SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS}
    splits = {folder for path in names.paths if (folder := split_folder(path)) and _levels(folder, own) == 0}
    homes = [folder for folder in splits if {SPLIT_FOLDERS[posixpath.basename(folder).lower()]} == meant]
    return homes[0] if len(homes) == 1 else own


class Index(NamedTuple):
    """Files by their names in one form."""

    whole: defaultdict[str, list[str]]
    """By their whole path."""
    tails: defaultdict[str, list[str]]
    """By each end of it: `c.jpg`, `b/c.jpg` and `a/b/c.jpg`."""


class Attempt(NamedTuple):
    """What a key means if it is read in one way."""

    rank: int
    """How loose that way is; 0 is the strictest."""
    differs: str
    files: list[str]


class Names:
    """An index of files by their names in all forms."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self._plain = {path: plain_path(path) for path in self.paths}
        self._indexes: dict[str, Index] = {}

    def attempts(self, key: str, folder: str, root: str) -> Iterator[Attempt]:
        """What a key may mean, the strictest first.

        Args:
            key: As the publisher writes it.
            folder: That the table or label file lies in: keys may start there.
            root: Folders that all keys of the table begin with.
        """
        plain = plain_path(key.strip())
        beside = posixpath.normpath(posixpath.join(folder, plain))
        plain = re.sub(r"^(\.\./)+", "", plain)
        exact = self._index(FORMS[0])
        for place in (plain_path(key), beside):
            yield Attempt(0, "", exact.whole.get(place, []))
        for rank, form in enumerate(FORMS, 1):
            index = self._index(form)
            for text in dict.fromkeys(make(plain) for make in form.of_key):
                yield Attempt(2 * rank, form.differs, index.whole.get(text, []))
                yield Attempt(2 * rank + 1, form.differs, index.tails.get(text, []))
        for rank, form in enumerate(FORMS, 20):
            yield Attempt(rank, _also(form.differs, LONGER), self._end_of(plain, form))
        shorter = plain.removeprefix(f"{root}/") if root else plain
        for text, differs, first in ((shorter, SHORTENED, 40), (unquote(plain), QUOTED, 60)):
            for rank, form in enumerate(FORMS if text != plain else (), first):
                tails = self._index(form).tails
                for make in form.of_key:
                    yield Attempt(rank, _also(form.differs, differs), tails.get(make(text), []))

    def _end_of(self, plain: str, form: Form) -> list[str]:
        """Files whose whole path is the end of a key."""
        whole = self._index(form).whole
        for make in form.of_key:
            text = make(plain)
            while "/" in text:
                text = text.partition("/")[2]
                if text in whole:
                    return whole[text]
        return []

    def _index(self, form: Form) -> Index:
        if form.differs not in self._indexes:
            index = Index(defaultdict(list), defaultdict(list))
            for path, plain in self._plain.items():
                text = form.of_file(plain)
                index.whole[text].append(path)
                parts = text.split("/")
                for start in range(len(parts)):
                    index.tails["/".join(parts[start:])].append(path)
            self._indexes[form.differs] = index
        return self._indexes[form.differs]


@dataclass
class Match:
    """What the keys of one table or folder mean."""

    keys: dict[str, list[str]] = field(default_factory=dict)
    """The keys that mean each image, all of them in the same form."""
    absent: list[str] = field(default_factory=list)
    """Keys that mean no image."""
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    """The files that each refused key may mean."""
    guesses: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Keys and files that are alike in a loose form only, by what differs."""


def match(names: Names, keys: Sequence[str], folder: str) -> Match:
    """Find what each key means.

    Keys speak of files in or below their own folder, or else of those in the nearest folder above it that holds at
    least half of what they mean. The whole path of a file is understood everywhere.

    Args:
        names: The images.
        keys: Distinct keys of one table, or names of the label files of one folder.
        folder: That the table or the label files lie in.
    """
    root = _common_folder(keys)
    found = {key: _attempts(names, key, folder, root) for key in keys}
    reach = _reach(found, folder)
    claims: dict[str, list[tuple[Attempt, str]]] = defaultdict(list)
    result = Match()
    for key, attempts in found.items():
        near = (attempt._replace(files=_near(attempt.files, key, folder, reach)) for attempt in attempts)
        meant = next((attempt for attempt in near if attempt.files), None)
        if meant is None:
            result.absent.append(key)
        elif len(meant.files) > 1:
            result.ambiguous[key] = meant.files
        else:
            claims[meant.files[0]].append((meant, key))
    for image, claimed in claims.items():
        strictest = min(attempt.rank for attempt, _ in claimed)
        result.keys[image] = [key for attempt, key in claimed if attempt.rank == strictest]
        result.absent += [key for attempt, key in claimed if attempt.rank > strictest]
        for attempt, key in claimed:
            if attempt.differs and attempt.rank == strictest:
                result.guesses.setdefault(attempt.differs, []).append((key, image))
    return result


def match_or_refuse(
    files: SourceFiles, names: Names, keys: Sequence[str], table: str, folder: str, usual: str = ""
) -> Match:
    """Find what the keys of a table mean, and tell of those that are guessed, absent or refused.

    Args:
        files: The source.
        names: Its images.
        keys: Distinct keys.
        table: What they stand in, for messages.
        folder: That it lies in.
        usual: What keys and files always differ in.

    Raises:
        SourceError: No key means an image, or so many are ambiguous that the rest would mislead.
    """
    result = match(names, keys, folder)
    doubtful = {image for some in result.ambiguous.values() for image in some}
    misleads = len(doubtful) >= MISLEADING * len(doubtful | set(result.keys))
    for key, some in result.ambiguous.items():
        text = f"names {shown(key)}, which may be {' or '.join(map(shown, some[:3]))}"
        remedy = "use whole paths as keys, or leave one out by `images`"
        if misleads:
            raise SourceError(f"source {files.source}: {table} {text}: {remedy}")
        files.note(Note(kind="unreadable_label", subject=table, text=f"{text}: {remedy}"))
    for why, pairs in result.guesses.items():
        if why == usual:
            continue
        key, image = pairs[0]
        text = f"names files {why}: {shown(key)} is taken for {shown(image)}"
        files.note(Note(kind="guess", subject=table, text=text, count=len(pairs)))
    absent = _absent(files, result.absent, folder)
    if absent and not result.keys and len(absent) == len(keys):
        raise SourceError(f"source {files.source}: {table} names no file that is there: {_side_by_side(keys, names)}")
    if absent:
        text = f"names files that are not there: {listed(absent)}"
        files.note(Note(kind="absent_file", subject=table, text=text, count=len(absent)))
    return result


def find_members(files: SourceFiles, pattern: str) -> list[str]:
    """The files that a rule's `file` means: one path, the end of one, a folder, or a pattern for several.

    Raises:
        SourceError: There is none, or the end of a path fits several.
    """
    images = set(files.images)
    visible = [path for path in files.members if not is_hidden(path) and path not in images]
    wanted = plain_path(pattern)
    for fits in (
        lambda path: path == wanted,
        lambda path: fnmatchcase(path, wanted),
        lambda path: path.startswith(f"{wanted}/"),
        lambda path: fnmatchcase(loose(path), loose(wanted)),
    ):
        if found := [path for path in visible if fits(plain_path(path))]:
            return found
    ends = match(Names(visible), [pattern], "")
    if ends.ambiguous:
        several = " or ".join(ends.ambiguous[pattern][:3])
        raise SourceError(f"source {files.source}: {pattern} may be {several}: give the whole path in its label rules")
    if ends.keys:
        (found_path,) = ends.keys
        text = f"is taken for the {pattern} of the label rules: give its whole path there"
        files.note(Note(kind="guess", subject=found_path, text=text))
        return [found_path]
    ending = posixpath.splitext(wanted)[1]
    there = [path for path in visible if posixpath.splitext(path)[1].lower() == ending.lower()]
    hint = f" (there is {listed(there)})" if there else ""
    raise SourceError(f"source {files.source}: there is no {pattern}{hint}: correct `file` in its label rules")


def split_folder(path: str) -> str | None:
    """The path of the folder that makes a file part of a publisher's split; None for a file of no split."""
    parts = plain_path(path).split("/")[:-1]
    places = (place for place, part in enumerate(parts) if part.lower() in SPLIT_FOLDERS)
    return next(("/".join(parts[: place + 1]) for place in places), None)


def _absent(files: SourceFiles, keys: list[str], folder: str) -> list[str]:
    """Those of some keys that mean none of the files that the source's `images` leaves out either."""
    if not keys:
        return []
    images = set(files.images)
    others = (path for path in files.members if path not in images and not path.lower().endswith(LABEL_ENDINGS))
    return match(Names(others), keys, folder).absent


def _attempts(names: Names, key: str, folder: str, root: str) -> list[Attempt]:
    """What a key may mean; looser ways of reading it only where it is alike to no file."""
    found: list[Attempt] = []
    for attempt in names.attempts(key, folder, root):
        if attempt.rank > EXACT and found and found[0].rank <= EXACT:
            break
        if attempt.files:
            found.append(attempt)
    return found


def _also(differs: str, more: str) -> str:
    return f"{differs}, and {more}" if differs else more


def _common_folder(keys: Sequence[str]) -> str:
    """The folders that all keys begin with, up to the first that is a publisher's split."""
    folders = [folder_of(key.strip()).split("/") for key in keys]
    common = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1 or not parts[0] or parts[0].lower() in SPLIT_FOLDERS:
            break
        common.append(parts[0])
    return "/".join(common)


def _levels(path: str, folder: str) -> int:
    """How many folders one has to go up from a folder, until a file lies below."""
    parts = folder.split("/") if folder else []
    shared = 0
    for mine, other in zip(parts, plain_path(path).split("/"), strict=False):
        if mine != other:
            break
        shared += 1
    return len(parts) - shared


def _reach(found: dict[str, list[Attempt]], folder: str) -> int:
    """How many folders a table's keys reach upwards: just so far that at least half of those that mean a file do."""
    levels = Counter(
        min(_levels(path, folder) for attempt in attempts for path in attempt.files)
        for attempts in found.values()
        if attempts
    )
    total = 0
    for level in sorted(levels):
        total += levels[level]
        if 2 * total >= levels.total():
            return level
    return 0


def _near(paths: list[str], key: str, folder: str, reach: int) -> list[str]:
    """Those of some files that a key may mean: they lie near, or the key is their whole path."""
    whole = plain_path(key)
    return [path for path in paths if _levels(path, folder) <= reach or ("/" in whole and plain_path(path) == whole)]


def _side_by_side(keys: Sequence[str], names: Names) -> str:
    """The key and the file that are most alike."""
    pairs = [(key, path) for key in keys[:20] for path in names.paths[:MOST_COMPARED]]
    key, path = max(pairs, key=lambda pair: SequenceMatcher(None, pair[0], posixpath.basename(pair[1])).ratio())
    return f"it says {shown(key)!r}, the file most like it is {shown(path)!r}"
