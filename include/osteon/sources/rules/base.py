"""What all label rules have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from osteon.errors import SourceError
from osteon.sources.notes import AddNote, Note
from osteon.sources.rules.personal import shown

OpenMember = Callable[[str], bytes]
"""Gives the bytes of a file of the source by its path; raises `KeyError` when there is none."""
MISLEADING = 0.5
"""Share of refused rows or label files from which on what is left would mislead: the source is refused."""
MOST_NAMED = 5
"""Items that one note names."""
MOST_NOTED = 50
"""Rows or label files that have a note of their own; the others share one."""


@dataclass(frozen=True)
class SourceFiles:
    """What rules see of a source."""

    source: str
    """Its name, for messages."""
    images: tuple[str, ...]
    """Paths of its images."""
    members: tuple[str, ...]
    """Paths of all its files, images among them."""
    read: OpenMember
    note: AddNote
    """Tells of an oddity that is no error."""

    def refuse(self, refused: Sequence[tuple[str, str]], of: int, what: str) -> None:
        """Tell of items that are refused, one by one.

        Args:
            refused: The file that each is in, and what is wrong with it.
            of: How many items there are.
            what: Their kind, such as `rows`.

        Raises:
            SourceError: So many are refused that the rest would mislead.
        """
        if refused and len(refused) >= MISLEADING * of:
            subject, text = refused[0]
            raise SourceError(
                f"source {self.source}: {len(refused)} of {of} {what} are refused, the rest would mislead: "
                f"{subject} {text}"
            )
        for subject, text in refused[:MOST_NOTED]:
            self.note(Note(kind="unreadable_label", subject=subject, text=text))
        if rest := refused[MOST_NOTED:]:
            text = f"{rest[0][1]}; {len(rest) - 1} more {what} are refused"
            self.note(Note(kind="unreadable_label", subject=rest[0][0], text=text, count=len(rest)))

    def leave_out(self, problems: Sequence[tuple[str, SourceError]], of: int) -> None:
        """Tell of tables or folders that cannot be used; raises the first error where none can."""
        if problems and len(problems) == of:
            raise problems[0][1]
        for subject, error in problems:
            text = str(error).removeprefix(f"source {self.source}: ")
            self.note(Note(kind="unreadable_label", subject=subject, text=f"is left out: {text}"))


Words = tuple[str, ...]
"""The publisher's words of one image, each once; none where nothing is said."""
Read = Callable[[str], Words]
"""From a file's path to the publisher's words."""


def winning(words: Words, winner: str) -> Words:
    """The words of an image, or the one that wins where it is among several."""
    return (winner,) if winner in words else words


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are. None shows data of a person."""
    some = [shown(name) for name in names]
    more = f" and {len(some) - MOST_NAMED} more" if len(some) > MOST_NAMED else ""
    return ", ".join(some[:MOST_NAMED]) + more


def _has_a_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{pattern!r} has no group: put the part that counts in parentheses")
    return pattern


Pattern = Annotated[str, AfterValidator(_has_a_group)]
"""Regular expression for a whole name; what its first group matches is looked up in `values`."""


class Late(BaseModel):
    """A part of a source's entry that got fields later.

    Versions of sources are made of entries as JSON. A field of `late` is left out of it where it has its default, so
    entries from before there was such a field keep their versions.
    """

    late: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        unused = {
            name for name in self.late if getattr(self, name) == fields[name].get_default(call_default_factory=True)
        }
        return {name: value for name, value in said.items() if name not in unused}


class BaseRule(Late):
    """A rule, or a part of one: it is read from a sources file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
