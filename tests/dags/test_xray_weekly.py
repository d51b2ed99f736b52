"""The DAG: it imports, it is wired as designed, and it runs as a whole on phantoms with every defect."""

from __future__ import annotations

import email
import json
import subprocess
import sys
from collections import Counter
from email.policy import default
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from osteon import catalog as catalogs
from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models.space import MAIN
from osteon.pipeline.stages import INGEST, STAGES
from osteon.quality.validate import Validation, read_validation
from osteon.records import (
    BaseModelsRecord,
    GateRecord,
    RegisterRecord,
    RelabelRecord,
    SplitRecord,
    StageRecord,
    ValidateRecord,
)
from osteon.runs import Run
from osteon.settings import ROOT, Settings, load_settings
from osteon.sources.config import open_source
from osteon.sources.phantom import Defects, PhantomSource
from tests.sources.publishers import KEY, Publisher, archive, serve

R = TypeVar("R", bound=StageRecord)
TASKS = {"sources": "list_sources", "gate": "quality_gate"}
"""Tasks that are not called as their stage."""
DEFECTS = dict.fromkeys(Defects.model_fields, 2) | {"truncated": 4, "rotated_copies": 6, "reexported_copies": 4}


@pytest.fixture
def dag(airflow: dict[str, str], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("OSTEON_S3_BUCKET", settings.s3_bucket)
    monkeypatch.setenv("OSTEON_STATE_DIR", str(settings.state_dir))
    monkeypatch.setenv("OSTEON_MODEL_NAME", settings.s3_bucket)
    monkeypatch.setenv("OSTEON_BOOTSTRAP_ROUNDS", "30")
    monkeypatch.setenv("OSTEON_RIVAL_LEAST", "60")
    none = tmp_path / "relabel.yaml"  # training base models takes time, which one test spends
    none.write_text(yaml.safe_dump({"base_models": {}, "default": {}}))
    monkeypatch.setenv("OSTEON_RELABEL_FILE", str(none))
    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    assert bag.dags.keys() == {"xray_weekly", "osteon_doctor"}
    return bag.dags["xray_weekly"]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    path = tmp_path / "sources.yaml"
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "longer_side": [90, 120], "seed": 4}
    text = yaml.safe_dump({"sources": [{**entry, "images": 260, "fractured_share": 0.5, "defects": DEFECTS}]})
    path.write_text(text)
    return path


def run(dag: Any, sources: Path, lake: Lake, **conf: object) -> tuple[Run, dict[str, str]]:
    result = dag.test(run_conf={"sources": str(sources), "budget": "smoke", "ask": False, **conf})
    states = {instance.task_id: str(instance.state) for instance in result.get_task_instances()}
    return Run(lake, result.run_id), states | {"run": str(result.state)}


def record(run: Run, kind: type[R]) -> R:
    """What a stage of the run left."""
    found = run.read(kind)
    assert found is not None, f"the run left no record of {kind.stage}"
    return found


def mails(stack: Stack) -> list[Any]:
    files = sorted((stack.home / "mail").glob("*.eml"))
    return [email.message_from_bytes(path.read_bytes(), policy=default) for path in files]


def test_the_dag_is_wired_as_designed(dag: Any) -> None:
    for stage in STAGES:
        feeds = {*stage.inputs.values(), *stage.people.values()} - {"ingest"}
        for before in feeds if stage is not INGEST else ("sources",):
            found = dag.get_task(TASKS.get(stage.name, stage.name)).get_flat_relative_ids(upstream=True)
            assert TASKS.get(before, before) in found, (before, stage.name)
    for before, after in (("ingest", "collect"), ("collect", "catalogue"), ("quality_gate", "base_models")):
        assert after in dag.get_task(before).downstream_task_ids, (before, after)
    for before, after in (("train", "list_ablations"), ("list_ablations", "train_ablations"), ("questions", "ask")):
        assert after in dag.get_task(before).downstream_task_ids, (before, after)
    assert dag.get_task("finished").upstream_task_ids == {"register", "register_base", "report"}
    for work, before, after in (("inspect", "catalogue", "inspect"), ("square", "relabel", "split")):
        part = dag.get_task(f"{work}_part")
        assert part.upstream_task_ids == {before, f"list_{work}_parts"} and part.downstream_task_ids == {after}
        assert part.max_active_tis_per_dagrun == load_settings().parallel_parts
    helpers = dag.get_task("help_search")
    assert helpers.upstream_task_ids == {"check", "list_helpers"} and helpers.downstream_task_ids == {"report"}
    assert dag.max_active_runs == 1 and not dag.catchup
    assert "collect" in dag.get_task("check").upstream_task_ids, "counts are added up from the manifests"
    form = "sources budget stop_after force_retrain ask require_approval workers seed"
    assert set(dag.params) == set(form.split())
    assert len((ROOT / "dags" / "xray_weekly.py").read_text().splitlines()) < 150


