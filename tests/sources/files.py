"""A source's files by name, as label rules see them."""

from __future__ import annotations

from dataclasses import dataclass

from osteon.errors import SourceError
from osteon.sources.base import is_image_name
from osteon.sources.notes import Note, once
from osteon.sources.rules import LabelRules, SourceFiles


@dataclass
class Labelled:
    """What rules said of some files."""

    labels: dict[str, str | None]
    notes: list[Note]

    def texts(self, kind: str) -> list[str]:
        """Subject and text of each note of one kind."""
        return [f"{note.subject} {note.text}" for note in self.notes if note.kind == kind]

    @property
    def kinds(self) -> set[str]:
        return {note.kind for note in self.notes}


def source_files(files: dict[str, bytes | str], notes: list[Note], *images: str) -> SourceFiles:
    """Files of a source; its images are those given, and all whose names say so."""
    content = {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    content |= dict.fromkeys(images, b"")
    paths = tuple(name for name in content if is_image_name(name))
    return SourceFiles("s", paths, tuple(content), lambda path: content[path], once(notes.append))


def labelled(rules: object, files: dict[str, bytes | str], *images: str) -> Labelled:
    """Labels of all images, and notes. Raises `SourceError`."""
    notes: list[Note] = []
    return Labelled(LabelRules.model_validate(rules).read(source_files(files, notes, *images)), notes)


def outcome(rules: object, files: dict[str, bytes | str], *images: str) -> Labelled | str:
    """Labels and notes, or what the `SourceError` says."""
    try:
        return labelled(rules, files, *images)
    except SourceError as error:
        return str(error)
