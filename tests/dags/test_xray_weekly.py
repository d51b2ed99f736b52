"""The DAG: it imports, it is wired as designed, and it runs as a whole on phantoms with every defect."""

from __future__ import annotations

import email
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models.space import MAIN
from osteon.pipeline.stages import INGEST, STAGES
from osteon.quality.findings import Finding, Validation, read_validation
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
from osteon.sources.phantom import Defects, Injected, PhantomSource
from tests.conftest import own_settings
from tests.sources.publishers import KEY, Publisher, archive, serve

R = TypeVar("R", bound=StageRecord)
TASKS = {"sources": "list_sources", "gate": "quality_gate"}
"""Tasks that are not called as their stage."""
DEFECTS = dict.fromkeys(Defects.model_fields, 2) | {"truncated": 4, "rotated_copies": 6, "reexported_copies": 4}
PHANTOMS: dict[str, object] = {"kind": "phantom", "licence": "CC0-1.0"}


@dataclass(frozen=True)
class Week:
    """What a run of the DAG left."""

    run: Run
    states: dict[str, str]
    """By task; that of the whole run under `run`."""
    mails: list[EmailMessage]

    @property
    def summary(self) -> Any:
        return self.run.lake.get_json(f"{self.run.prefix}/summary.json")

    def record(self, kind: type[R]) -> R:
        """What a stage of the run left."""
        found = self.run.read(kind)
        assert found is not None, f"the run left no record of {kind.stage}"
        return found


RunWeek = Callable[..., Week]


@pytest.fixture(scope="module")
def dag(airflow: dict[str, str]) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"))
    assert bag.import_errors == {}
    assert bag.dags.keys() == {"xray_weekly", "osteon_doctor"}
    return bag.dags["xray_weekly"]


@contextmanager
def weeks_in(settings: Settings, dag: Any, stack: Stack, folder: Path, **changes: object) -> Iterator[RunWeek]:
    """Give what runs the DAG on the bucket of `settings`, with little training and without base models.

    Variables may change between two runs.
    """
    rules = folder / "no-base-models.yaml"
    rules.write_text(yaml.safe_dump({"base_models": {}, "default": {}}))
    values = {"S3_BUCKET": settings.s3_bucket, "MODEL_NAME": settings.s3_bucket, "STATE_DIR": settings.state_dir,
              "BOOTSTRAP_ROUNDS": 30, "MIN_BASELINE_IMAGES": 60, "RELABEL_FILE": rules}  # fmt: skip
    lake = Lake.from_settings(settings)

    def run(sources: Path, **conf: object) -> Week:
        before = len(mails(stack))
        result = dag.test(run_conf={"sources": str(sources), "budget": "smoke", "ask": False, **conf})
        states = {instance.task_id: str(instance.state) for instance in result.get_task_instances()}
        return Week(Run(lake, result.run_id), states | {"run": str(result.state)}, mails(stack)[before:])

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (values | changes).items():
            patch.setenv(f"OSTEON_{name}", str(value))
        yield run


@pytest.fixture
def run_week(dag: Any, settings: Settings, stack: Stack, tmp_path: Path) -> Iterator[RunWeek]:
    with weeks_in(settings, dag, stack, tmp_path) as run:
        yield run


def mails(stack: Stack) -> list[EmailMessage]:
    """All that were sent so far, in order."""
    files = sorted((stack.home / "mail").glob("*.eml"))
    return [email.message_from_bytes(path.read_bytes(), policy=default) for path in files]


