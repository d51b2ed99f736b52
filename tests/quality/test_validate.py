"""Findings of the Great Expectations suite on catalogs made by hand, and the mail that tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import history
from osteon.curation.decisions import Decision, decide
from osteon.curation.measurements import keep
from osteon.errors import ConfigurationError
from osteon.images.families import registered
from osteon.images.measure import Measured
from osteon.ingest import notes_key
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.notify.alert import Alert, Told, told
from osteon.notify.mails import quality_mail
from osteon.quality.check import registered as checks
from osteon.quality.findings import Offender, Validation, read_validation
from osteon.quality.pictures import thumbnails
from osteon.quality.thresholds import load_thresholds
from osteon.quality.validate import validate
from osteon.records import IngestRecord, ManifestKey
from osteon.reports.leakage import undecided_pairs
from osteon.schemas import Reviewed
from osteon.settings import Settings, load_settings
from osteon.sources.notes import Note, NoteKind
from tests import tables
from tests.pictures import encode, film
from tests.runs import until_later_than

IMAGE = {"width": 100, "height": 120, "mode": "L", "truncated": False, "decoded_fraction": 1.0, "mean": 60.0,
         "std": 30.0, "blank_fraction": 0.0, "dhash": "0" * 16}  # fmt: skip
MEASURED: dict[str, Mapping[str, object]] = {
    "image": IMAGE, "channels": {"colour": 0.0}, "exposures": {"gutter": 0.0},
    "bands": {"dark_band": 0.0, "bright_band": 0.0, "band_where": ""}, "levels": {"contrast": 150.0, "median": 40.0},
    "outline": {"oval": 0.0}, "writing": {"text": 0},
}  # fmt: skip
Find = Callable[..., Validation]


def image(number: int, part: str | None = "hand", fractured: bool | None = None, **more: object) -> dict[str, Any]:
    state = {True: "fractured", False: "non-fractured", None: ""}[fractured]
    raw, digest = f"{part}|{state}" if part else None, f"{number:064x}"
    path = f"{number}.jpg"
    row: dict[str, Any] = {
        "sha256": digest, "source": "s", "path": path, "raw_label": raw, "body_part": part, "fractured": fractured,
        "truncated": False, "quarantined": False, "mode": "L", "group": digest, "width": 100, "height": 120,
        "raw_split": None, "copies": [],
    }  # fmt: skip
    return {**row, **more}


def measured(row: dict[str, Any]) -> Measured:
    """What is measured of an image, whose thumbnail shows its label."""
    number = int(str(row["sha256"]), 16) % 2**32
    pixels = np.random.default_rng(number).integers(0, 40, (64, 64))
    parts = list(load_labels(load_settings().labels_file).parts)
    place = parts.index(str(row["body_part"])) if row["body_part"] else 0
    pixels[6 * place : 6 * place + 6] += 120
    pixels[:, 40:50] += 90 * int(bool(row["fractured"]))
    return Measured(str(row["sha256"]), values={**MEASURED, "thumbnail": {"thumb": pixels.astype(np.uint8).tobytes()}})


def good(count: int = 800) -> list[dict[str, Any]]:
    """Every joint class, 40 originals of each."""
    parts = list(load_labels(load_settings().labels_file).parts)
    return [image(i, parts[i % 10], i // 10 % 2 == 1) for i in range(count)]


@pytest.fixture
def found(settings: Settings, lake: Lake, tmp_path: Path) -> Find:
    def run(
        rows: list[dict[str, Any]],
        sources: dict[str, dict[str, Any]] | None = None,
        learnt: dict[str, int] | None = None,
        kept: int = 12,
        notes: list[Note] | None = None,
        **thresholds: dict[str, object],
    ) -> Validation:
        rules = yaml.safe_load(settings.quality_file.read_text())
        for name, change in thresholds.items():
            rules[name] |= change
        (tmp_path / "quality.yaml").write_text(yaml.safe_dump(rules))
        names = ("path", "sha256", "raw_label", "raw_split")
        files = [{name: row[name] for name in names} for row in rows]
        more = [copy | {"sha256": row["sha256"]} for row in rows for copy in row["copies"]]
        images = pd.DataFrame(rows).drop(columns=["raw_split", "copies"])
        tables.put(lake, "review/c.parquet", images, Reviewed, [*files, *more])
        manifest = f"manifests/v3/s/{len(notes or [])}.parquet"
        lake.put_table(manifest, tables.manifest(files))
        lake.put_json(notes_key(manifest), [note.model_dump() for note in notes or []])
        keep(lake, [measured(row) for row in rows], registered())
        labels = load_labels(settings.labels_file)
        change = {"quality_file": tmp_path / "quality.yaml", "data_docs_kept": kept}
        chosen = settings.model_copy(update=change)
        pulled = {name: IngestRecord.model_validate(values) for name, values in (sources or {}).items()}
        return validate(chosen, lake, labels, "review/c.parquet", [manifest], pulled, learnt or {})

    return run


def test_a_good_catalog_has_no_finding_and_nothing_to_mail(found: Find) -> None:
    result = found(good())
    assert result.findings == [] and not result.stops
    assert not Alert(result, None, {}, None).news


def test_a_share_above_the_critical_one_stops_and_below_it_warns(found: Find, lake: Lake) -> None:
    rows = good()
    for row in rows[:80]:
        row["truncated"] = True
    warned = found(rows)
    (finding,) = warned.findings
    assert (finding.check, finding.severity, finding.count, finding.share) == ("truncated", "warning", 80, 0.1)
    assert finding.offenders[0].name == "s:0.jpg" and not warned.stops
    assert found(rows, truncated={"critical_share": 0.1}).stops
    assert found(rows, truncated={"max_share": 0.1}).findings == []
    assert lake.exists(f"{warned.docs}/index.html")


def test_too_few_images_and_missing_rare_and_unbalanced_classes_are_told(found: Find) -> None:
    rows = [row for row in good() if row["body_part"] != "knee"]
    rows = [row for i, row in enumerate(rows) if row["body_part"] != "hip" or i < 60]
    by_name = {finding.check: finding for finding in found(rows, class_balance={"maximum": 5}).findings}
    assert set(by_name) == {"missing_classes", "class_minimum", "class_balance"}
    assert [item.name for item in by_name["missing_classes"].offenders] == ["knee/non-fractured", "knee/fractured"]
    assert {item.name for item in by_name["class_minimum"].offenders} == {"hip/non-fractured", "hip/fractured"}
    assert "hip/fractured" in by_name["class_balance"].message
    few = {finding.check: finding for finding in found(rows[:50]).findings}
    assert few["enough_images"].severity == "critical"
    bad = {"quarantined": True, "reason": "blank: it shows nothing"}
    broken = [row | bad if i >= 90 else row for i, row in enumerate(good()[:110])]
    told = {finding.check: finding for finding in found(broken, enough_images={"minimum": 95}).findings}[
        "enough_images"
    ]
    assert "90 can be used, and at least 95 are needed" in told.message, "what is kept out is not counted"


def test_what_sources_state_is_told_by_findings_in_the_mail_and_in_data_docs(found: Find, lake: Lake) -> None:
    notes = [Note(kind=kind, subject=f"{kind}.csv", text=f"is odd by {kind}", count=7) for kind in get_args(NoteKind)]
    result = found(good(), notes=notes)
    assert not result.stops
    of_kinds = {check.column: check.name for check in checks().values() if check.table == "statements"}
    assert set(of_kinds) == set(get_args(NoteKind)), "each kind of note has its check"
    by_name = {finding.check: finding for finding in result.findings}
    assert set(by_name) == set(of_kinds.values())
    mail = quality_mail(Alert(result, None, {}, None), "run", {})
    for kind, name in of_kinds.items():
        finding = by_name[name]
        assert [(item.name, item.detail) for item in finding.offenders] == [
            (f"s:{kind}.csv", f"is odd by {kind} (7 in all)")
        ]
        if finding.severity != "info":
            assert f"s:{kind}.csv" in mail.text and f"is odd by {kind}" in mail.text
    pages = [lake.get_bytes(key).decode() for key in lake.keys(result.docs) if "/validations/statements/" in key]
    assert len(pages) == 1 and "contradiction.csv" in pages[0] and "is odd by contradiction" in pages[0]


def test_contradictions_in_many_images_stop_the_run_before_training(found: Find) -> None:
    rows = good()
    notes = [
        Note(kind="contradiction", subject=str(row["path"]), text="is fractured by x, but normal by y") for row in rows
    ]
    few, many = found(rows, notes=notes[:79]), found(rows, notes=notes[:80])
    assert [(item.check, item.severity, item.count) for item in few.findings] == [("contradictions", "warning", 79)]
    assert many.stops and many.findings[0].share == 0.1


def test_what_was_published_twice_or_under_two_labels_is_told(found: Find) -> None:
    rows = good()
    rows[0]["copies"] = [{"source": "t", "path": "x.jpg"}]
    rows[11]["group"] = rows[1]["group"]
    rows[1]["raw_split"], rows[11]["raw_split"] = "train", "test"
    by_name = {finding.check: finding for finding in found(rows).findings}
    copied = Offender(name="s:0.jpg", detail="also as t:x.jpg", sha256=str(rows[0]["sha256"]))
    assert by_name["exact_copies"].offenders == [copied]
    pair = {"s:1.jpg", "s:11.jpg"}
    for check in ("near_copies", "leaking_split", "conflicting_labels"):
        assert {item.name for item in by_name[check].offenders} == pair, check
    assert by_name["leaking_split"].offenders[0].detail == "test and train"


def test_pairs_for_a_curator_mosaics_and_large_groups_are_told(found: Find, lake: Lake) -> None:
    rows = good()
    for row in rows[:2]:
        row["sha256"] = lake.put_image(encode(film(int(row["path"][0]))))[0]
        row["group"] = row["sha256"]
    rows[2] |= {"reason": "mosaic of several films: s:0.jpg, s:1.jpg"}
    for row in rows[100:130]:
        row["group"] = rows[100]["sha256"]
    pair, other = sorted(str(row["sha256"]) for row in rows[:2]), f"{9999:064x}"
    facts = [(*pair, "possible", 7.25), (str(rows[3]["sha256"]), other, "different", 0.1)]
    history.append(lake, history.COPIES, pd.DataFrame(facts, columns=["first", "second", "verdict", "score"]))
    named = pd.DataFrame({"sha256": [rows[3]["sha256"], other], "source": "s", "path": "3.jpg"})
    history.append(lake, history.NAMES, named)
    result = found(rows, large_group={"maximum": 29}, dominant_group={"maximum": 0.03})
    by_name = {finding.check: finding for finding in result.findings}
    (possible,), (path,) = by_name["possible_copies"].offenders, by_name["contradicting_paths"].offenders
    assert {possible.name, possible.other} == {"s:0.jpg", "s:1.jpg"} and "score 7.2 (copies" in possible.detail
    assert (path.name, path.other, path.other_sha256) == ("s:3.jpg", "s:3.jpg", other)
    assert by_name["mosaics"].offenders[0].detail == "mosaic of several films: s:0.jpg, s:1.jpg"
    assert by_name["mosaics"].by_source == {"s": (1, 800)}
    assert "of s:100.jpg" in by_name["large_group"].message and by_name["dominant_group"].count == 1
    shown = thumbnails(lake, [by_name["possible_copies"]], 10**7)
    mail = quality_mail(Alert(result, None, shown, None), "run", {})
    assert "s:0.jpg and s:1.jpg score 7.2" in mail.text or "s:1.jpg and s:0.jpg score 7.2" in mail.text
    (picture,) = mail.pictures
    assert picture.width == 2 * 128 + 4 and f'width="{picture.width}"' in mail.html
    commands = undecided_pairs(lake, result.findings, 10**7)[0].commands
    assert [command.split()[3] for command in commands] == ["--copies", "--no-copies"]
    decision = Decision(target=pair[0], other=pair[1], action="no copies", who="ann", why="seen")
    decide(lake, load_labels(load_settings().labels_file), decision)
    assert "possible_copies" not in {finding.check for finding in found(rows).findings}


def test_a_rule_that_fits_some_files_only_and_images_that_teach_nothing_are_told(found: Find) -> None:
    rows = [row | image(i, str(row["body_part"])) if i % 3 == 0 else row for i, row in enumerate(good())]
    by_name = {finding.check: finding for finding in found(rows).findings}
    assert by_name["label_coverage"].offenders == [Offender(name="s: fracture state", detail="33 %")]
    nothing = [row | {"body_part": None, "raw_label": "unsorted|fractured"} for row in rows]
    assert (
        "0 can be used"
        in {f.check: f for f in found(nothing, enough_images={"minimum": 99}).findings}["enough_images"].message
    )


def test_copies_that_name_no_part_contradict_each_other_by_their_fracture_state(found: Find) -> None:
    rows = good()
    for row, state in ((rows[0], "fractured"), (rows[1], "normal")):
        row |= {"body_part": None, "fractured": state == "fractured", "group": "g", "raw_label": f"unsorted|{state}"}
    found_there = {finding.check: finding for finding in found(rows).findings}
    assert {item.name for item in found_there["conflicting_labels"].offenders} == {"s:0.jpg", "s:1.jpg"}
    assert "no single part/fractured, but s:1.jpg is no single part/non-fractured" in str(found_there)


def test_a_shift_of_the_classes_since_the_champion_learnt_is_told_with_what_moved(found: Find) -> None:
    names = [
        f"{part}/{state}"
        for part in load_labels(load_settings().labels_file).parts
        for state in ("fractured", "non-fractured")
    ]
    assert found(good(), learnt=dict.fromkeys(names, 24)).findings == []
    (finding,) = found(good(), learnt={**dict.fromkeys(names, 24), "knee/fractured": 2400}).findings
    assert finding.check == "class_shift" and "knee/fractured 84.0% to 5.0%" in finding.message


def test_what_a_curator_dropped_or_labelled_is_no_finding_any_more(found: Find) -> None:
    rows = good()
    for row in rows[:4]:
        row |= {"truncated": True, "reason": "dropped by ann: seen"}
    rows[4] |= {"raw_label": None, "label_origin": "human"}
    rows[5] |= {"raw_label": "zzz|", "label_origin": "human"}
    result = found(rows)
    assert result.findings == [] and sum(result.classes["hand/non-fractured"].values()) == 39


def test_a_source_that_failed_and_one_that_dropped_images_are_told(found: Find, lake: Lake) -> None:
    before = pd.DataFrame({"path": ["a.jpg", "b.jpg", "c.txt"], "sha256": ["a", "b", None]})
    for name, table in (("before", before), ("now", before.iloc[:1])):
        lake.put_table(f"manifests/{name}.parquet", table.astype("string"))
    now = ManifestKey("manifests/now.parquet")
    changed = IngestRecord(source="changed", manifest=now, before="manifests/before.parquet")
    refused = IngestRecord(source="refused", problem="set OSTEON_KAGGLE_TOKEN")
    result = found(good(), {"changed": changed, "refused": refused})
    by_name = {finding.check: finding for finding in result.findings}
    assert by_name["sources_pulled"].severity == "warning"
    assert by_name["sources_pulled"].offenders == [Offender(name="refused", detail="set OSTEON_KAGGLE_TOKEN")]
    assert by_name["dropped_images"].offenders == [Offender(name="changed", detail="1 images: b.jpg")]
    same = IngestRecord(source="same", manifest=now, before=now)
    assert found(good(), {"same": same}).findings == []


def test_a_source_of_which_most_is_refused_stops_the_run(found: Find) -> None:
    half = IngestRecord(source="half", files=10, refused=5)
    more = IngestRecord(source="more", files=10, refused=6)
    (finding,) = found(good(), {"half": half, "more": more}).findings
    assert (finding.check, finding.severity) == ("refused_files", "critical")
    assert [offender.name for offender in finding.offenders] == ["more"] and "60 %" in finding.message


def test_the_mail_tells_the_worst_first_and_escapes_names(found: Find) -> None:
    rows = good()
    rows[0] |= {"quarantined": True, "reason": "blank", "path": "<script>.jpg"}
    for row in rows[100:400]:
        row["truncated"] = True
    alert = Alert(found(rows), {"truncated": Told(280, "x"), "near_copies": Told(4, "x")}, {}, None)
    mail = quality_mail(alert, "run 1", {"DAG run": "http://localhost/x?a=1&b=2"})
    assert "(+20 since the run before)" in mail.text and "(new since" in mail.text
    assert "No longer found: near_copies." in mail.text and "near_copies" in mail.html
    assert mail.subject == "[Osteon] critical: 2 data-quality findings, the run stopped before training"
    assert mail.text.index("CRITICAL: 300 image files are cut off before the end (37.5%).") < mail.text.index("WARNING")
    assert "... and 292 more" in mail.text
    assert "&lt;script&gt;.jpg" in mail.html and "<script>" not in mail.html


def test_what_the_run_before_found_as_well_is_no_news_unless_it_stops_the_run(found: Find) -> None:
    rows = good()
    for row in rows[:80]:
        row["truncated"] = True
    warned, stopped = found(rows), found(rows, truncated={"critical_share": 0.1})
    same = told(warned.findings)
    assert {check: item.count for check, item in same.items()} == {"truncated": 80}
    assert not Alert(warned, same, {}, None).news and Alert(warned, None, {}, None).news
    others = {"truncated": Told(80, "other images")}
    assert Alert(warned, others, {}, None).news and Alert(stopped, same, {}, None).news
    gone = Alert(found(rows, truncated={"max_share": 0.5, "critical_share": None}), same, {}, None)
    assert gone.news and gone.gone == ["truncated"]
    assert quality_mail(gone, "run 2", {}).subject == "[Osteon] all data-quality findings of the run before are gone"


def test_only_the_last_data_docs_are_kept_and_come_again_when_they_are_asked_for(found: Find, lake: Lake) -> None:
    rows = good(400)
    first = found(rows, kept=1)
    until_later_than(lake, f"{first.docs}/index.html")
    second = found(rows, kept=1, truncated={"max_share": 0.5, "critical_share": None})
    assert lake.exists(f"{second.docs}/index.html") and not lake.exists(f"{first.docs}/index.html")
    assert read_validation(lake, first.key) == first, "findings stay"
    assert found(rows).docs == first.docs and lake.exists(f"{first.docs}/index.html")


def test_a_quality_file_with_mistakes_names_them(tmp_path: Path) -> None:
    path = tmp_path / "quality.yaml"
    with pytest.raises(ConfigurationError, match="OSTEON_QUALITY_FILE"):
        load_thresholds(path)
    for text, message in (
        ("trunkated: {severity: warning}", "`trunkated`, which does not exist: did you mean `truncated`?"),
        ("truncated: {severity: bad}", "severity"),
        ("truncated: warning", "Threshold"),
        ("truncated: {minimal: 3}", "minimal"),
        ("- truncated", "must map names of checks"),
        ("[1, 2", "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            load_thresholds(path)


def test_what_the_quality_file_leaves_out_has_its_defaults(tmp_path: Path) -> None:
    path, defaults = tmp_path / "quality.yaml", {name: check.default for name, check in checks().items()}
    path.write_text("# nothing")
    assert load_thresholds(path) == defaults
    path.write_text("truncated: {severity: critical}\nburnt_in_text: {max_share: 0.1}\ninverted: {maximum: null}")
    found = load_thresholds(path)
    assert list(found)[:3] == ["truncated", "burnt_in_text", "inverted"], "what people write comes first"
    truncated = found.pop("truncated")
    assert (truncated.severity, truncated.critical_share) == ("critical", None), "an entry says all shares"
    assert found.pop("burnt_in_text") == defaults["burnt_in_text"].model_copy(update={"max_share": 0.1})
    assert found == {name: default for name, default in defaults.items() if name in found}


def test_the_quality_file_that_comes_with_osteon_says_the_defaults() -> None:
    assert load_thresholds(load_settings().quality_file) == {name: check.default for name, check in checks().items()}
