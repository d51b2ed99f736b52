"""Findings in the lake: what an older Osteon wrote is read, and nothing is lost on the way."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from osteon.lake import Lake
from osteon.quality.findings import MOST_IN_LINE, MOST_NAMED, Finding, Offender, read_validation, write_validation

PAIR = {"name": "s:0.jpg", "detail": "score 7.2", "sha256": "a", "other": "s:1.jpg", "other_sha256": "b"}
OLD = {
    "key": "quality/x/result.json", "docs": "quality/x/docs", "repaired": 1, "classes": {"hand/fractured": {"s": 3}},
    "repairs": [{"name": "s:0.jpg", "sha256": "a", "repaired": "c"}],
    "findings": [
        {"check": "possible_copies", "severity": "warning", "message": "1 pair", "count": 1, "share": 0.5,
         "offenders": [PAIR], "remedy": "Look.", "by_source": {"s": [1, 4]}},
    ],
}  # fmt: skip


def test_what_an_older_version_wrote_is_read_and_written_as_it_was(lake: Lake) -> None:
    lake.put_json("quality/x/result.json", OLD)
    found = read_validation(lake, "quality/x/result.json")
    (finding,) = found.findings
    (pair,) = finding.offenders
    assert (pair.both_names, pair.digests, pair.group) == ("s:0.jpg and s:1.jpg", ["a", "b"], None)
    assert finding.by_source == {"s": (1, 4)} and not found.stops and found.repairs[0].repaired == "c"
    write_validation(lake, found)
    assert lake.get_json(found.key) == {**OLD, "schema_version": 1, "unchecked": {}}
    assert read_validation(lake, found.key) == found


def test_what_is_no_validation_is_refused(lake: Lake) -> None:
    lake.put_json("quality/x/result.json", {**OLD, "findings": [{"check": "truncated"}]})
    with pytest.raises(ValidationError, match="severity"):
        read_validation(lake, "quality/x/result.json")


def test_a_group_is_one_line_and_what_is_not_named_is_counted() -> None:
    grouped = [Offender(name=f"s:{number}.jpg", detail="d", group="g") for number in range(MOST_IN_LINE + 2)]
    single = [Offender(name=f"t:{number}.jpg", detail="") for number in range(MOST_NAMED + 3)]
    finding = Finding(
        check="near_copies",
        severity="warning",
        message="",
        count=99,
        share=0.1,
        offenders=grouped + single,
        remedy="",
        by_source={"t": (11, 20), "s": (8, 8)},
    )
    lines, more = finding.lines()
    assert lines[0].name.startswith("s:0.jpg = s:1.jpg = ") and lines[0].name.endswith("s:5.jpg = 2 more")
    assert (len(lines), lines[0].count, more) == (MOST_NAMED, len(grouped), 99 - len(grouped) - MOST_NAMED + 1)
    assert finding.sources_line() == "s 8 of 8 (100.0%), t 11 of 20 (55.0%)"
