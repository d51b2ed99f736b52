"""What runs told people is lost by no run: neither by two at once, nor by one that is tried again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from osteon.lake import Lake
from osteon.notify.alert import Alert, Told
from osteon.pipeline.context import SENT, Context
from osteon.pipeline.memory import Memory
from osteon.pipeline.notices import NOTHING_NEW, alert_people
from osteon.quality.findings import Validation
from tests.notifier import RecordingNotifier

MERGES, ALERTS = "merges/m", "alerts/m"


def read(lake: Lake, run: str) -> Memory[str]:
    return Memory.read(lake, MERGES, run, str)


def found(*checks: str) -> Validation:
    common = {"severity": "warning", "count": 1, "share": 0.1, "offenders": [], "remedy": "mend it"}
    findings = [{"check": check, "message": f"{check} fails", **common} for check in checks]
    return Validation.model_validate({"key": "key", "findings": findings})


def test_the_next_run_reads_what_the_last_one_told(lake: Lake) -> None:
    first = read(lake, "1")
    assert first.before is None
    first.keep({"a": "hand"})
    second = read(lake, "2")
    assert second.before == {"a": "hand"}
    second.keep({"b": "leg"})
    assert read(lake, "3").before == {"b": "leg"}, "what the last run tells no more is gone"
    read(lake, "3").keep({})
    assert read(lake, "4").before == {}


def test_of_two_runs_at_once_both_are_remembered(lake: Lake) -> None:
    read(lake, "1").keep({"a": "hand", "b": "hand"})
    one, other = read(lake, "2"), read(lake, "3")
    one.keep({"a": "leg", "c": "leg"})
    other.keep({"b": "leg"})
    after = read(lake, "4")
    assert after.before == {"a": "leg", "b": "leg", "c": "leg"}
    after.keep({"a": "leg"})
    assert read(lake, "5").before == {"a": "leg"}


def test_a_run_that_is_tried_again_compares_with_what_it_found_at_first(lake: Lake) -> None:
    read(lake, "1").keep({"a": "hand"})
    read(lake, "2").keep({"a": "leg"})
    again = read(lake, "2")
    assert again.before == {"a": "hand"}
    again.keep({"a": "knee"})
    assert read(lake, "2").before == {"a": "hand"}
    assert read(lake, "3").before == {"a": "knee"}, "the last try counts"


@pytest.mark.parametrize("name", ["told", "merged"])
def test_what_an_older_version_remembered_is_read(lake: Lake, name: str) -> None:
    lake.put_json(f"{MERGES}.json", {"run": "1", name: {"a": "hand"}, "before": {"a": "leg"}})
    assert read(lake, "1").before == {"a": "leg"} and read(lake, "2").before == {"a": "hand"}
    read(lake, "2").keep({"b": "leg"})
    assert read(lake, "3").before == {"b": "leg"}
    lake.put_json(f"{ALERTS}.json", {"run": "1", "told": {"x": {"count": 3, "digest": "d"}}, "before": None})
    assert Memory.read(lake, ALERTS, "2", Told).before == {"x": Told(3, "d")}


def test_what_cannot_be_read_is_left_out_with_a_line_in_the_log(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    read(lake, "1").keep({"a": "hand"})
    for name, data in {"0": b"{", "9": b'{"run": "x", "told": 3, "before": null}'}.items():
        lake.put_bytes(f"{MERGES}/{name}.json", data)
    assert read(lake, "2").before == {"a": "hand"}
    assert f"{MERGES}/0.json is left out" in caplog.text and f"{MERGES}/9.json is left out" in caplog.text


@dataclass
class TogetherNotifier(RecordingNotifier):
    """Answers once two runs are about to send."""

    both: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))

    def alert(self, alert: Alert, stage: str) -> str:
        self.both.wait()
        return super().alert(alert, stage)


def test_two_runs_that_mail_at_once_are_both_told_of_by_the_next(environment: dict[str, str]) -> None:
    together = TogetherNotifier()

    def mail(run: str, checks: Sequence[str]) -> str:
        return alert_people(Context.open(run, together), found(*checks), "gate", "m")

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(mail, ("1", "2"), (("truncated",), ("inverted",)))) == [SENT, SENT]
    later = RecordingNotifier()
    assert alert_people(Context.open("3", later), found("truncated", "inverted"), "gate", "m") == NOTHING_NEW
    assert alert_people(Context.open("4", later), found("truncated"), "gate", "m") == SENT
    assert later.alerts[0].gone == ["inverted"]
