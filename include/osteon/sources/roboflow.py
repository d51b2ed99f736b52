"""A source on Roboflow Universe: versions and exports by Roboflow's REST API, the archive by our resumable download.

Roboflow's own SDK, in 1.7.3, sets no time limit and drops the status of a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import requests
from pydantic import Field

from osteon.errors import SourceError
from osteon.settings import SourceSettings
from osteon.sources.base import Credentials, PublishedFile
from osteon.sources.notes import Note
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.registry import publisher
from osteon.sources.transfer import call_api, download, raise_for_status

REMEDY = (
    "check the project's name and version, and set OSTEON_ROBOFLOW_API_KEY, or Airflow's connection `roboflow_default`"
)
POLL = 2.0
"""Seconds between two looks at an export that is not ready."""
Result = TypeVar("Result")


@publisher
class RoboflowConfig(LabelledConfig):
    """A `roboflow` entry of a sources file."""

    credentials = Credentials("roboflow_default", token="roboflow_api_key")  # noqa: S106 - the name of a setting
    kind: Literal["roboflow"]
    project: str = Field(pattern=r"^[\w-]+/[\w-]+$")
    """`workspace/project`, as in the project's address."""
    version: int | None = Field(None, ge=1)
    """A fixed version; the newest where it is missing."""
    format: str = Field(pattern=r"^[\w-]+$")
    """The export: `folder` for classification, `yolov8` or `coco` for boxes, ... as Roboflow names them."""

    def open(self, settings: SourceSettings, folder: Path) -> RoboflowSource:
        if not settings.roboflow_api_key.get_secret_value():
            raise SourceError(f"source {self.name}: Roboflow wants a key even for public projects: {REMEDY}")
        return RoboflowSource(self, settings)


@dataclass(frozen=True)
class RoboflowSource:
    """A project on Roboflow."""

    config: RoboflowConfig
    settings: SourceSettings

    def latest_version(self) -> str:
        """`VERSION-FORMAT-RULES`. Costs one request, or none where the version is fixed."""
        number = self.config.version
        if number is None:
            numbers = self._ask(lambda found: [_number(item) for item in found["versions"]])
            if not numbers:
                raise SourceError(f"source {self.config.name}: {self.config.project} has no version yet: {REMEDY}")
            number = max(numbers)
        return f"{number}-{self.config.format}-{Reader(self.config, self.settings).digest()}"

    def fetch(self, version: str) -> Iterable[PublishedFile | Note]:
        """Every file of the version, in the order of paths. Raises `SourceError`."""
        number = version.split("-")[0]
        path = download(self.config.name, version, lambda: self._link(number), self.settings, signed=True)
        return Reader(self.config, self.settings).files(path)

    def _link(self, number: str) -> str:
        """A fresh link to the version's export, which is made when nobody asked for it before."""
        deadline = time.monotonic() + self.settings.export_timeout
        while time.monotonic() < deadline:
            is_made = self._ask(lambda found: not found["version"].get("generating"), number)
            link = is_made and self._ask(lambda found: str(found["export"]["link"]), number, self.config.format)
            if link:
                return link
            time.sleep(POLL)
        raise SourceError(
            f"source {self.config.name}: the {self.config.format} export of {self.config.project}/{number} is not "
            f"ready after {self.settings.export_timeout:.0f} s: run again later, or raise OSTEON_EXPORT_TIMEOUT"
        )

    def _ask(self, read: Callable[[Any], Result], *path: str) -> Result | None:
        """One request about this project, tried again where that helps.

        Args:
            read: Finds what is wanted in the JSON of the answer.
            path: Version and format, below the project's address.

        Returns:
            What `read` gives; None while Roboflow still makes it.
        """
        settings, who = self.settings, f"Roboflow ({self.config.project})"
        query = {"api_key": settings.roboflow_api_key.get_secret_value(), **({"nocache": "true"} if path else {})}

        def ask() -> Result | None:
            url = "/".join((settings.roboflow_url, self.config.project, *path))
            answer = requests.get(url, params=query, timeout=settings.http_timeout)
            raise_for_status(answer, who, REMEDY)
            return None if answer.status_code == requests.codes.accepted else read(answer.json())

        return call_api(who, ask)


def _number(version: dict[str, Any]) -> int:
    return int(PurePosixPath(version["id"]).name)
