"""What every publisher's source gives: a version, and that version's files as a stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from osteon.settings import SourceSettings
from osteon.sources.notes import Note

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".j2k", ".jpx",
        ".avif", ".pgm", ".dcm", ".dicom",
    }
)  # fmt: skip
HIDDEN_NAMES = frozenset(
    {
        "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "$recycle.bin",
        "lost+found",
    }
)  # fmt: skip
"""Of files and folders that operating systems and other programs leave, in lower case."""
LEFT_BEHIND = ("~", ".bak", ".swp", ".tmp", ".part", ".crdownload")
"""Endings of what editors and downloads leave beside a file."""

COMPANION, OUTSIDE = "not an image", "not among the source's `images`"
HIDDEN, ENTERED = "hidden: left by an operating system or a program", "an archive whose files are listed"
"""With the two before, the reasons given to what accompanies images: tables, masks, hidden files, archives."""
NO_IMAGE = (COMPANION, OUTSIDE, HIDDEN, ENTERED)


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
    """Why the file is left out: one of `NO_IMAGE` for a file that is no image of the source, else what is wrong."""
    patient: str | None = field(default=None, repr=False)
    """The publisher's own id of the patient, where it names one. Never stored: `osteon.pseudonyms`."""
    study: str | None = field(default=None, repr=False)
    """The publisher's own id of the examination, of which a patient may have several. Never stored either."""
    content: str | None = None
    """What its bytes are, as `osteon.images.content` calls it; None where nobody looked."""


class Source(Protocol):
    """A publisher. Reading it never changes the lake."""

    @property
    def config(self) -> SourceConfig: ...

    def latest_version(self) -> str:
        """A short string that changes when the published data, or the rules that label it, change."""

    def fetch(self, version: str) -> Iterable[PublishedFile | Note]:
        """Every file of that version, one at a time, in a fixed order, and notes on them. Raises `SourceError`."""


@dataclass(frozen=True)
class Credentials:
    """An account at a publisher: the settings that hold it, and Airflow's connection that serves where they are empty.

    `Settings.secret` gives their values: of its own fields, and of `OSTEON_CREDENTIALS` for any other name.
    """

    connection: str
    """Id of Airflow's connection, such as `zenodo_default`."""
    token: str
    """Setting of what logs in on its own: the password of a connection without a login."""
    username: str = ""
    key: str = ""
    """Settings of a login and its password, where the publisher knows such accounts."""

    @property
    def names(self) -> tuple[str, ...]:
        """All settings, those of secrets first."""
        return tuple(name for name in (*self.secrets, self.username) if name)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Settings that no log may show."""
        return tuple(name for name in (self.token, self.key) if name)

    def of_connection(self, login: str | None, password: str | None) -> dict[str, str]:
        """Values of settings that a connection's login and password are."""
        if self.key and login:
            return {self.username: login, self.key: password or ""}
        return {self.token: password or ""}


class SourceConfig(BaseModel):
    """What every entry of a sources file says.

    Each publisher has a subclass that adds its own fields, one of them `kind: Literal["its-name"]`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    credentials: ClassVar[Credentials | None] = None
    """The account that it needs; None without one."""
    if TYPE_CHECKING:
        kind: str  # a field of subclasses: the order of fields decides versions of sources, so it is none here

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    licence: str = Field(min_length=1)
    attribution: str = ""
    enabled: bool = True
    """Whether runs pull it."""

    @property
    def names_patients(self) -> bool:
        """Whether its files may have a `patient`; pulling it then needs the lake's key for pseudonyms."""
        return False

    @abstractmethod
    def open(self, settings: SourceSettings, folder: Path) -> Source:
        """The source, ready to be asked for its version.

        Args:
            settings: Limits, and `settings.secret(NAME)` for each of `credentials`.
            folder: Where the sources file lies: relative paths start there.

        Raises:
            SourceError: It is not there, or credentials are missing. The message says what to do.
        """


def is_image_name(path: str) -> bool:
    """True when the file's ending is that of an image format that radiographs are published in."""
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def is_hidden(path: str) -> bool:
    """True when a file, or a folder that it lies in, is one that a program keeps for itself, or left half-written."""
    return path.lower().endswith(LEFT_BEHIND) or any(
        part.startswith((".", "~$")) or part.lower() in HIDDEN_NAMES for part in PurePosixPath(path).parts
    )
