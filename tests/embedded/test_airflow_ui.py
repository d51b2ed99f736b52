"""What a person does with the embedded services: trigger the DAG from the form, and see what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
import yaml
from playwright.sync_api import Page, sync_playwright

from osteon.embedded.ports import HOST
from osteon.embedded.stack import Stack
from tests.conftest import fresh_settings
from tests.embedded.test_stack import listening

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(fresh_settings(tmp_path / "state"))
    stack.up()
    yield stack
    stack.down()


@pytest.fixture
def page() -> Iterator[Page]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: install Debian's package chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def test_a_run_triggered_from_the_form_succeeds_and_is_seen(page: Page, everything: Stack, tmp_path: Path) -> None:
    supervisor = psutil.Process(int((everything.home / "supervisord.pid").read_text()))
    assert listening({supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))}) == {HOST}

    sources = tmp_path / "sources.yaml"
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 200, "longer_side": [90, 120]}
    sources.write_text(yaml.safe_dump({"model": "from-the-form", "sources": [{**entry, "defects": {"truncated": 3}}]}))
    urls, (user, password) = everything.urls(), everything.login()
    page.goto(urls["airflow"])
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)
    page.goto(f"{urls['airflow']}/dags/xray_weekly")
    page.get_by_role("button", name="Trigger").click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_sources]").fill(str(sources))
    form.get_by_role("button", name="Trigger", exact=True).click()
    page.wait_for_url("**/runs/manual*")
    run = page.url
    page.goto(f"{urls['airflow']}/dags/xray_weekly/runs")
    page.get_by_role("row").filter(has_text="admin").get_by_text("Success").wait_for(timeout=400_000)

    page.goto(f"{run}/tasks/inspect")
    page.get_by_text("inspect: 200 of 200 done").wait_for()
    page.goto(f"{urls['mlflow']}/#/models/from-the-form")
    page.get_by_text("champion").first.wait_for()
    page.goto(urls["mail"])
    page.get_by_role("link", name="data-quality findings").click()
    assert "Images with a broken stream: 3" in page.frame_locator("iframe").locator("body").inner_text()

    answer = requests.get(f"{urls['airflow']}/osteon/", allow_redirects=False, timeout=30)
    assert answer.status_code == 303 and "/auth/login" in answer.headers["Location"], "strangers see nothing"
    page.goto(f"{urls['airflow']}/plugin/xray-reports")
    reports = page.frame_locator("iframe")
    reports.get_by_role("link", name="report").wait_for()
    page.goto(f"{urls['airflow']}/osteon/")
    page.get_by_role("link", name="Data Docs").click()
    page.get_by_role("cell", name="catalog-images").wait_for()
    for path in ("images/ab/abc", "quality/../images/x", "splits/assignments.parquet", "runs/none/report/index.html"):
        page.goto(f"{urls['airflow']}/osteon/lake/{path}")
        assert "detail" in page.content() or "404" in page.content()

    (scheduler,) = (child for child in supervisor.children() if "scheduler" in child.cmdline())
    scheduler.kill()
    psutil.wait_procs([scheduler], timeout=30)
    assert everything.up() == ["airflow"], "a service that lost a process is started anew, on its own port"
    assert everything.running() == {"s3", "mail", "mlflow", "airflow"}
    everything.down()
    session = [process for process in psutil.process_iter() if session_of(process.pid) == supervisor.pid]
    left = [process for process in session if process.status() != psutil.STATUS_ZOMBIE]
    assert left == [], "workers of a killed scheduler are ended as well"
