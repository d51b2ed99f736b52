"""Stages of a run, in this process, as several tests run them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT
from osteon.records import IngestRecord, StageRecord
from osteon.sources.base import PublishedFile, Source

R = TypeVar("R", bound=StageRecord)


def run_to_split(run: str, sources: Path) -> Context:
    """Pull all sources and split what came, without the stages that need a mail server or a model."""
    context = Context.open(run)
    prepare(context, str(sources), INSPECT, REPAIR, GROUP, REVIEW, SPLIT, seed=0)
    return context


def until_later_than(lake: Lake, key: str) -> None:
    """Wait until the store dates what is written now later than an object: it tells times to the second."""
    lake.put_bytes("clock", b"")
    while lake.changed("clock") <= lake.changed(key):
        lake.put_bytes("clock", b"")


def record_of(context: Context, kind: type[R]) -> R:
    """The record of a stage that the run came to."""
    found = context.run.read(kind)
    assert found is not None, f"the run left no record of {kind.stage}"
    return found


def published_files(source: Source, version: str | None = None) -> list[PublishedFile]:
    """The files of a version, or of the latest, without what the source notes of itself."""
    found = source.fetch(source.latest_version() if version is None else version)
    return [one for one in found if isinstance(one, PublishedFile)]


def ingested(context: Context, source: str = "s") -> IngestRecord:
    """What ingest left of a source."""
    return context.run.sources()[source]