def body(mail: EmailMessage, kind: str = "plain") -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def write_sources(folder: Path, *entries: Mapping[str, object]) -> Path:
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries)}))
    return path


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A sources file with a few phantoms, some of them cut off."""
    defects = {"truncated": 4}
    return write_sources(
        tmp_path, {"name": "few", "images": 130, "longer_side": [60, 80], "defects": defects} | PHANTOMS
    )


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
    assert dag.get_task("finished").upstream_task_ids == {"ingest", "register", "register_base", "report"}
    for work, before, after in (("inspect", "catalogue", "inspect"), ("square", "relabel", "split")):
        part = dag.get_task(f"{work}_part")
        assert part.upstream_task_ids == {before, f"list_{work}_parts"}
        assert part.downstream_task_ids == {after}
        assert part.max_active_tis_per_dagrun == load_settings().parallel_parts
    helpers = dag.get_task("help_search")
    assert helpers.upstream_task_ids == {"check", "list_helpers"}
    assert helpers.downstream_task_ids == {"report"}
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert "collect" in dag.get_task("check").upstream_task_ids, "counts are added up from the manifests"
    form = "sources budget stop_after force_retrain ask require_approval workers seed"
    assert set(dag.params) == set(form.split())


# A week with every defect, and another one in which nothing changed


@dataclass(frozen=True)
class Weeks:
    """Two runs on the same phantoms with every defect, and what was injected."""

    truth: list[Injected]
    first: Week
    second: Week
    found: Validation
    catalog: pd.DataFrame
    """Of the first run, by path."""

    def finding(self, check: str) -> Finding:
        (finding,) = (one for one in self.found.findings if one.check == check)
        return finding

    def offenders(self, check: str) -> set[str]:
        """Paths of the images that a check found; none where it found nothing."""
        found = (one for one in self.found.findings if one.check == check)
        return {item.name.split(":", 1)[1] for finding in found for item in finding.offenders}

    def injected(self, *defects: str) -> set[str]:
        return {item.path for item in self.truth if item.defect in defects}


@pytest.fixture(scope="module")
def weeks(dag: Any, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Weeks:
    folder = tmp_path_factory.mktemp("weeks")
    entry = {"name": "clinic", "longer_side": [90, 120], "seed": 4, "images": 260, "fractured_share": 0.5}
    sources = write_sources(folder, entry | PHANTOMS | {"defects": DEFECTS})
    with weeks_in(own_settings(stack, folder), dag, stack, folder, PART_IMAGES=100) as run:
        first, second = run(sources), run(sources)
    assert (first.states["run"], second.states["run"]) == ("success", "success"), (first.states, second.states)
    source = open_source(sources, load_settings(), "clinic")
    assert isinstance(source, PhantomSource)
    lake = first.run.lake
    found = read_validation(lake, first.record(ValidateRecord).validation)
    return Weeks(
        source.truth(), first, second, found, catalogs.read(lake, first.record(SplitRecord).catalog).set_index("path")
    )


@pytest.mark.parametrize(
    ("check", "defects"),
    [
        ("truncated", ["truncated"]),
        ("unusable_images", ["blank", "not_image"]),
        ("missing_labels", ["missing_label"]),
        ("unknown_labels", ["unknown_label"]),
        ("ambiguous_labels", ["ambiguous_label"]),
        ("low_contrast", ["low_contrast"]),
        ("colour_images", ["colour_photo"]),
        ("several_exposures", ["several_exposures"]),
        ("cross_sections", ["ct_slice"]),
    ],
)
def test_a_check_finds_exactly_the_images_with_its_defect(weeks: Weeks, check: str, defects: list[str]) -> None:
    assert weeks.offenders(check) == weeks.injected(*defects)


def test_bands_at_an_edge_are_dark_or_bright(weeks: Weeks) -> None:
    assert weeks.offenders("dark_bands") | weeks.offenders("bright_bands") == weeks.injected("padded")


def test_negatives_are_found_but_for_films_that_tissue_fills(weeks: Weeks) -> None:
    negatives, found = weeks.injected("inverted"), weeks.offenders("inverted")
    assert found <= negatives
    missed = {path.split("/")[1] for path in negatives - found}
    assert missed <= {"spine", "hip", "shoulder", "knee"}, "they hold too little air to tell"


def test_burnt_in_text_is_found_where_it_is_only(weeks: Weeks) -> None:
    assert weeks.offenders("burnt_in_text") <= weeks.injected("burnt_in_text")


def test_nearly_all_copies_are_found_and_hardly_anything_else(weeks: Weeks) -> None:
    copied = weeks.injected("rotated_copies", "reexported_copies", "mirrored_copies")
    found = weeks.offenders("near_copies")
    assert len(copied & found) >= 0.95 * len(copied)
    originals = {str(item.original) for item in weeks.truth if item.original}
    expected = copied | originals | weeks.injected("conflicting_copies")
    assert len(found - expected) <= 0.05 * len(found), found - expected


def test_copies_that_contradict_each_other_are_found(weeks: Weeks) -> None:
    assert weeks.offenders("conflicting_labels") >= weeks.injected("conflicting_copies")


def test_a_wrong_label_is_suspected(weeks: Weeks) -> None:
    assert weeks.offenders("suspected_labels") & weeks.injected("wrong_label")


def test_a_rotated_copy_stands_in_the_group_and_the_split_of_its_original(weeks: Weeks) -> None:
    rotated = [item for item in weeks.truth if item.defect == "rotated_copies"]
    folders = {item.path.split("/")[0] for item in rotated} | {str(item.original).split("/")[0] for item in rotated}
    assert len(folders) > 1, "the publisher spread them"
    for item in rotated:
        copy, original = weeks.catalog.loc[item.path], weeks.catalog.loc[str(item.original)]
        assert (copy["group"], copy["split"]) == (original["group"], original["split"])


def test_what_was_injected_is_counted_and_all_counts_add_up(weeks: Weeks) -> None:
    summary, injected = weeks.first.summary, Counter(item.defect for item in weeks.truth)
    assert summary["truncated"] == summary["repaired"] == injected["truncated"]
    assert summary["duplicates"] == injected["exact_copies"]
    assert summary["quarantined"] == injected["blank"] + injected["not_image"]
    files = sum(row["files"] for row in summary["sources"].values())
    assert files == summary["images"] + summary["duplicates"] + summary["quarantined"] == 260 + 16
    assert summary["images"] == sum(summary["split"].values()) + sum(summary["left_out"].values())


def test_many_images_are_measured_and_scaled_in_parts(weeks: Weeks) -> None:
    states = weeks.first.states
    assert (states["inspect_part"], states["inspect"], states["square_part"]) == ("success",) * 3


def test_the_model_is_promoted_only_above_the_shortcut_floor(weeks: Weeks) -> None:
    """So little training may learn nothing about fractures."""
    summary = weeks.first.summary
    registered, main = summary["registered"], summary["models"][MAIN]
    evaluation = main["evaluation"]
    floor = max(value for value in evaluation["metadata_baseline"].values() if value is not None)
    if evaluation["metrics"]["fracture_auroc"] > floor:
        assert (registered["alias"], summary["champion"]) == ("champion", "1"), registered["reason"]
    else:
        assert (registered["alias"], summary["champion"]) == ("challenger", "")
        assert "the shortcut floor is" in registered["reason"]


def test_the_main_model_is_measured_and_compared_with_its_rivals(weeks: Weeks) -> None:
    summary = weeks.first.summary
    main = summary["models"][MAIN]
    assert main["evaluation"]["metrics"].keys() >= {"joint_accuracy", "ece"}
    assert main["evaluation"]["fracture_auroc_by_part"]
    assert main["seconds"] > 0
    assert [row["model"] for row in summary["comparison"]["rows"]] == [MAIN, "cnn_plain", "cnn_searched", "forest"]
    for row in main["evaluation"]["robustness"]:
        assert row["part_agreement"] > 0.8, row
        assert row["mean_abs_probability_change"] < 0.15, row


def test_the_mail_about_the_model_gives_the_reason_of_the_rules_and_a_picture(weeks: Weeks) -> None:
    _, mail = weeks.first.mails
    registered = weeks.first.summary["registered"]
    assert "Version 1 of" in mail["Subject"]
    assert f"is {registered['alias']}" in mail["Subject"]
    assert f"{registered['reason'][1:]}." in body(mail)
    assert "fracture AUROC within part: " in body(mail)
    assert [part for part in mail.walk() if part["Content-ID"]]


def test_the_mail_about_the_data_tells_every_finding_with_its_remedy(weeks: Weeks) -> None:
    mail, _ = weeks.first.mails
    text, html = body(mail), body(mail, "html")
    for finding in weeks.found.findings:
        if finding.severity != "info":
            assert finding.message in text
            assert finding.remedy in text
            assert str(finding.count) in html
    assert "By source: clinic 4 of" in text
    copies = {item.name for item in weeks.finding("near_copies").offenders[:2]}
    assert any(all(name in line for name in copies) and " = " in line for line in text.splitlines()), "one line a group"


def test_the_mail_about_the_data_shows_pictures_without_metadata(weeks: Weeks) -> None:
    mail, _ = weeks.first.mails
    html = body(mail, "html")
    found = {str(part["Content-ID"]): part.get_payload(decode=True) for part in mail.walk() if part["Content-ID"]}
    pictures = {name.strip("<>"): data for name, data in found.items() if isinstance(data, bytes)}
    assert len(pictures) == len(found) == 12 + 1 + 2 * 3
    assert all(f'src="cid:{name}"' in html for name in pictures)
    assert html.count("and after") == 3
    assert all(png.startswith(b"\x89PNG") and b"EXIF" not in png.upper() for png in pictures.values())


def test_the_report_and_the_pages_beside_it_are_in_the_lake(weeks: Weeks) -> None:
    summary, lake = weeks.first.summary, weeks.first.run.lake
    page = lake.get_bytes(summary["report"]).decode()
    assert summary["snapshot"] in page
    assert "not a medical device" in page
    assert lake.exists(summary["report"].replace("index.html", "evaluation.html"))
    assert lake.exists(f"{summary['data_docs']}/index.html")


def test_a_week_without_news_does_nothing_again(weeks: Weeks) -> None:
    first, second = weeks.first.summary, weeks.second.summary
    assert second["work"] == {"uploaded": 0, "decoded": 0}
    assert second["snapshot"] == first["snapshot"]
    assert second["registered"]["version"] == "1", "no second version of the same training"
    assert weeks.second.record(RegisterRecord).comparison == weeks.first.record(RegisterRecord).comparison
    found = [
        read_validation(week.run.lake, week.record(ValidateRecord).validation) for week in (weeks.first, weeks.second)
    ]
    assert found[1].findings == found[0].findings and found[1].unchecked == found[0].unchecked


def test_a_week_without_news_sends_no_mail(weeks: Weeks) -> None:
    assert weeks.second.mails == []
    assert weeks.second.record(GateRecord).mail == "nothing new to tell"


# Two weeks with images whose part base models have to tell


@pytest.fixture(scope="module")
def relabelled(dag: Any, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Week, Week]:
    """Two runs up to the split: of a labelled source, and of 30 wrists whose part is not said."""
    folder = tmp_path_factory.mktemp("relabelled")
    common = PHANTOMS | {"longer_side": [60, 80]}
    labelled = {"name": "labelled", "images": 200, "parts": ["hand", "wrist", "spine", "hip"], "seed": 1}
    wrists = {"name": "wrists", "images": 30, "parts": ["wrist"], "published_part": "unsorted", "seed": 2}
    sources = write_sources(folder, labelled | common, wrists | common)
    rules = yaml.safe_load((ROOT / "config" / "relabel.yaml").read_text()) | {"sources": {}}
    (folder / "relabel.yaml").write_text(yaml.safe_dump(rules))
    with weeks_in(own_settings(stack, folder), dag, stack, folder, RELABEL_FILE=folder / "relabel.yaml") as run:
        first, second = (run(sources, stop_after="split") for _ in range(2))
    assert (first.states["run"], second.states["run"]) == ("success", "success"), (first.states, second.states)
    return first, second


def test_a_run_stops_after_the_stage_that_was_asked_for(relabelled: tuple[Week, Week]) -> None:
    first, _ = relabelled
    assert (first.states["split"], first.states["train"], first.states["report"]) == ("success", "skipped", "success")
    assert first.states["square_part"] == "skipped", "few images are no parts"


def test_a_base_model_that_can_be_trained_decides_about_every_ambiguous_image(relabelled: tuple[Week, Week]) -> None:
    first, _ = relabelled
    assert first.states["ask"] == "skipped", "the form said so"
    assert first.record(BaseModelsRecord).untaught.keys() == {"leg_base"}
    assert sum(first.record(RelabelRecord).decisions.values()) == 30
    assert first.summary["relabel"]["models"]["hand_base"]["metrics"]["auroc"] > 0.8


def test_the_report_of_relabelling_lists_every_image(relabelled: tuple[Week, Week]) -> None:
    first, _ = relabelled
    folder = first.summary["report"].removesuffix("index.html")
    page, csv = (first.run.lake.get_bytes(f"{folder}relabel.{kind}").decode() for kind in ("html", "csv"))
    assert "hand_base: hand or other" in page
    assert "not merged" in page
    assert csv.startswith("file,source,probability,decision")
    assert csv.count("\n") == 31


def test_a_second_run_asks_no_base_model_again(relabelled: tuple[Week, Week]) -> None:
    first, second = relabelled
    assert second.record(RelabelRecord).table == first.record(RelabelRecord).table
    assert second.record(SplitRecord).snapshot == first.summary["snapshot"]
    lake = first.run.lake
    trained = [key for key in lake.keys("models/hand_base/") if key.endswith("/result.json")]
    assert len(trained) == 1, "the same images are not learnt again"


# Weeks in which something goes wrong


def test_a_label_map_without_the_wrist_stops_before_training(
    run_week: RunWeek, few: Path, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = load_labels(load_settings().labels_file).model_dump(mode="json")
    del labels["parts"]["wrist"]
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump(labels))
    monkeypatch.setenv("OSTEON_LABELS_FILE", str(tmp_path / "labels.yaml"))
    week = run_week(few)
    assert (week.states["run"], week.states["quality_gate"]) == ("failed", "failed")
    assert (week.states["train"], week.states["report"]) == ("upstream_failed", "success")
    assert not list(lake.keys("models/"))
    (mail,) = week.mails
    assert "critical" in mail["Subject"]
    assert "wrist/fractured" in body(mail)
    assert "wrist/non-fractured" in body(mail)
    assert "label_map" in [alert["check"] for alert in week.summary["alerts"] if alert["severity"] == "critical"]


@pytest.fixture
def failing_source(
    run_week: RunWeek, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[Week, Week, str]:
    """Two runs: a source without a key, and one that refuses its key in the second. And what they printed."""
    common = {"licence": "CC0-1.0", "labels": {"part": {"folder": 1}, "fracture": {"folder": 2}}}
    kaggle = {"name": "from-kaggle", "kind": "kaggle", "dataset": "owner/name", **common}
    roboflow = {"name": "no-key", "kind": "roboflow", "project": "owner/name", "format": "folder", **common}
    sources = write_sources(tmp_path, kaggle, roboflow)
    with serve(Publisher(archive(130))) as publisher:
        monkeypatch.setenv("OSTEON_KAGGLE_URL", publisher.url)
        monkeypatch.setenv("AIRFLOW_CONN_KAGGLE_DEFAULT", json.dumps({"conn_type": "generic", "password": KEY}))
        first = run_week(sources, stop_after="split")
        publisher.refuse = [(401, {})]
        second = run_week(sources, stop_after="split")
    return first, second, "".join(capfd.readouterr())


def test_one_source_that_fails_does_not_stop_the_others_and_no_secret_is_told(
    failing_source: tuple[Week, Week, str], lake: Lake, stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, printed = failing_source
    assert {first.states["report"], second.states["report"]} == {"success"}, (first.states, second.states)
    assert (first.states["run"], second.states["run"]) == ("failed", "failed"), "one source has no version at all"
    assert first.summary["images"] == 130
    assert first.summary["snapshot"] == second.summary["snapshot"]
    sent = [body(mail) for mail in (*first.mails, *second.mails)]
    failure, quality, _, stale = sent
    assert "ingest" in failure
    assert "OSTEON_ROBOFLOW_API_KEY" in failure
    assert "1 source could not be pulled: no-key. The run uses the last good version" in quality
    assert "2 sources could not be pulled: " in stale
    assert "OSTEON_KAGGLE_TOKEN" in stale

    logs = [path.read_bytes() for path in (stack.home / "airflow").rglob("*") if path.is_file()]
    kept = [lake.get_bytes(key) for key in lake.keys("") if not key.startswith("images/")]
    everything = [*(text.encode() for text in (printed, caplog.text, *sent)), *logs, *kept]
    assert sum(map(len, everything)) > 100_000
    assert not any(KEY.encode() in text for text in everything)


def test_a_mail_that_the_server_refused_is_sent_by_the_next_run(
    run_week: RunWeek, few: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        nowhere = {"conn_type": "smtp", "host": "127.0.0.1", "port": free_ports(1)[0], "extra": {"disable_ssl": True}}
        broken.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(nowhere))
        first = run_week(few, stop_after="validate")
    waits = "waits in the outbox: the mail server"
    assert first.record(GateRecord).mail.startswith(waits)
    assert len(list(lake.keys("outbox/waiting/"))) == 1
    assert first.mails == []
    second = run_week(few, stop_after="validate")
    assert second.states["run"] == "success"
    assert second.record(GateRecord).mail == "nothing new to tell"
    (mail,) = second.mails
    assert first.run.run_id in body(mail)
    assert not list(lake.keys("outbox/waiting/"))


def test_a_failing_task_is_mailed_with_its_remedy(run_week: RunWeek, tmp_path: Path) -> None:
    week = run_week(tmp_path / "absent.yaml")
    assert (week.states["run"], week.states["list_sources"]) == ("failed", "failed")
    assert any("OSTEON_SOURCES_FILE" in body(mail) for mail in week.mails)
