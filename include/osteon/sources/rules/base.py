"""What all label rules have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from osteon.sources.notes import AddNote

OpenMember = Callable[[str], bytes]
"""Gives the bytes of a file of the source by its path; raises `KeyError` when there is none."""


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
    headers: dict[str, dict[str, str]] = field(default_factory=dict, repr=False, compare=False)
    """What headers of DICOM files say, as far as rules have read them, by path."""


Read = Callable[[str], str]
"""From a file's path to the publisher's words: `""` where nothing is said."""


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


class BaseRule(BaseModel):
    """A rule, or a part of one: it is read from a sources file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