def test_no_module_of_osteon_imports_airflow() -> None:
    code = "import sys, pkgutil, importlib, osteon\n"
    code += "for m in pkgutil.walk_packages(osteon.__path__, 'osteon.'):\n"
    code += "    if m.name != 'osteon.served_model': importlib.import_module(m.name)\n"
    code += "assert not [name for name in sys.modules if name.split('.')[0] == 'airflow']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_injected_defect_is_found_counted_and_mailed(dag: Any, sources: Path, lake: Lake, stack: Stack) -> None:
    before = len(mails(stack))
    result, states = run(dag, sources, lake)
    assert states["run"] == "success", states
    summary = lake.get_json(f"{result.prefix}/summary.json")
    source = open_source(sources, load_settings(), "clinic")
    assert isinstance(source, PhantomSource)
    truth = source.truth()
    injected = Counter(item.defect for item in truth)
    found = read_validation(lake, record(result, ValidateRecord).validation)

    assert offenders(found, "truncated") == paths(truth, "truncated")
    assert offenders(found, "unusable_images") == paths(truth, "blank", "not_image")
    assert offenders(found, "missing_labels") == paths(truth, "missing_label")
    assert offenders(found, "unknown_labels") == paths(truth, "unknown_label")
    assert offenders(found, "ambiguous_labels") == paths(truth, "ambiguous_label")
    assert offenders(found, "dark_bands") | offenders(found, "bright_bands") == paths(truth, "padded")
    negatives = paths(truth, "inverted")
    assert offenders(found, "inverted") <= negatives
    missed = {path.split("/")[1] for path in negatives - offenders(found, "inverted")}
    assert missed <= {"spine", "hip", "shoulder", "knee"}, "films that tissue fills hold too little air to tell"
    assert offenders(found, "low_contrast") == paths(truth, "low_contrast")
    assert offenders(found, "colour_images") == paths(truth, "colour_photo")
    assert offenders(found, "several_exposures") == paths(truth, "several_exposures")
    copied = {item.path for item in truth if item.defect in ("rotated_copies", "reexported_copies", "mirrored_copies")}
    found_copies = offenders(found, "near_copies")
    assert len(copied & found_copies) >= 0.95 * len(copied)
    expected = copied | {str(item.original) for item in truth if item.original} | paths(truth, "conflicting_copies")
    assert len(found_copies - expected) <= 0.05 * len(found_copies), found_copies - expected
    assert offenders(found, "conflicting_labels") >= paths(truth, "conflicting_copies")
    assert offenders(found, "cross_sections") == paths(truth, "ct_slice")
    assert offenders(found, "burnt_in_text") <= paths(truth, "burnt_in_text")
    catalog = catalogs.read(lake, record(result, SplitRecord).catalog).set_index("path")
    rotated = [item for item in truth if item.defect == "rotated_copies"]
    folders = {item.path.split("/")[0] for item in rotated} | {str(item.original).split("/")[0] for item in rotated}
    assert len(folders) > 1, "the publisher spread them"
    for item in rotated:
        assert catalog.at[item.path, "group"] == catalog.at[item.original, "group"]
        assert catalog.at[item.path, "split"] == catalog.at[item.original, "split"]
    assert offenders(found, "suspected_labels") & paths(truth, "wrong_label")
    assert (summary["truncated"], summary["repaired"]) == (injected["truncated"],) * 2
    assert summary["duplicates"] == injected["exact_copies"]
    assert summary["quarantined"] == injected["blank"] + injected["not_image"]
    files = sum(row["files"] for row in summary["sources"].values())
    assert files == summary["images"] + summary["duplicates"] + summary["quarantined"] == 260 + 16
    assert summary["images"] == sum(summary["split"].values()) + sum(summary["left_out"].values())
    registered, main = summary["registered"], summary["models"][MAIN]
    floor = max(value for value in main["evaluation"]["metadata_baseline"].values() if value is not None)
    if main["evaluation"]["metrics"]["fracture_auroc"] <= floor:  # so little training may learn nothing about fractures
        assert (registered["alias"], summary["champion"]) == (
            "challenger",
            "",
        ) and "the shortcut floor is" in registered["reason"]
    else:
        assert (registered["alias"], summary["champion"]) == ("champion", "1"), registered["reason"]
    assert main["evaluation"]["metrics"].keys() >= {"joint_accuracy", "ece"} and main["seconds"] > 0

    assert [row["model"] for row in summary["comparison"]] == [MAIN, "cnn_plain", "cnn_searched", "forest"]
    for row in main["evaluation"]["robustness"]:
        assert row["part_agreement"] > 0.8 and row["mean_abs_probability_change"] < 0.15, row
    assert lake.exists(summary["report"].replace("index.html", "evaluation.html"))
    mail, told = mails(stack)[before:]
    figures = told.get_body(("plain",)).get_content()
    assert "Version 1 of" in told["Subject"] and f"is {registered['alias']}" in told["Subject"]
    assert f"{registered['reason'][1:]}." in figures
    assert "fracture AUROC within part: " in figures and [part for part in told.walk() if part["Content-ID"]]
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    for finding in found.findings:
        if finding.severity != "info":
            assert finding.message in text and finding.remedy in text
            assert str(finding.count) in html
    pictures = {str(part["Content-ID"]): part.get_payload(decode=True) for part in mail.walk() if part["Content-ID"]}
    assert len(pictures) == 12 + 1 + 2 * 3 and all(png.startswith(b"\x89PNG") for png in pictures.values())
    assert all(f'src="cid:{name.strip("<>")}"' in html for name in pictures)
    group = {item["name"] for item in next(f for f in found.findings if f.check == "near_copies").offenders[:2]}
    assert any(all(name in line for name in group) and " = " in line for line in text.splitlines()), "a group, one line"
    assert "By source: clinic 4 of" in text and html.count("and after") == 3
    assert all(b"EXIF" not in png.upper() for png in pictures.values())
    page = lake.get_bytes(summary["report"]).decode()
    assert summary["snapshot"] in page and "not a medical device" in page
    assert lake.exists(f"{summary['data_docs']}/index.html")

    again, states = run(dag, sources, lake)
    second = lake.get_json(f"{again.prefix}/summary.json")
    assert states["run"] == "success"
    assert second["work"] == {"uploaded": 0, "decoded": 0}
    assert record(again, ValidateRecord).validation == record(result, ValidateRecord).validation
    assert second["snapshot"] == summary["snapshot"]
    assert second["registered"]["version"] == "1", "no second version of the same training"
    assert mails(stack)[before + 2 :] == [], "what was told already is not told again"
    assert record(again, RegisterRecord).comparison == record(result, RegisterRecord).comparison
    assert record(again, GateRecord).mail == "nothing new to tell"


