"""`summary.json`: what is written is read, and what cannot be read stops nobody."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from osteon.lake import Lake
from osteon.records import (
    CatalogKey,
    CheckRecord,
    IngestRecord,
    InspectRecord,
    ManifestKey,
    SourcesRecord,
    ValidationKey,
)
from osteon.reports.summary import Summary, summarise, summary_key
from osteon.runs import Records, Run
from tests.test_results import FIRST_COMPARISON, FIRST_TRAINING

OLD: dict[str, Any] = {
    "run": "old", "snapshot": "id", "images": 3, "truncated": 0, "repaired": 0, "quarantined": 0, "duplicates": 0,
    "groups": 3, "sources": {"s": {"files": 3, "images": 3, "duplicates": 0, "quarantined": 0}}, "split": {"train": 3},
    "leakage": None, "models": {"cnn_bilstm": FIRST_TRAINING}, "comparison": FIRST_COMPARISON,
    "registered": {"model": "m", "version": "1", "alias": "champion", "promoted": True, "reason": "first"},
    "alerts": [{"check": "truncated", "severity": "warning", "message": "1 file", "count": 1, "remedy": "mend"}],
    "data_docs": "quality/x/docs", "seconds": {"split": 1.5}, "work": {"uploaded": 3, "decoded": None},
    "report": "runs/old/report/index.html", "novel": 1,
}  # fmt: skip


def test_a_summary_says_what_the_stages_did(lake: Lake) -> None:
    check = CheckRecord(catalog=CatalogKey("c"), check=ValidationKey("k"), tests=6, closest=1.5, bar=4.0, waiting=2)
    lake.put_json("k", {"key": "k", "docs": "", "findings": [], "classes": {}, "repaired": 0, "repairs": []})
    pulled = IngestRecord(source="s", manifest=ManifestKey("m"), uploaded=4)
    stages = [SourcesRecord(names=["s"]), pulled, InspectRecord(catalog=CatalogKey("i"), decoded=3, seconds=2.5), check]
    run = Run(lake, "weekly")
    found = summarise(lake, run, Records({stage.name: stage for stage in stages}), None)
    assert found.leakage is not None and (found.leakage.tests, found.leakage.waiting) == (6, 2)
    assert (found.work.uploaded, found.work.decoded, found.seconds["inspect"]) == (4, 3, 2.5)
    assert found.images is None and found.alerts is None and found.report == "runs/weekly/report/index.html"
    lake.put_json(summary_key(run), found.model_dump(mode="json"))
    assert lake.find_model(Summary, summary_key(run)) == found


def test_a_summary_without_a_version_is_read(lake: Lake) -> None:
    lake.put_json("runs/old/summary.json", OLD)
    found = lake.find_model(Summary, "runs/old/summary.json")
    assert found is not None and found.registered is not None and found.registered.version == "1"
    assert found.alerts is not None and found.alerts[0].check == "truncated"
    assert found.models["cnn_bilstm"].evaluation.metadata_baseline == {"body part": 0.5}
    assert found.comparison is not None and found.comparison.better_baselines == ["forest"]
    others = OLD.keys() - {"novel", "models", "comparison"}
    assert found.model_dump(mode="json", exclude_unset=True, include=others) == {key: OLD[key] for key in others}
    lake.put_json("runs/alone/summary.json", OLD | {"comparison": []})
    alone = lake.find_model(Summary, "runs/alone/summary.json")
    assert alone is not None and alone.comparison is None, "that run compared nothing"
    older = {key: OLD[key] for key in ("run", "report", "images")}
    lake.put_json("runs/older/summary.json", older)
    assert lake.find_model(Summary, "runs/older/summary.json") == Summary(**older)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"run": "x"}', b'{"run": 1, "report": []}'])
def test_a_broken_summary_is_left_out_with_a_line_in_the_log(
    lake: Lake, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    lake.put_bytes("runs/broken/summary.json", data)
    with caplog.at_level(logging.WARNING):
        assert lake.find_model(Summary, "runs/broken/summary.json") is None
    assert "runs/broken/summary.json is left out" in caplog.text
    assert lake.find_model(Summary, "runs/absent/summary.json") is None
