"""What runs told people: one object for each time, merged when it is read, so that two runs at once lose nothing.

Each object names those that it goes on from. What no object goes on from was told last: one object, or several where
runs told at the same time.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from osteon.lake import Lake

V = TypeVar("V")
SCHEMA_VERSION = 1
log = logging.getLogger(__name__)


class Telling(BaseModel, Generic[V]):
    """What one run told, by check or by source."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 0
    """0 in the object of an older Osteon, which all runs shared."""
    run: str
    told: dict[str, V] = Field(validation_alias=AliasChoices("told", "merged"))
    before: dict[str, V] | None
    """What was told before, with which the run compared; None where nothing was."""
    after: tuple[str, ...] = ()
    """Keys of the objects that it goes on from."""


@dataclass(frozen=True)
class Memory(Generic[V]):
    """What the runs of one model told of one subject. Make a new one for each stage that reads it."""

    run: str
    before: dict[str, V] | None
    """What other runs told last; None where none told anything. A task that is tried again finds here what it found
    at first."""
    _lake: Lake
    _folder: str
    _kind: type[Telling[V]]
    _after: tuple[str, ...]

    @classmethod
    def read(cls, lake: Lake, folder: str, run: str, value: type[V]) -> Memory[V]:
        """Read what was told last.

        Args:
            lake: Where the objects lie.
            folder: Such as `alerts/osteon`. `alerts/osteon.json`, of an older Osteon, is read as well.
            run: The id of the run that asks.
            value: The type of what is told under each name.

        Returns:
            What was told. An object that cannot be read is left out, with a line in the log.
        """
        kind: Any = Telling[value]  # type: ignore[valid-type]
        shared = f"{folder}.json"
        keys = [*([shared] if lake.exists(shared) else []), *lake.keys(f"{folder}/")]
        found = dict[str, Telling[V]]()
        for key, data in zip(keys, lake.get_all(keys), strict=True):
            try:
                found[key] = kind.model_validate_json(data)
            except ValidationError as error:
                log.warning("%s is left out, this version of Osteon cannot read it: %s", key, error)
        superseded = {key for telling in found.values() for key in telling.after}
        last = {key: telling for key, telling in found.items() if key not in superseded}
        parts = [telling.before if telling.run == run else telling.told for telling in last.values()]
        known = [part for part in parts if part is not None]
        before = {name: told for part in known for name, told in part.items()} if known else None
        return cls(run, before, lake, folder, kind, tuple(last))

    def keep(self, told: dict[str, V]) -> None:
        """Remember what this run told."""
        telling = self._kind(
            schema_version=SCHEMA_VERSION, run=self.run, told=told, before=self.before, after=self._after
        )
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.run)
        key = f"{self._folder}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{name}-{uuid.uuid4().hex[:8]}.json"
        self._lake.put_json(key, telling.model_dump(mode="json"))
