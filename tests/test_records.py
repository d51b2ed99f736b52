"""What a run says of itself, and what it no longer says when it was done again."""

from __future__ import annotations

import logging

import pytest

from osteon.lake import Lake
from osteon.pipeline.stages import STAGES, read_records
from osteon.records import (
    CatalogKey,
    CatalogueRecord,
    CompareRecord,
    ComparisonKey,
    GateRecord,
    IngestRecord,
    InspectRecord,
    ManifestKey,
    RegisterRecord,
    ReviewRecord,
    SourcesRecord,
    SplitRecord,
    StageRecord,
    TrainingKey,
    ValidateRecord,
    ValidationKey,
)
from osteon.runs import Run


def pulled(source: str, manifest: str) -> IngestRecord:
    return IngestRecord(source=source, manifest=ManifestKey(manifest))


def reviewed(catalog: str) -> ReviewRecord:
    return ReviewRecord(catalog=CatalogKey(catalog), inputs=("c1",))


def validated(catalog: str, key: str) -> ValidateRecord:
    return ValidateRecord(validation=ValidationKey(key), inputs=(catalog, "manifest a"))


def write(run: Run, *records: StageRecord) -> None:
    for record in records:
        run.write(record)


def test_what_worked_on_something_else_than_the_run_has_now_is_left_out(lake: Lake) -> None:
    run = Run(lake, "weekly")
    registered = RegisterRecord(
        model="m", version="1", alias="champion", promoted=True, reason="", champion="1", new=True,
        training=TrainingKey("t"), comparison=ComparisonKey("k1"), inputs=("k1",),
    )  # fmt: skip
    write(
        run,
        SourcesRecord(names=["a", "b"]),
        pulled("a", "manifest a"),
        pulled("b", "manifest b"),
        CatalogueRecord(catalog=CatalogKey("c1"), inputs=("manifest a", "manifest b")),
        reviewed("r1"),
        validated("r1", "v1"),
        GateRecord(mail="sent", inputs=("v1",)),
        SplitRecord(catalog=CatalogKey("s1"), snapshot="id 1", inputs=("r1",)),
        CompareRecord(comparison=ComparisonKey("k1"), inputs=("id 1",)),
        registered,
    )
    begin = ["sources", "ingest.a", "ingest.b", "catalogue"]
    assert list(read_records(run)) == [*begin, "review", "validate", "gate", "split", "compare", "register"]
    write(run, reviewed("r1"))
    assert "register" in read_records(run), "the same once more changes nothing"

    write(run, reviewed("r2"), validated("r2", "v2"))
    assert list(read_records(run)) == [*begin, "review", "validate"]
    assert read_records(run).sources()["b"].manifest == "manifest b"
    write(run, pulled("b", "manifest of another week"))
    assert list(read_records(run)) == ["sources", "ingest.a", "ingest.b"]
    run.remove("ingest.b")  # as a stage does that a time limit ends
    sources = read_records(run).sources()
    assert "ended without a record" in str(sources["b"].problem) and sources["a"].problem is None
    write(run, CatalogueRecord(catalog=CatalogKey("c2"), inputs=("manifest a",)))
    assert list(read_records(run)) == ["sources", "ingest.a", "catalogue"], "what did not end again is left out"
    write(run, SourcesRecord(names=["a"]))
    assert list(read_records(run)) == ["sources", "ingest.a", "catalogue"]
    assert list(read_records(run).sources()) == ["a"]


def test_a_run_of_some_stages_has_records_of_these(lake: Lake) -> None:
    run = Run(lake, "later")
    write(
        run,
        CompareRecord(comparison=ComparisonKey("k"), inputs=("id",)),
        SplitRecord(catalog=CatalogKey("s"), snapshot="id", inputs=("a catalog of another run",)),
    )
    assert list(read_records(run)) == ["split", "compare"]


def test_records_of_another_version_are_read_or_left_out_with_a_line_in_the_log(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(lake, "old")
    old = {"inputs": ["m"], "seconds": 1.5, "images": 3, "decoded": 2, "truncated": 0, "catalog": "i", "novel": 1}
    lake.put_json(f"{run.prefix}/stages/inspect.json", old)
    lake.put_json(f"{run.prefix}/stages/ingest.a.json", {"inputs": [], "manifest": "m", "before": None, "files": 3})
    lake.put_json(f"{run.prefix}/stages/split.json", {"inputs": ["i"], "moved": "many"})
    lake.put_json(f"{run.prefix}/stages/polish.json", {"inputs": ["i"]})
    lake.put_bytes(f"{run.prefix}/stages/repair.json", b'{"catalog": "r"')
    lake.put_json(f"{run.prefix}/stages/check.json", [])
    with caplog.at_level(logging.WARNING):
        records = read_records(run)
    assert list(records) == ["ingest.a", "inspect"]
    assert records.sources()["a"].manifest == "m"
    inspected = records.of(InspectRecord)
    assert inspected is not None and (inspected.decoded, inspected.schema_version) == (2, 1)
    assert all(f"{name}.json is left out" in caplog.text for name in ("split", "repair", "check"))
    assert "polish, which is no stage" in caplog.text


def test_each_stage_has_a_record_of_its_own() -> None:
    kinds = [stage.record for stage in STAGES]
    assert len(set(kinds)) == len(kinds) == len({kind.stage for kind in kinds})
