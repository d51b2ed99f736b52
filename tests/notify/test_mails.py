"""What mails say, word for word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from osteon.notify.alert import Alert, Told
from osteon.notify.mails import Notice, notice_mail, parts_asked, promotion_asked, quality_mail, task_failed
from osteon.quality.findings import Validation
from osteon.quality.pictures import Picture
from osteon.records import PartQuestion, PromotionQuestion

LINKS = {"DAG run": "http://airflow/runs?a=1&b=2", "Data Docs": "quality/x/docs"}
WHEN = datetime(2026, 11, 30, 9, 5, tzinfo=UTC)
CUT: dict[str, Any] = {
    "check": "truncated", "severity": "critical", "message": "2 files are cut <off>.", "count": 2, "share": 0.5,
    "offenders": [{"name": "s:1.jpg", "detail": "half is there", "sha256": "a"}], "remedy": "Replace them.",
    "by_source": {"s": (2, 4)},
}  # fmt: skip
FEW: dict[str, Any] = {
    "check": "enough_images", "severity": "warning", "message": "Too few.", "count": 1, "share": 1.0, "offenders": [],
    "remedy": "Add sources.",
}  # fmt: skip


def alert(*findings: dict[str, Any], before: dict[str, Told] | None = None, repaired: int = 0) -> Alert:
    found = Validation.model_validate({"key": "k", "findings": findings, "repaired": repaired})
    return Alert(found, before, {}, None)


def test_a_quality_mail_lists_findings_changes_and_links() -> None:
    before = {"truncated": Told(1, "x"), "inverted": Told(3, "y")}
    mail = quality_mail(alert(CUT, FEW, before=before, repaired=2), "weekly", LINKS)
    assert mail.subject == "[Osteon] critical: 2 data-quality findings, the run stopped before training"
    assert (
        mail.text
        == """\
The data of run weekly have 2 findings; the run stopped before training.

CRITICAL: 2 files are cut <off>. (+1 since the run before)
  What to do: Replace them.
  By source: s 2 of 4 (50.0%)
  - s:1.jpg half is there
  ... and 1 more

WARNING: Too few. (new since the run before)
  What to do: Add sources.
  ... and 1 more

No longer found: inverted.

Repaired: 2 images, the missing part set to zero in a copy.

DAG run: http://airflow/runs?a=1&b=2
Data Docs: quality/x/docs"""
    )
    assert "2 files are cut &lt;off&gt;." in mail.html and 'href="http://airflow/runs?a=1&amp;b=2"' in mail.html


def test_the_subject_says_how_bad_it_is() -> None:
    assert quality_mail(alert(FEW), "1", {}).subject == "[Osteon] warning: Too few."
    assert quality_mail(alert(), "1", {}).subject == "[Osteon] all is well: no data-quality findings"


def test_a_notice_has_its_text_its_pictures_and_links() -> None:
    notice = Notice(
        "Version 2 of m is champion", "better & <bolder>\nsecond line", [Picture("p", b"png", "curves", 640)]
    )
    mail = notice_mail(notice, "weekly", LINKS)
    assert mail.subject == "[Osteon] Version 2 of m is champion" and mail.pictures == notice.pictures
    assert mail.text == (
        "Version 2 of m is champion, run weekly.\n\nbetter & <bolder>\nsecond line\n\n"
        "DAG run: http://airflow/runs?a=1&b=2\nData Docs: quality/x/docs"
    )
    assert "better &amp; &lt;bolder&gt;" in mail.html and 'src="cid:p"' in mail.html


def test_notices_say_what_people_are_asked_and_what_failed() -> None:
    questions = [PartQuestion(image="a", name="s:1.jpg", why="leg with 60%")]
    asked = parts_asked(questions, WHEN, [])
    assert asked.title == "A run waits for you: 1 image needs a body part"
    assert asked.text == (
        "1 image needs a body part. Answer until Monday 30 November 2026, 09:05 UTC.\n"
        "The run leaves out what nobody answers.\n\ns:1.jpg: leg with 60%."
    )
    promotion = promotion_asked(PromotionQuestion(champion="3", name="m", why="The promotion rules say: better."), WHEN)
    assert promotion.title == "A run waits for you: may the new version of m become champion?"
    assert promotion.text == (
        "The promotion rules say: better. It would replace version 3.\n"
        "Answer until Monday 30 November 2026, 09:05 UTC. Unanswered, the champion stays."
    )
    assert task_failed("train", "xray_weekly", None) == Notice(
        "Task train of xray_weekly failed", "The task gave no error; see its log."
    )
    assert task_failed("train", "xray_weekly", ValueError("too large")).text == "too large"
