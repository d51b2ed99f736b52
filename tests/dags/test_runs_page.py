"""The page of runs in Airflow, asked as a browser asks, with summaries of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from osteon.lake import Lake
from osteon.reports.summary import Summary
from osteon.settings import Settings


@pytest.fixture
def reader(airflow: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client whose user Airflow knows."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from osteon_airflow.pages import app

    monkeypatch.setenv("OSTEON_S3_BUCKET", settings.s3_bucket)
    app.dependency_overrides[get_user] = lambda: "ann"
    with TestClient(app, base_url="http://airflow") as client:
        yield client
    app.dependency_overrides.clear()


def test_no_old_or_broken_summary_keeps_the_others_from_being_shown(reader: Any, lake: Lake) -> None:
    good = Summary(run="weekly <1>", report="runs/weekly/report/index.html", images=260, snapshot="id", alerts=[])
    lake.put_json("runs/weekly/summary.json", good.model_dump(mode="json"))
    lake.put_json("runs/old/summary.json", {"run": "an old run", "report": "runs/old/report/index.html", "images": 7})
    for name, data in {"cut": b'{"run": "cut"', "empty": b"", "list": b"[1]", "other": b'{"runs": 3}'}.items():
        lake.put_bytes(f"runs/{name}/summary.json", data)
    answer = reader.get("/")
    assert answer.status_code == 200
    assert "<td>weekly &lt;1&gt;</td><td>260</td><td>id</td><td>0</td>" in answer.text
    assert "<td>an old run</td><td>7</td><td>–</td><td>–</td>" in answer.text
    assert "/osteon/lake/runs/old/report/index.html" in answer.text
    for name in ("cut", "empty", "list", "other"):
        assert f"<td>{name}</td><td>–</td><td>–</td><td>its summary cannot be read</td>" in answer.text
