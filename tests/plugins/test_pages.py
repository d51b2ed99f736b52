"""Osteon's pages in Airflow, asked as a browser asks: what of the lake they show, and what they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from osteon.lake import Lake
from osteon.settings import Settings
from tests.pictures import encode, radiograph


@pytest.fixture
def stranger(airflow: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client that is not logged in."""
    from fastapi.testclient import TestClient

    from osteon_airflow.pages import app

    monkeypatch.setenv("OSTEON_S3_BUCKET", settings.s3_bucket)
    with TestClient(app, base_url="http://airflow", follow_redirects=False) as client:
        yield client


@pytest.fixture
def reader(stranger: Any) -> Iterator[Any]:
    """A client whose user Airflow knows."""
    from airflow.api_fastapi.core_api.security import get_user

    stranger.app.dependency_overrides[get_user] = lambda: "ann"
    yield stranger
    stranger.app.dependency_overrides.clear()


@pytest.mark.parametrize("path", ["/", "/lake/runs/one/report/index.html", f"/thumbnail/{'0' * 64}.png"])
def test_a_stranger_is_led_to_the_log_in_and_back(stranger: Any, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/auth/login/?next=http%3A%2F%2Fairflow%2F")


def test_pages_of_reports_and_data_docs_are_shown_and_may_load_nothing_from_elsewhere(reader: Any, lake: Lake) -> None:
    for key in ("runs/one/report/index.html", "quality/one/docs/deep/index.html"):
        lake.put_bytes(key, b"<p>page</p>")
        answer = reader.get(f"/lake/{key}")
        assert (answer.status_code, answer.text) == (200, "<p>page</p>")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "images/ab/abc",
        "history/copies/one.parquet",
        "quality/one/docs/%2e%2e/%2e%2e/%2e%2e/images/ab/abc",
        "runs/one/report/..%2f..%2f..%2fimages/ab/abc",
    ],
)
def test_nothing_else_of_the_lake_is_shown_whatever_the_path_says(reader: Any, lake: Lake, path: str) -> None:
    for key in ("images/ab/abc", "history/copies/one.parquet"):
        lake.put_bytes(key, b"secret")
    answer = reader.get(f"/lake/{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "there is no such page"})


def test_a_page_that_is_gone_is_named(reader: Any) -> None:
    answer = reader.get("/lake/runs/none/report/index.html")
    assert answer.status_code == 404
    assert "holds no runs/none/report/index.html" in answer.json()["detail"]


def test_a_thumbnail_is_scaled_and_an_image_that_is_not_there_is_none(reader: Any, lake: Lake) -> None:
    import cv2

    digest, _ = lake.put_image(encode(radiograph(1)))
    answer = reader.get(f"/thumbnail/{digest}.png")
    assert answer.headers["Content-Type"] == "image/png"
    shown = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None and shown.shape == (512, 512)
    assert reader.get(f"/thumbnail/{'0' * 64}.png").status_code == 404


def test_the_list_of_runs_escapes_names_and_links_to_the_report(reader: Any, lake: Lake) -> None:
    assert "No run has left a report yet" in reader.get("/").text
    key = "runs/one/report/index.html"
    summary = {"run": "<b>one</b>", "images": 7, "snapshot": None, "alerts": [], "report": key, "data_docs": None}
    lake.put_json("runs/one/summary.json", summary)
    page = reader.get("/").text
    assert "&lt;b&gt;one&lt;/b&gt;" in page
    assert "<b>one</b>" not in page
    assert f"<a href='/osteon/lake/{key}'>report</a>" in page
    assert "Data Docs" not in page
