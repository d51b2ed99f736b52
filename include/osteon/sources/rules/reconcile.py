"""Statements of a source that are held against each other: rule and rule, folder and table, splits, counts, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from osteon.labels import SHIPPED, LabelMap, RawLabel, load_labels, plain_word
from osteon.sources.notes import Note
from osteon.sources.rules.base import SourceFiles, Words, listed
from osteon.sources.rules.matching import LABEL_ENDINGS, folder_of, plain_path, split_folder
from osteon.sources.rules.personal import is_personal, shown

DEEPEST = 4
"""Folders above a film whose names may say its fracture state."""


class Statement(NamedTuple):
    """What one rule says of the images."""

    by: str
    """Who says it, such as `dataset.csv`."""
    words: Mapping[str, Words]


@cache
def _shipped() -> LabelMap:
    return load_labels(SHIPPED)


@lru_cache(maxsize=1000)
def _state(word: str) -> str | None:
    """The fracture state that a word means by the shipped label map; None for any other word."""
    return _shipped().state(word)


def united(files: SourceFiles, question: str, statements: Sequence[Statement]) -> dict[str, Words]:
    """All words of each image, each once. A note names every image of which two things are said.

    Words are compared as the shipped label map understands them: `normal` and `non-fractured` do not differ. Several
    body parts of one rule are no contradiction, for a film may show them all.

    Args:
        files: The source.
        question: `part` or `fracture`.
        statements: Of each rule.
    """
    found = {}
    for image in files.images:
        said = {statement.by: statement.words[image] for statement in statements if statement.words.get(image)}
        if _differ(question, list(said.values())):
            text = "is " + ", but ".join(f"{' and '.join(words)} by {by}" for by, words in said.items())
            files.note(Note(kind="contradiction", subject=shown(image), text=text))
        found[image] = tuple(dict.fromkeys(word for words in said.values() for word in words))
    return found


def by_folders(files: SourceFiles, fracture: Mapping[str, Words]) -> Statement | None:
    """What folders say that are named by both fracture states, where a rule says another state of the image.

    It contradicts rules and never labels: None where no level of folders has names of both states.
    """
    folders = {image: PurePosixPath(plain_path(image)).parts[:-1] for image in files.images}
    for level in range(1, DEEPEST + 1):
        names = {image: parts[-level] for image, parts in folders.items() if len(parts) >= level}
        states = {name: _state(name) for name in set(names.values())}
        if len({state for state in states.values() if state}) > 1:
            said = {image: (states[name] or "",) for image, name in names.items() if states[name]}
            return Statement("its folder", {image: words for image, words in said.items() if _known(fracture[image])})
    return None


def tell_silent(files: SourceFiles, covered: Container[str], table: str | None = None) -> None:
    """Notes on images that a rule's tables or label files say nothing of; a whole split, or folder, has one of its own.

    Args:
        files: The source.
        covered: The images that have a row or a label file.
        table: The rule's table, where it has one for many images.
    """
    places: dict[str, list[str]] = {}
    for image in files.images:
        places.setdefault(split_folder(image) or folder_of(image) or "/", []).append(image)
    rest: list[str] = []
    for place, images in places.items():
        silent = [image for image in images if image not in covered]
        if len(silent) == len(images):
            text = f"has no label for any of its {len(images)} images{_label_files_in(files, place)}"
            files.note(Note(kind="absent_row", subject=place, text=text, count=len(images)))
        elif table is None and silent:
            text = f"has images without annotations: {listed(silent)}"
            files.note(Note(kind="absent_row", subject=place, text=text, count=len(silent)))
        else:
            rest += silent
    if table is not None and rest:
        text = f"has no row for {listed(rest)}"
        files.note(Note(kind="absent_row", subject=table, text=text, count=len(rest)))


def tell_personal(files: SourceFiles) -> None:
    """A note on names of files and folders that seem to hold data of a person, without any of them."""
    count = sum(any(map(is_personal, plain_path(path).split("/"))) for path in files.images)
    if count:
        text = "seem to hold a person's name, age or date of birth: ask the publisher for pseudonyms"
        files.note(Note(kind="personal_name", subject="names of files", text=text, count=count))


def tell_counts(files: SourceFiles, labels: Iterable[str | None], expected: Mapping[str, int]) -> None:
    """Notes where another number of images came, or of images with a word, than the entry expects."""
    found = Counter({"images": len(files.images)})
    for label in map(RawLabel.parse, labels):
        found.update({plain_word(word) for word in (*label.parts, *label.fracture.split("+")) if word})
    for word, count in expected.items():
        if found[plain_word(word)] != count:
            text = f"{found[plain_word(word)]} came, {count} are expected: ask the publisher, or correct `expects`"
            files.note(Note(kind="unexpected_count", subject=word, text=text))


def _differ(question: str, said: list[Words]) -> bool:
    if question == "fracture":
        return len({_state(word) or plain_word(word) for words in said for word in words}) > 1
    return len({frozenset(map(plain_word, words)) for words in said}) > 1


def _known(words: Words) -> bool:
    return bool(words) and all(_state(word) for word in words)


def _label_files_in(files: SourceFiles, place: str) -> str:
    """A hint at folders with label files that no rule reads."""
    below = f"{place}/"
    folders = {folder_of(path) for path in files.members if path.lower().endswith(LABEL_ENDINGS)}
    there = sorted(folder for folder in folders if f"{folder}/".startswith(below))
    return f"; label files lie in {listed(there)}: is a name misspelt?" if there else ""
