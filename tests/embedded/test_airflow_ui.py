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

from osteon import catalog as catalogs
from osteon.curation.decisions import decisions
from osteon.embedded.ports import HOST
from osteon.embedded.stack import Stack
from osteon.lake import Lake
from tests.conftest import fresh_settings
from tests.embedded.test_stack import listening

CHROMIUM = Path("/usr/bin/chromium")
DEFECTS = {"truncated": 3, "ambiguous_label": 2}
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


def answer_questions(page: Page, url: str, answers: list[str]) -> None:
    """Look at each radiograph that curators are asked about, and say what it shows."""
    page.goto(url)
    while not page.get_by_text(f"Pending required actions ({len(answers)})").is_visible():
        page.wait_for_timeout(3000)
        page.reload()
    for count, answer in enumerate(answers, start=1):
        question = page.get_by_role("dialog").last
        question.get_by_alt_text("radiograph").evaluate("image => image.decode()")
        question.get_by_role("combobox").last.click()
        page.get_by_role("option", name=answer, exact=True).click()
        question.get_by_role("button", name="Respond").click()
        left = len(answers) - count
        page.get_by_text(f"Pending required actions ({left})").wait_for() if left else page.wait_for_timeout(2000)


def test_a_run_triggered_from_the_form_succeeds_and_is_seen(page: Page, everything: Stack, tmp_path: Path) -> None:
    supervisor = psutil.Process(int((everything.home / "supervisord.pid").read_text()))
    assert listening({supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))}) == {HOST}

    sources = tmp_path / "sources.yaml"
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 200, "longer_side": [90, 120]}
    sources.write_text(yaml.safe_dump({"model": "from-the-form", "sources": [{**entry, "defects": DEFECTS}]}))
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
    answer_questions(page, f"{run}/required_actions", ["leg", "leave out"])
    page.goto(f"{urls['airflow']}/dags/xray_weekly/runs")
    page.get_by_role("row").filter(has_text="admin").get_by_text("Success").wait_for(timeout=400_000)

    lake = Lake.from_settings(everything.applied_settings())
    made = decisions(lake)
    assert sorted(item.action for item in made) == ["drop", "label"] and {item.who for item in made} == {user}
    catalog = catalogs.read(lake, next(key for key in lake.keys("split/") if key.endswith(".parquet")))
    asked = catalog[catalog["raw_label"].str.contains("+", regex=False, na=False)]
    assert (
        sorted(asked["body_part"].fillna("none")) == ["leg", "none"]
        and (asked["label_origin"] == catalogs.HUMAN).sum() == 1
    )

    page.goto(f"{run}/tasks/inspect")
    page.get_by_text("inspect: 200 of 200 done").wait_for()
    page.goto(f"{urls['mlflow']}/#/models/from-the-form")
    page.get_by_text("champion").first.wait_for()
    page.goto(urls["mail"])
    page.get_by_role("link", name="data-quality findings").click()
    assert "3 image files are cut off before the end" in page.frame_locator("iframe").locator("body").inner_text()

    answer = requests.get(f"{urls['airflow']}/osteon/", allow_redirects=False, timeout=30)
    assert answer.status_code == 303 and "/auth/login" in answer.headers["Location"], "strangers see nothing"
    page.goto(f"{urls['airflow']}/plugin/xray-reports")
    reports = page.frame_locator("iframe")
    reports.get_by_role("link", name="report").wait_for()
    page.goto(f"{urls['airflow']}/osteon/")
    page.get_by_role("link", name="Data Docs").click()
    page.get_by_role("cell", name="catalog-images").wait_for()

    (scheduler,) = (child for child in supervisor.children() if "scheduler" in child.cmdline())
    scheduler.kill()
    psutil.wait_procs([scheduler], timeout=30)
    assert everything.up() == ["airflow"], "a service that lost a process is started anew, on its own port"
    assert everything.running() == {"s3", "mail", "mlflow", "airflow"}
    everything.down()
    session = [process for process in psutil.process_iter() if session_of(process.pid) == supervisor.pid]
    left = [process for process in session if process.status() != psutil.STATUS_ZOMBIE]
    assert left == [], "workers of a killed scheduler are ended as well"
