"""Versions of sources whose labels passed the checks: what later versions are compared with.

A version that stopped a run is not among them, so wrong labels are no measure for those of the next week.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from osteon.lake import Lake
from osteon.records import IngestRecord


class Accepted(BaseModel):
    """The version of a source that the last run accepted."""

    model_config = ConfigDict(frozen=True)

    manifest: str
    before: str | None = None
    """Manifest of the version that earlier runs accepted; None for the first."""
    run: str
    """Id of the run that accepted it."""
    unchecked: tuple[str, ...] = ()
    """What could not be checked of its labels, one sentence each."""


def _key(source: str) -> str:
    return f"accepted/{source}.json"


def accept(lake: Lake, run: str, sources: dict[str, IngestRecord], unchecked: dict[str, list[str]]) -> None:
    """Keep the versions that a run accepted.

    Args:
        lake: The lake.
        run: Id of the run, in which no check stopped training.
        sources: What ingest left of each source.
        unchecked: By source, what could not be checked of its labels. A version that was accepted before keeps what was
            said of it then.
    """
    for name, record in sources.items():
        if record.manifest is None:
            continue
        last = lake.find_model(Accepted, _key(name)) if lake.exists(_key(name)) else None
        if last is not None and last.manifest == record.manifest:
            continue
        before = None if last is None else last.before if last.run == run else last.manifest
        kept = Accepted(manifest=record.manifest, before=before, run=run, unchecked=tuple(unchecked.get(name, ())))
        lake.put_model(_key(name), kept)


def accepted_before(lake: Lake, run: str, sources: Iterable[str]) -> dict[str, str]:
    """Manifest of the version of each source that runs before this one accepted; sources without one are left out."""
    found = {}
    for name in sources:
        last = lake.find_model(Accepted, _key(name)) if lake.exists(_key(name)) else None
        manifest = None if last is None else last.before if last.run == run else last.manifest
        if manifest is not None and lake.exists(manifest):
            found[name] = manifest
    return found


def unchecked_of(lake: Lake, source: str) -> tuple[str, ...]:
    """What could not be checked of the labels of a source, as they were accepted last, one sentence each."""
    kept = lake.find_model(Accepted, _key(source)) if lake.exists(_key(source)) else None
    return () if kept is None else kept.unchecked
