"""What every publisher's source gives: a version, and that version's files as a stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jfif", ".jpe", ".jp2", ".dcm"}
)

COMPANION, OUTSIDE = "not an image by its name", "not among the source's `images`"
"""The reasons given to files that accompany images: label tables, read-mes; masks."""


@dataclass(frozen=True)
class PublishedFile:
    """One file as its publisher hands it out.

    Exactly one of `data` and `reason` is None: a file is either handed on, bytes unchanged, or left out with a reason.
    """

    path: str
    """Path inside the archive, with `/`; unique within a version."""
    data: bytes | None = None
    raw_label: str | None = None
    """`parts|fracture` in the publisher's own words, see `osteon.sources.rules`; None when the source says nothing."""
    raw_split: str | None = None
    """`train`, `valid` or `test` where the publisher's folders say so. Kept, never trusted."""
    reason: str | None = None
    """Why the file is left out: `COMPANION` or `OUTSIDE` for a file that is no image of it, else what is wrong."""
    patient: str | None = field(default=None, repr=False)
    """The publisher's own id of the patient, where it names one. Never stored: `osteon.pseudonyms`."""
    study: str | None = field(default=None, repr=False)
    """The publisher's own id of the examination, of which a patient may have several. Never stored either."""


class Source(Protocol):
    """A publisher. Reading it never changes the lake."""

    @property
    def config(self) -> SourceConfig: ...

    def latest_version(self) -> str:
        """A short string that changes when the published data, or the rules that label it, change."""

    def fetch(self, version: str) -> Iterable[PublishedFile]:
        """Every file of that version, one at a time, in a fixed order. Raises `SourceError`."""


class SourceConfig(BaseModel):
    """What every entry of a sources file says; each kind of source adds its own fields and `open(settings, folder)`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    licence: str = Field(min_length=1)
    attribution: str = ""
    enabled: bool = True
    """Whether runs pull it."""

    @property
    def names_patients(self) -> bool:
        """Whether its files may have a `patient`; pulling it then needs the lake's key for pseudonyms."""
        return False


def is_image_name(path: str) -> bool:
    """True when the file's ending is that of an image format that radiographs are published in."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
