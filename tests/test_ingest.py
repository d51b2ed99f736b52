"""Ingest into a real lake: killed and started again, odd files, and what the stages after it make of them."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import urllib3
import yaml
from PIL import Image
from typer.testing import CliRunner

from osteon import catalog as catalogs
from osteon import history
from osteon.cli import app
from osteon.curation.catalogue import accounts, read_manifests
from osteon.curation.decisions import Decision, decide
from osteon.errors import CatalogError, ConfigurationError, LakeUnreachableError, SourceError
from osteon.ingest import ingest, load_state, removed_paths, save_state, state_key
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare, run_on_catalog
from osteon.pipeline.stages import GROUP, INGEST, LIST_SOURCES, REPAIR, REVIEW, SPLIT, VALIDATE, run_stage
from osteon.records import IngestRecord, InspectRecord, RepairRecord, SplitRecord
from osteon.settings import ROOT, Settings, load_settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.config import open_source
from tests.pictures import encode, film, radiograph
from tests.runs import ingested, published_files, record_of, run_to_split, until_later_than
from tests.sources.publishers import KEY, Publisher, serve


def sources_file(folder: Path, location: Path) -> Path:
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": str(location)}
    path = folder / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{**entry, "labels": {"part": {"constant": "forearm"}}}]}))
    return path


def pull_one(run: str, sources: Path) -> IngestRecord:
    """Pull the source of a file that names one."""
    context = Context.open(run)
    run_stage(LIST_SOURCES, context, sources=str(sources))
    return run_stage(INGEST, context, source="s", sources=str(sources))


def test_a_killed_ingest_goes_on_and_ends_with_the_same_snapshot(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(300):
            archive.writestr(f"{number}.jpg", encode(radiograph(number, size=(72, 80))))
    sources = sources_file(tmp_path, tmp_path / "a.zip")
    command = [sys.executable, "-m", "osteon.cli", "ingest", "--sources", str(sources)]
    slow = {**environment, "OSTEON_UPLOAD_WORKERS": "1"}
    with subprocess.Popen(command, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list(lake.keys("images/"))) < 30:
            assert process.poll() is None and time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    left = list(lake.keys("images/"))
    assert 30 <= len(left) < 300 and not list(lake.keys("manifests/"))
    for key in left:
        lake.get_image(key.rsplit("/", 1)[1])

    killed = run_to_split("killed", sources)
    finished = 300 - len(left) - ingested(killed).uploaded
    assert finished in (0, 1), "the store may have finished the one upload that was under way"
    monkeypatch.setenv("OSTEON_S3_BUCKET", f"{lake.bucket}-b")
    whole = run_to_split("whole", sources)
    assert ingested(whole).uploaded == 300
    assert record_of(killed, SplitRecord).snapshot == record_of(whole, SplitRecord).snapshot


def test_a_week_compares_only_its_new_images_and_finds_their_originals_of_weeks_before(
    environment: dict[str, str], lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(encode(film(number)))
    sources = sources_file(tmp_path, folder)
    run_to_split("first", sources)
    (folder / "copy.jpg").write_bytes(encode(Image.fromarray(film(1)).rotate(90, expand=True)))
    second = run_to_split("second", sources)
    run_to_split("third", sources)
    added = [len(json.loads(lake.get_bytes(key))["new"]) for key in lake.keys("copies/")]
    assert sorted(added) == [1, 3], "each was new once"
    catalog = catalogs.read(lake, record_of(second, SplitRecord).catalog).set_index("path")
    group = catalog["group"]
    assert group["copy.jpg"] == group["1.jpg"] and group.nunique() == 3


def test_odd_files_are_left_out_with_a_reason_and_disturb_nothing(
    environment: dict[str, str], lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    good = radiograph(1)
    animated = [Image.fromarray(radiograph(seed)) for seed in (2, 3)]
    huge = Image.new("1", (20_000, 20_000))
    files = {
        "good.jpg": encode(good),
        "手 фото.png": encode(radiograph(4), "PNG"),
        "deep.png": encode(Image.fromarray(radiograph(5).astype(np.uint16) * 200), "PNG"),
        "cmyk.jpg": encode(Image.fromarray(radiograph(6)).convert("CMYK")),
        "palette.png": encode(Image.fromarray(radiograph(7)).quantize(64), "PNG"),
        "text.jpg": b"no image at all",
        "dot.png": encode(Image.new("L", (1, 1), 9), "PNG"),
        "huge.png": encode(huge, "PNG"),
        "moving.gif": encode(animated[0], "GIF", save_all=True, append_images=animated[1:]),
        "blank.png": encode(Image.new("L", (100, 100), 7), "PNG"),
        "stub.jpg": encode(radiograph(8))[:600],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    context = run_to_split("odd", sources_file(tmp_path, folder))
    catalog = catalogs.read(lake, record_of(context, SplitRecord).catalog).set_index("path")
    reasons = catalog.loc[catalog["quarantined"], "reason"].to_dict()
    expected = {
        "dot.png": "1x1 pixels, a side below 32",
        "huge.png": "20000x20000 pixels, more than the limit of 100000000 (OSTEON_MAX_PIXELS)",
        "moving.gif": "2 frames: several pictures in one file",
        "blank.png": "blank: it shows nothing",
    }
    manifest = lake.get_table(str(ingested(context).manifest)).set_index("path")
    assert manifest["reason"].dropna().to_dict() == {"text.jpg": "text, no image: leave it out by `images`"}
    decision = Decision(target="s:blank.png", action="keep", who="ann", why="a test object")
    decide(lake, load_labels(context.settings.labels_file), decision)
    manifests = [ingested(context).manifest]
    reviewed = run_on_catalog(context, record_of(context, InspectRecord).catalog, REPAIR, GROUP, REVIEW)
    run_stage(VALIDATE, context, catalog=reviewed, manifests=manifests, sources=str(tmp_path / "sources.yaml"))
    snapshot = run_on_catalog(context, reviewed, SPLIT, seed=0)
    kept_after_all = catalogs.read(lake, snapshot).set_index("path").loc["blank.png"]
    assert pd.notna(kept_after_all["split"]) and kept_after_all["label_origin"] == "human"
    assert history.read(lake, history.PLACEMENTS)["split"].notna().all()
    stub = reasons.pop("stub.jpg")
    assert reasons == expected and ("truncated" in stub or "damaged" in stub or "blank" in stub)
    kept = catalog[~catalog["quarantined"]]
    assert set(kept.index) == {"good.jpg", "手 фото.png", "deep.png", "cmyk.jpg", "palette.png"}
    assert kept["split"].notna().all()


def test_an_image_is_measured_again_when_the_limit_changes(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "a.png").write_bytes(encode(radiograph(1), "PNG"))
    sources = sources_file(tmp_path, tmp_path / "archive")
    decoded: list[int] = []
    kept_out: list[int] = []
    for limit in ("100000", "1000", "100000"):
        monkeypatch.setenv("OSTEON_MAX_PIXELS", limit)
        context = run_to_split(f"limit-{limit}-{len(decoded)}", sources)
        decoded.append(record_of(context, InspectRecord).decoded)
        kept_out.append(record_of(context, RepairRecord).quarantined)
    assert kept_out == [0, 1, 0] and decoded == [1, 1, 0], "a measurement under the first limit holds again"


def test_a_refused_archive_leaves_no_manifest(settings: Settings, lake: Lake, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a.jpg", encode(radiograph(1)))
        archive.writestr("../b.jpg", encode(radiograph(2)))
    place, labels = str(tmp_path / "bad.zip"), {"part": {"constant": "hand"}}
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": place, "labels": labels}
    with pytest.raises(SourceError, match="points outside"):
        ingest(settings, lake, ArchiveConfig.model_validate(entry).open(settings, tmp_path))
    assert not list(lake.keys(""))


def test_a_source_that_fails_is_replaced_by_its_last_good_version(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    for numbers in ((1, 2, 3), (2, 3, 4)):
        with zipfile.ZipFile(path, "w") as archive:
            for number in numbers:
                archive.writestr(f"{number}.jpg", encode(radiograph(number)))
        sources = sources_file(tmp_path, path)
        last = run_to_split(f"week-{numbers[0]}", sources)
    pulled = ingested(last)
    assert pulled.uploaded == 1 and removed_paths(lake, str(pulled.manifest), pulled.before) == ["1.jpg"]
    again = pull_one("week-2", sources)
    assert again.before == pulled.before, "a retry does not forget what was before its run"

    path.unlink()
    failed = ingested(run_to_split("week-3", sources))
    assert failed.manifest == pulled.manifest and "a.zip" in str(failed.problem)
    assert removed_paths(lake, str(failed.manifest), failed.before) == []
    monkeypatch.setenv("OSTEON_S3_BUCKET", f"{lake.bucket}-none")
    with pytest.raises(SourceError, match="nothing at"):
        pull_one("other", sources)
    left = ingested(Context.open("other"))
    assert left.manifest is None and "nothing at" in str(left.problem)


def publish(path: Path, *numbers: int) -> None:
    """Publish an archive of some radiographs."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in numbers:
            archive.writestr(f"{number}.jpg", encode(radiograph(number)))