def test_ambiguous_images_are_relabelled_and_a_second_run_asks_no_model_again(
    dag: Any, tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = {"kind": "phantom", "licence": "CC0-1.0", "longer_side": [60, 80]}
    labelled = {"name": "labelled", "images": 200, "parts": ["hand", "wrist", "spine", "hip"], "seed": 1, **common}
    wrists = {"name": "wrists", "images": 30, "parts": ["wrist"], "published_part": "unsorted", "seed": 2, **common}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [labelled, wrists]}))
    rules = yaml.safe_load((ROOT / "config" / "relabel.yaml").read_text()) | {"sources": {}}
    (tmp_path / "relabel.yaml").write_text(yaml.safe_dump(rules))
    result, states = run(dag, tmp_path / "sources.yaml", lake, stop_after="split")
    assert states["run"] == "success" and states["ask"] == "skipped", states
    relabelled = record(result, RelabelRecord)
    assert record(result, BaseModelsRecord).untaught.keys() == {"leg_base"}
    assert sum(relabelled.decisions.values()) == 30
    summary = lake.get_json(f"{result.prefix}/summary.json")
    assert summary["relabel"]["models"]["hand_base"]["metrics"]["auroc"] > 0.8
    folder = summary["report"].removesuffix("index.html")
    page, csv = (lake.get_bytes(f"{folder}relabel.{kind}").decode() for kind in ("html", "csv"))
    assert "hand_base: hand or other" in page and "not merged" in page
    assert csv.startswith("file,source,probability,decision") and csv.count("\n") == 31
    again, states = run(dag, tmp_path / "sources.yaml", lake, stop_after="split")
    assert states["run"] == "success"
    assert record(again, RelabelRecord).table == relabelled.table
    assert record(again, RelabelRecord).seconds < 5 and record(again, SplitRecord).snapshot == summary["snapshot"]
    trained = [key for key in lake.keys("models/hand_base/") if key.endswith("/result.json")]
    assert len(trained) == 1, "the same images are not learnt again"


