"""The records of a run: kept below `runs/<run>/stages/` in the lake, and read so that they fit each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from osteon.lake import Lake
from osteon.records import SCHEMA_VERSION, CatalogueRecord, IngestRecord, SourcesRecord, StageRecord

ENDED_SILENTLY = "its task ended without a record: see its log"
R = TypeVar("R", bound=StageRecord)


class Records(dict[str, StageRecord]):
    """The records of a run by name, in the order of its stages."""

    def of(self, kind: type[R]) -> R | None:
        """The record of a stage; None where the run did not come to it."""
        return next((record for record in self.values() if type(record) is kind), None)

    def sources(self) -> dict[str, IngestRecord]:
        """What ingest left of each source, by name. A source whose task was killed has a `problem`, too."""
        asked = self.of(SourcesRecord)
        names = asked.names if asked else []
        found = {record.source: record for record in self.values() if isinstance(record, IngestRecord)}
        return {name: IngestRecord(source=name, problem=ENDED_SILENTLY) for name in names} | found


@dataclass(frozen=True)
class Run:
    """A pipeline run in the lake: an Airflow run id, or any name on the command line."""

    lake: Lake
    run_id: str

    @property
    def prefix(self) -> str:
        """Where in the lake the run's records lie; characters that keys do not hold become `-`."""
        return f"runs/{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.run_id)}"

    def _key(self, name: str) -> str:
        return f"{self.prefix}/stages/{name}.json"

    def remove(self, name: str) -> None:
        """Remove a record. A stage that runs again has done nothing until it ends."""
        self.lake.remove(self._key(name))

    def write(self, record: StageRecord) -> None:
        """Keep a record."""
        record.schema_version = SCHEMA_VERSION
        self.lake.put_json(self._key(record.name), record.model_dump(mode="json"))

    def read(self, kind: type[R], name: str = "") -> R | None:
        """The record of a stage, under `name` where that is not the stage's; None where there is none."""
        key = self._key(name or kind.stage)
        return self.lake.find_model(kind, key) if self.lake.exists(key) else None

    def names(self) -> Iterator[str]:
        """Of the records that the run has, in no particular order."""
        prefix = f"{self.prefix}/stages/"
        for key in self.lake.keys(prefix):
            yield key.removeprefix(prefix).removesuffix(".json")

    def read_all(self, kinds: list[type[StageRecord]]) -> Records:
        """The records of these kinds, in their order. One that cannot be read is left out, with a line in the log."""
        place = {kind.stage: number for number, kind in enumerate(kinds)}
        found = Records()
        names = [name for name in self.names() if stage_of(name) in place]
        for name in sorted(names, key=lambda name: place[stage_of(name)]):
            stage, _, source = name.partition(".")
            record = self.lake.find_model(kinds[place[stage]], self._key(name))
            if isinstance(record, IngestRecord):
                record.source = source  # records of schema version 1 have it in their name only
            if record is not None:
                found[name] = record
        return found

    def sources(self) -> dict[str, IngestRecord]:
        """What ingest left of each source, by name."""
        return self.read_all([SourcesRecord, IngestRecord]).sources()


def stage_of(name: str) -> str:
    """The stage of a record's name: `ingest` of `ingest.fracatlas`."""
    return name.partition(".")[0]


def consistent(records: Records) -> Records:
    """Without what a run did before it was done again with another outcome.

    That is: sources that were taken out, and stages that worked on what no earlier stage of the run gives any more.
    """
    asked = records.of(SourcesRecord)
    found, given = Records(), set[str]()
    for name, record in records.items():
        inputs = set(record.inputs)
        if isinstance(record, IngestRecord):
            fits = asked is None or record.source in asked.names
        elif isinstance(record, CatalogueRecord):
            fits = not given or inputs == given
        else:
            fits = not given or inputs <= given
        if fits:
            found[name] = record
            given.update(record.outputs)
    return found