@pytest.mark.parametrize("by_hand_once", [False, True])
def test_what_airflow_remembered_before_is_found_in_the_lake(
    by_hand_once: bool, environment: dict[str, str], settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    sources, pulled = sources_file(tmp_path, path), []
    for numbers in ((1, 2, 3), (2, 3, 4)):
        publish(path, *numbers)
        pulled.append(ingest(settings, lake, open_source(sources, settings, "s"))[0])  # Airflow's database knows it
        if by_hand_once and len(pulled) == 1:
            pull_one("by hand", sources)
        until_later_than(lake, pulled[-1])
    kept = path.rename(path.with_name("b.zip"))
    failed = pull_one("failed", sources)
    assert failed.manifest == pulled[-1] and "nothing at" in str(failed.problem)

    lake.remove(state_key("s"))
    publish(path, 3, 4, 5)
    assert pull_one("upgraded", sources).before == pulled[-1]
    assert pull_one("upgraded", sources).before == pulled[-1], "a retry is not its own past"

    path.write_bytes(kept.read_bytes())  # what was published before is published again
    assert pull_one("back", sources).manifest == pulled[-1]
    path.unlink()
    assert pull_one("failed again", sources).manifest == pulled[-1], "the version pulled last, not the newest"


def test_a_pull_that_was_killed_before_it_was_remembered_is_not_its_own_past(
    environment: dict[str, str], settings: Settings, lake: Lake, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    sources = sources_file(tmp_path, path)
    publish(path, 1, 2)
    opened = open_source(sources, settings, "s")
    ingest(settings, lake, opened)  # killed: no memory at all
    first = pull_one("first", sources)
    assert first.before is None and lake.get_json(state_key("s"))["run"] == "first"
    until_later_than(lake, str(first.manifest))
    publish(path, 2, 3)
    load_state(lake, "s")
    ingest(settings, lake, opened)  # killed again
    second = pull_one("second", sources)
    assert second.before == first.manifest != second.manifest
    assert removed_paths(lake, str(second.manifest), second.before) == ["1.jpg"]

    lake.remove(state_key("s"))  # killed in the first run after an upgrade
    until_later_than(lake, str(second.manifest))
    publish(path, 3, 4)
    load_state(lake, "s")
    killed, _ = ingest(settings, lake, opened)
    until_later_than(lake, killed)
    third = pull_one("third", sources)
    assert third.before == second.manifest and removed_paths(lake, str(third.manifest), third.before) == ["2.jpg"]


def test_of_two_runs_at_once_each_compares_with_what_it_recalled(lake: Lake) -> None:
    for version in ("old", "new"):
        lake.put_bytes(f"manifests/v3/s/{version}.parquet", b"")
    old, new = (f"manifests/v3/s/{version}.parquet" for version in ("old", "new"))
    save_state(lake, None, "s", old, "before")
    first, second = load_state(lake, "s"), load_state(lake, "s")
    assert save_state(lake, first, "s", new, "scheduled").before == old
    assert save_state(lake, second, "s", new, "by hand").before == old
    again = load_state(lake, "s")
    assert again is not None and (again.manifest, again.run) == (new, "by hand")


def test_whatever_goes_wrong_with_a_source_is_told_and_its_last_good_version_used(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", encode(radiograph(1)))
    sources = sources_file(tmp_path, tmp_path / "a.zip")
    good = ingested(run_to_split("good", sources)).manifest
    with monkeypatch.context() as broken:
        broken.setattr(zipfile.ZipFile, "infolist", lambda archive: 1 / 0)
        failed = pull_one("failed", sources)
    asked = "ZeroDivisionError while asking source s for its version: see the task's log"
    assert failed.manifest == good and failed.problem == asked

    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("folder/b.jpg", encode(radiograph(2)))
    monkeypatch.setattr("osteon.sources.reader.content_of", lambda head: 1 / 0)
    failed = pull_one("failed again", sources)
    assert failed.manifest == good
    assert failed.problem == "ZeroDivisionError while reading a.jpg, while reading source s: see the task's log"


@pytest.fixture
def falling_silent(settings: Settings) -> Iterator[tuple[str, threading.Event]]:
    """An address that leads to the store until the event is set. From then on it takes no image."""
    silent = threading.Event()

    class Forwards(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if silent.is_set() and "/images/" in self.path:
                self.close_connection = True
                return
            answer = urllib3.request(
                self.command, settings.s3_endpoint + self.path, headers=dict(self.headers), body=body
            )
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.data)

        do_GET = do_PUT = do_DELETE = do_HEAD  # noqa: N815

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Forwards) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", silent
        server.shutdown()


def test_a_lake_that_falls_silent_is_no_problem_of_a_source(
    environment: dict[str, str],
    falling_silent: tuple[str, threading.Event],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, silent = falling_silent
    monkeypatch.setenv("OSTEON_S3_ENDPOINT", url)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", encode(radiograph(1)))
    sources = sources_file(tmp_path, tmp_path / "a.zip")
    good = pull_one("good", sources)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("b.jpg", encode(radiograph(2)))
    silent.set()
    with pytest.raises(LakeUnreachableError, match="no object store answers"):
        pull_one("failed", sources)
    assert Context.open("failed").run.sources()["s"].manifest is None, "last week's data are not used in its place"
    silent.clear()
    again = pull_one("failed", sources)
    assert again.problem is None and again.before == good.manifest != again.manifest


def test_a_file_of_sources_that_enables_none_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    sources = sources_file(tmp_path, tmp_path)
    sources.write_text(sources.read_text().replace("kind: archive", "kind: archive\n  enabled: false"))
    with pytest.raises(ConfigurationError, match="enables no source"):
        run_stage(LIST_SOURCES, Context.open("none"), sources=str(sources))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ingest_needs_little_memory_however_large_the_archive_is(
    environment: dict[str, str], lake: Lake, tmp_path: Path
) -> None:
    """3 GB in files of 3 MB; peak resident memory of the process as the kernel counts it, from its first line on."""
    chance = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(1000):
            archive.writestr(f"{number}.jpg", chance.bytes(3_000_000))
    code = "from osteon.cli import app; app(standalone_mode=False); print(open('/proc/self/status').read())"
    command = [sys.executable, "-c", code, "ingest"]
    command += ["--sources", str(sources_file(tmp_path, tmp_path / "a.zip"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(list(lake.keys("images/"))) == 1000
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak) < 500 * 1024, f"{int(peak) // 1024} MiB"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_publishers_give_the_real_images_that_the_archives_give(
    environment: dict[str, str], lake: Lake, tmp_path: Path, real_data: Path
) -> None:
    described = yaml.safe_load((ROOT / "config" / "sources.fracatlas.yaml").read_text())["sources"]
    fracatlas, spine = ({**entry, "kind": kind} for entry, kind in zip(described, ("kaggle", "roboflow"), strict=True))
    del fracatlas["location"], spine["location"]
    fracatlas |= {"dataset": "owner/name"}
    spine |= {"project": "owner/name", "format": "yolov5pytorch"}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [fracatlas, spine]}))
    zips = (real_data / "fracatlas.zip", real_data / "spine-region.v1.yolov5pytorch.zip")
    kaggle, roboflow = (Publisher(path.read_bytes(), cuts=5) for path in zips)
    with serve(kaggle), serve(roboflow):
        accounts = {"OSTEON_KAGGLE_URL": kaggle.url, "OSTEON_ROBOFLOW_URL": roboflow.url}
        accounts |= {"OSTEON_KAGGLE_TOKEN": KEY, "OSTEON_ROBOFLOW_API_KEY": KEY}
        command = [sys.executable, "-m", "osteon.cli", "ingest", "--sources", str(tmp_path / "sources.yaml")]
        done = subprocess.run(command, env=environment | accounts, check=True, capture_output=True, text=True)
    for name, key in zip(("fracatlas", "spine-region"), done.stdout.split(), strict=True):
        opened = open_source(ROOT / "config" / "sources.fracatlas.yaml", load_settings(), name)
        expected = {
            file.path: (file.data, file.raw_label) for file in published_files(opened, "") if file.data is not None
        }
        digests = {path: (hashlib.sha256(data).hexdigest(), label) for path, (data, label) in expected.items()}
        table = lake.get_table(key).dropna(subset=["sha256"]).set_index("path")
        assert {path: (row.sha256, row.raw_label) for path, row in table.iterrows()} == digests
    assert KEY not in done.stdout + done.stderr


def test_a_source_that_gives_nothing_fails_the_command_but_not_a_run(
    environment: dict[str, str], lake: Lake, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode(radiograph(1)))
    rules = {"part": {"constant": "hand"}, "fracture": {"constant": "fractured"}}
    entry = {"kind": "archive", "licence": "CC0-1.0", "labels": rules}
    bad, good = ({**entry, "name": name, "location": f"{tmp_path}/{name}"} for name in ("gone", "archive"))
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [bad, good]}))
    result = CliRunner().invoke(app, ["ingest", "--sources", str(path)])
    assert isinstance(result.exception, SourceError) and "source gone: nothing at" in str(result.exception)
    (manifest,) = result.stdout.split()
    assert lake.exists(manifest) and "manifests/" in manifest and "/archive/" in manifest

    context = Context.open("run")
    catalogued = catalogs.read(lake, prepare(context, str(path)))
    assert catalogued["sha256"].nunique() == 1
    path.write_text(yaml.safe_dump({"sources": [bad]}))
    with pytest.raises(SourceError, match="no source could be pulled: source gone: nothing at"):
        prepare(context, str(path))


def test_accounts_that_do_not_add_up_are_refused(environment: dict[str, str], lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name, seed in (("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 2)):
        (folder / name).write_bytes(encode(radiograph(seed)))
    context = run_to_split("run", sources_file(tmp_path, folder))
    catalog = catalogs.read(lake, record_of(context, SplitRecord).catalog)
    manifests = read_manifests(lake, [str(ingested(context).manifest)])
    publications = catalogs.read_publications(lake, catalog)
    assert accounts(manifests, catalog, publications).loc["s"].to_dict() == {
        "files": 3, "images": 2, "duplicates": 1, "quarantined": 0,
    }  # fmt: skip
    with pytest.raises(CatalogError, match="do not add up"):
        accounts(manifests, catalog.iloc[1:], publications)
