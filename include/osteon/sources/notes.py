"""What is odd about a source beside its images: a table that names absent files, an archive that nobody opens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NoteKind = Literal[
    "passed_over",  # an image by its content that its name or place hides
    "nested_archive",  # an archive in the archive, which is not entered
    "unread_table",  # a table that no rule reads
    "absent_file",  # a row, an annotation or a box of a file that is not there
    "absent_row",  # an image that a table, or a whole split that a rule, says nothing of
    "contradiction",  # two statements about one image
    "unused_class",  # a class that a publisher declares and no label uses
    "unreadable_label",  # a row or a label file that is refused
    "unexpected_count",  # another number of files than the entry expects
    "guess",  # what Osteon assumed: an encoding, a delimiter, a match of names
    "personal_name",  # a file's name that seems to hold data of a person
]


class Note(BaseModel):
    """One oddity of a source, as people are told of it. A check of its kind makes it a finding."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: NoteKind
    subject: str
    """What is meant: a file, a table, a folder or a split, by its path in the source."""
    text: str
    """What is odd about it, one sentence without the subject; names a remedy where there is one."""
    count: int = Field(default=1, ge=1)
    """Rows, files or boxes that it stands for."""


AddNote = Callable[[Note], None]


def once(add: AddNote) -> AddNote:
    """Passes each note on the first time: several rules may read one table."""
    seen = set[Note]()

    def note(item: Note) -> None:
        if item not in seen:
            seen.add(item)
            add(item)

    return note
