"""A source on Roboflow Universe: versions and exports by Roboflow's own SDK, the archive by our resumable download."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar
from unittest.mock import patch

from pydantic import Field

from osteon.errors import SourceError
from osteon.settings import Settings
from osteon.sources.base import Credentials, PublishedFile
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.registry import publisher
from osteon.sources.transfer import download, enquire, judge

REMEDY = (
    "check the project's name and version, and set OSTEON_ROBOFLOW_API_KEY, or Airflow's connection `roboflow_default`"
)
POLL = 2.0
"""Seconds between two looks at an export that is not ready."""
Result = TypeVar("Result")


@publisher
class RoboflowConfig(LabelledConfig):
    """A `roboflow` entry of a sources file."""

    credentials = Credentials("roboflow_default", token="roboflow_api_key")
    kind: Literal["roboflow"]
    project: str = Field(pattern=r"^[\w-]+/[\w-]+$")
    """`workspace/project`, as in the project's address."""
    version: int | None = Field(None, ge=1)
    """A fixed version; the newest where it is missing."""
    format: str = Field(pattern=r"^[\w-]+$")
    """The export: `folder` for classification, `yolov8` or `coco` for boxes, ... as Roboflow names them."""

    def open(self, settings: Settings, folder: Path) -> RoboflowSource:
        if not settings.roboflow_api_key.get_secret_value():
            raise SourceError(f"source {self.name}: Roboflow wants a key even for public projects: {REMEDY}")
        return RoboflowSource(self, settings)


@dataclass(frozen=True)
class RoboflowSource:
    """A project on Roboflow."""

    config: RoboflowConfig
    settings: Settings

    def latest_version(self) -> str:
        """`VERSION-FORMAT-RULES`. Costs one request, or none where the version is fixed."""
        number = self.config.version
        if number is None:
            numbers = self._ask(lambda api, *project: [_number(item) for item in api.get_project(*project)["versions"]])
            if not numbers:
                raise SourceError(f"source {self.config.name}: {self.config.project} has no version yet: {REMEDY}")
            number = max(numbers)
        return f"{number}-{self.config.format}-{Reader(self.config, self.settings).digest()}"

    def fetch(self, version: str) -> Iterable[PublishedFile]:
        """Every file of the version, in the order of paths. Raises `SourceError`."""
        number = version.split("-")[0]
        path = download(self.config.name, version, lambda: self._link(number), self.settings, signed=True)
        return Reader(self.config, self.settings).zip_files(path)

    def _link(self, number: str) -> str:
        """A fresh link to the version's export, which is made when nobody asked for it before."""
        deadline = time.monotonic() + self.settings.export_timeout
        while time.monotonic() < deadline:
            link = self._ask(lambda api, *project: _export(api, (*project, number), self.config.format))
            if link is not None:
                return link
            time.sleep(POLL)
        raise SourceError(
            f"source {self.config.name}: the {self.config.format} export of {self.config.project}/{number} is not "
            f"ready after {self.settings.export_timeout:.0f} s: run again later, or raise OSTEON_EXPORT_TIMEOUT"
        )

    def _ask(self, call: Callable[..., Result]) -> Result:
        """One call of Roboflow's SDK about this project, tried again where that helps."""
        from roboflow.adapters import rfapi
        from roboflow.util import http

        settings, who = self.settings, f"Roboflow ({self.config.project})"
        project = (settings.roboflow_api_key.get_secret_value(), *self.config.project.split("/"))
        options = {
            "timeout": settings.http_timeout,
            "hooks": {"response": lambda answer, **_: judge(answer, who, REMEDY)},
        }
        complete: Any = http._with_user_agent

        def ask() -> Result:
            # roboflow 1.7.3 sets no time limit and drops the status of a refusal: both go in where it sets its headers
            with (
                patch.object(http, "_with_user_agent", lambda keywords: complete({**options, **keywords})),
                patch.object(rfapi, "API_URL", settings.roboflow_url),
            ):
                try:
                    return call(rfapi, *project)
                except rfapi.RoboflowError as error:
                    raise ValueError(error) from None

        return enquire(who, ask)


def _number(version: dict[str, Any]) -> int:
    return int(PurePosixPath(version["id"]).name)


def _export(api: Any, version: tuple[str, ...], kind: str) -> str | None:
    """Link to an export; None while the version or the export is being made."""
    if api.get_version(*version, nocache=True)["version"].get("generating"):
        return None
    export = api.get_version_export(*version, kind)
    return None if export.get("ready") is False else str(export["export"]["link"])