def test_a_label_map_without_the_wrist_stops_before_training(
    dag: Any, sources: Path, lake: Lake, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = load_labels(load_settings().labels_file).model_dump(mode="json")
    del labels["parts"]["wrist"]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    monkeypatch.setenv("OSTEON_LABELS_FILE", str(tmp_path / "labels.yaml"))
    before = len(mails(stack))
    result, states = run(dag, sources, lake)
    assert states["run"] == "failed" and states["quality_gate"] == "failed"
    assert states["train"] == "upstream_failed" and states["report"] == "success"
    assert not list(lake.keys("models/"))
    (mail,) = mails(stack)[before:]
    assert "critical" in mail["Subject"]
    assert "wrist/fractured" in mail.get_body(("plain",)).get_content()
    assert "wrist/non-fractured" in mail.get_body(("plain",)).get_content()
    assert lake.get_json(f"{result.prefix}/summary.json")["alerts"][0]["check"] == "label_map"


def test_one_source_that_fails_does_not_stop_the_others_and_no_secret_is_told(
    dag: Any, lake: Lake, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, caplog: Any
) -> None:
    rules = {"part": {"folder": 1}, "fracture": {"folder": 2}}
    common = {"licence": "CC0-1.0", "labels": rules}
    entries = [
        {"name": "from-kaggle", "kind": "kaggle", "dataset": "owner/name", **common},
        {"name": "no-key", "kind": "roboflow", "project": "owner/name", "format": "folder", **common},
    ]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": entries}))
    before = len(mails(stack))
    with serve(Publisher(archive(130))) as publisher:
        monkeypatch.setenv("OSTEON_KAGGLE_URL", publisher.url)
        monkeypatch.setenv("AIRFLOW_CONN_KAGGLE_DEFAULT", json.dumps({"conn_type": "generic", "password": KEY}))
        result, states = run(dag, tmp_path / "sources.yaml", lake, stop_after="split")
        assert states["run"] == "success", states
        publisher.refuse = [(401, {})]
        second, states = run(dag, tmp_path / "sources.yaml", lake, stop_after="split")
        assert states["run"] == "success", states
    first, again = (lake.get_json(f"{item.prefix}/summary.json") for item in (result, second))
    assert first["images"] == 130 and first["snapshot"] == again["snapshot"]
    sent = [mail.get_body(("plain",)).get_content() for mail in mails(stack)[before:]]
    failure, quality, _, stale = sent
    assert "ingest" in failure and "OSTEON_ROBOFLOW_API_KEY" in failure
    assert "1 source could not be pulled: no-key. The run uses the last good version" in quality
    assert "2 sources could not be pulled: " in stale and "OSTEON_KAGGLE_TOKEN" in stale

    told = capfd.readouterr()
    logs = [path.read_bytes() for path in (stack.home / "airflow").rglob("*") if path.is_file()]
    kept = [lake.get_bytes(key) for key in lake.keys("") if not key.startswith("images/")]
    everything = [told.out.encode(), told.err.encode(), caplog.text.encode(), *logs, *kept]
    assert sum(map(len, everything)) > 100_000
    assert not any(KEY.encode() in text for text in [*everything, *(text.encode() for text in sent)])


def test_a_mail_that_the_server_refused_is_sent_by_the_next_run(
    dag: Any, sources: Path, lake: Lake, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(mails(stack))
    with monkeypatch.context() as broken:
        nowhere = {"conn_type": "smtp", "host": "127.0.0.1", "port": free_ports(1)[0], "extra": {"disable_ssl": True}}
        broken.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(nowhere))
        first, states = run(dag, sources, lake, stop_after="validate")
    assert states["run"] == "success" and record(first, GateRecord).mail.startswith(
        "waits in the outbox: the mail server"
    )
    assert len(list(lake.keys("outbox/waiting/"))) == 1 and mails(stack)[before:] == []
    second, states = run(dag, sources, lake, stop_after="validate")
    assert states["run"] == "success" and record(second, GateRecord).mail == "nothing new to tell"
    (mail,) = mails(stack)[before:]
    assert first.run_id in mail.get_body(("plain",)).get_content() and not list(lake.keys("outbox/waiting/"))


def test_a_failing_task_is_mailed_with_its_remedy(dag: Any, tmp_path: Path, lake: Lake, stack: Stack) -> None:
    before = len(mails(stack))
    _, states = run(dag, tmp_path / "absent.yaml", lake)
    assert states["run"] == "failed" and states["list_sources"] == "failed"
    text = [mail.get_body(("plain",)).get_content() for mail in mails(stack)[before:]]
    assert any("OSTEON_SOURCES_FILE" in body for body in text), text


def test_a_run_measures_many_images_in_parts_and_stops_after_the_stage_that_was_asked_for(
    dag: Any, sources: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTEON_PART_IMAGES", "100")
    result, states = run(dag, sources, lake, stop_after="repair")
    assert states["run"] == "success"
    assert (states["inspect_part"], states["inspect"], states["square_part"]) == ("success", "success", "skipped")
    assert (states["repair"], states["group"], states["train"]) == ("success", "skipped", "skipped")
    assert lake.get_json(f"{result.prefix}/summary.json")["repaired"] == DEFECTS["truncated"]


def offenders(found: Validation, check: str) -> set[str]:
    names = [item["name"] for finding in found.findings if finding.check == check for item in finding.offenders]
    return {name.split(":", 1)[1] for name in names}


def paths(truth: list[Any], *defects: str) -> set[str]:
    return {item.path for item in truth if item.defect in defects}
