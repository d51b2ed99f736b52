"""What the lake remembers from week to week, through the real stages: upgrades, two runs at once, old lakes."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from osteon import catalog as catalogs
from osteon import history
from osteon.curation import inspect
from osteon.curation.audit import audit, disagreements
from osteon.curation.compared import read_tip
from osteon.curation.copies import VERSION
from osteon.curation.decisions import Decision, decide
from osteon.curation.grouping import group, recall
from osteon.curation.review import review
from osteon.curation.split import split
from osteon.images import fingerprint
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.records import InspectRecord, SplitRecord
from osteon.schemas import Repaired
from osteon.settings import Settings
from osteon.takeover import MARKER, take_over
from osteon.training.promotion import comparable
from tests import tables
from tests.curation.facts import copies, groups, names
from tests.curation.weeks import RUN, catalog_of, snapshot, splits, upgrade_measurements
from tests.pictures import encode, film
from tests.runs import record_of, run_to_split

VERSIONED = (
    "curation.catalogue", "curation.copies", "curation.grouping", "curation.repair", "curation.review",
    "curation.split", "curation.inspect", "ingest",
)  # fmt: skip


def films(folder: Path, first: int, count: int, quality: int = 90, longer: int = 128) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number}.jpg").write_bytes(encode(film(number, longer=longer), quality=quality))


def sources_file(folder: Path, name: str) -> Path:
    entry = {"name": name, "kind": "archive", "licence": "CC0-1.0", "location": str(folder)}
    path = folder.parent / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"sources": [{**entry, "labels": {"part": {"constant": "hand"}}}]}))
    return path


def rename(folder: Path, mark: str) -> None:
    """Other names than before, so that only pixels tell."""
    for path in sorted(folder.glob("[0-9]*.jpg")):
        path.rename(path.with_name(f"{mark}{path.name}"))


def test_an_upgrade_of_every_version_leaves_what_is_saved_anew_where_it_was(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films(tmp_path / "a", 0, 20)
    sources = sources_file(tmp_path / "a", "s")
    first = snapshot(run_to_split("first", sources))
    for module in VERSIONED:
        loaded = importlib.import_module(f"osteon.{module}")
        monkeypatch.setattr(loaded, "VERSION", loaded.VERSION + 1)
    upgrade_measurements(monkeypatch)
    before = len(list(lake.keys("history/copies/")))
    films(tmp_path / "a", 0, 20, quality=60)
    rename(tmp_path / "a", "new-")
    context = run_to_split("second", sources)
    second = snapshot(context)
    assert second.index.str.removeprefix("new-").tolist() == first.index.tolist()
    assert second.tolist() == first.tolist() and record_of(context, SplitRecord).moved == 0
    assert len(list(lake.keys("history/copies/"))) > before and disagreements(lake) == []


def test_a_fingerprint_of_another_format_is_made_of_images_of_earlier_weeks_too(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: object
) -> None:
    films(tmp_path / "a", 0, 3)
    sources = sources_file(tmp_path / "a", "s")
    run_to_split("first", sources)
    monkeypatch.setattr(inspect, "FORMAT", fingerprint.FORMAT + 1)
    for number in (0, 1):
        (tmp_path / "a" / f"{number}.jpg").unlink()
    assert record_of(run_to_split("second", sources), InspectRecord).decoded == 1
    assert history.read(lake, history.FINGERPRINTS, ["sha256"])["format"].tolist() == [fingerprint.FORMAT + 1] * 3
    assert record_of(run_to_split("third", sources), InspectRecord).decoded == 0


def test_a_lower_limit_of_pixels_forgets_no_film(
    environment: dict[str, str], lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large films are kept out now; their small copies stay where those stood."""
    films(tmp_path / "a", 0, 8, longer=192)
    sources = sources_file(tmp_path / "a", "s")
    first = snapshot(run_to_split("first", sources))
    monkeypatch.setenv("OSTEON_MAX_PIXELS", "20000")
    for path in sorted((tmp_path / "a").glob("*.jpg")):
        small = Image.open(path).resize((128, 128), Image.Resampling.BOX)
        (tmp_path / "a" / f"small-{path.name}").write_bytes(encode(small, quality=95))
    second = snapshot(run_to_split("second", sources))
    assert second.index.tolist() == [f"small-{path}" for path in first.index] and second.tolist() == first.tolist()


def test_two_runs_at_once_on_one_bucket_lose_nothing(environment: dict[str, str], lake: Lake, tmp_path: Path) -> None:
    """Two processes, whose sources share half of their films; the week after, both publish all of it anew."""
    for name, first in (("a", 0), ("b", 12)):
        films(tmp_path / name, first, 24, quality=90 if name == "a" else 80)
        sources_file(tmp_path / name, name)
    command = [[sys.executable, "-c", RUN, str(tmp_path / f"{name}.yaml"), name] for name in "ab"]
    running = [subprocess.Popen(one, env=environment, stdout=subprocess.PIPE, text=True) for one in command]
    told = [json.loads(process.communicate(timeout=240)[0].splitlines()[-1]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    recorded = history.read(lake, history.PLACEMENTS).set_index("sha256")["split"]
    for key, _ in told:
        image = catalogs.read(lake, key)
        assert image["sha256"].isin(recorded.index).all() and len(image) == 24
        assert not ((image["split"] == "test").to_numpy() & (image["sha256"].map(recorded) != "test").to_numpy()).any()
    for name, first in (("a", 0), ("b", 12)):
        films(tmp_path / name, first, 24, quality=55)
        rename(tmp_path / name, "again-")
    for name, (key, _) in zip("ab", told, strict=True):
        now, then = snapshot(run_to_split(f"later-{name}", tmp_path / f"{name}.yaml")), splits(lake, key)
        in_test = then.index[then == "test"]
        assert len(in_test) and (now[[f"again-{path}" for path in in_test]] == "test").all()
    assert len(read_tip(lake, VERSION).cover) == len(history.digests_ever_seen(lake)), "all are compared with all"
    assert recall(lake).group.nunique() == 36 and disagreements(lake) == []


def test_films_of_one_patient_stand_in_one_split_also_when_the_first_are_gone(settings: Settings, lake: Lake) -> None:
    """Ten patients; the second week has other films of them, under other names, and none of the first week's."""
    labels = load_labels(settings.labels_file)

    def week(number: int, films: int) -> pd.DataFrame:
        rows = [(f"{number}{patient}{film}", f"p{patient}") for patient in range(10) for film in range(films)]
        images = pd.DataFrame(rows, columns=["sha256", "patient"]).assign(raw_label="hand", body_part="hand")
        key = tables.put(lake, f"repair/{number}.parquet", images, Repaired)
        reviewed, _ = review(settings, lake, labels, group(lake, key)[0])
        found, numbers = split(settings, lake, labels, reviewed, 0)
        assert numbers["moved"] == 0
        return catalogs.read(lake, found)

    first, second = week(1, 3), week(2, 2)
    assert (first["group"].nunique(), first["cluster"].nunique()) == (30, 10)
    assert set(first["split"]) == {"train", "val", "test"}
    assert second["split"].tolist()[::2] == second["split"].tolist()[1::2] == first["split"].tolist()[::3]
    clusters, learnt = recall(lake).cluster, second.assign(split="train").head(4)
    judged = comparable(first.assign(split="test"), learnt, clusters)
    assert judged["sha256"].tolist() == first["sha256"].tolist()[6:], "two patients are known to the champion"


def test_a_decision_about_a_pair_changes_groups_and_the_key(settings: Settings, lake: Lake) -> None:
    rows = pd.DataFrame({"sha256": ["a" * 64, "b" * 64], "source": "s"})
    key = tables.put(lake, "repair/c.parquet", rows.assign(path=["a.jpg", "b.jpg"]), Repaired)
    before, counts = group(lake, key)
    assert counts == {"groups": 2, "copies": 0, "clusters": 2, "mosaics": 0, "skipped": 0}
    assert group(lake, key)[0] == before
    labels = load_labels(settings.labels_file)
    for action, number in (("copies", 1), ("no copies", 2)):
        decide(lake, labels, Decision(target="a" * 64, other="b" * 64, action=action, who="ann", why="seen"))  # type: ignore[arg-type]
        after, counts = group(lake, key)
        assert counts["groups"] == number and (after == before) == (number == 2)


def test_a_mosaic_is_left_out_with_a_reason_that_names_its_films(lake: Lake) -> None:
    digests = [name * 64 for name in "abc"]
    rows = pd.DataFrame({"sha256": digests, "source": "s", "body_part": "hand"})
    rows["path"] = [f"{digest[0]}.jpg" for digest in digests]
    sides = [(0.0, 0.0, 0.3, 1.0), (0.6, 0.0, 0.9, 1.0)]
    shown = pd.DataFrame({"first": digests[:2], "second": digests[2], "verdict": "copy", "region_second": sides})
    history.append(lake, history.COPIES, shown)
    key, counts = group(lake, tables.put(lake, "repair/c.parquet", rows, Repaired))
    found = catalogs.read(lake, key)
    assert counts["mosaics"] == 1 and found["group"].tolist() == digests
    assert found["reason"].fillna("").tolist() == ["", "", "mosaic of several films: s:a.jpg, s:b.jpg"]


def old_lake(lake: Lake) -> None:
    """As an Osteon without a history left it: two versions of its tables."""
    pairs = [("a", None), ("b", "a"), ("c", None)]
    for version, rows in ((("4-3"), pairs[:1]), ("5-4", pairs)):
        table = pd.DataFrame(rows, columns=["sha256", "same"], dtype="string")
        lake.put_table(f"groups/compared-v{version}.parquet", table)
    named = pd.DataFrame({"sha256": ["a", "b"], "source": "s", "path": ["1.jpg", "2.jpg"], "height": 9, "width": 9})
    lake.put_table("groups/named-v5.parquet", named)
    placed = pd.DataFrame({"sha256": ["a", "b", "gone"], "split": ["test", "test", "val"]}, dtype="string")
    lake.put_table("splits/assignments.parquet", placed)
    lake.put_table("measurements/v4.parquet", pd.DataFrame({"sha256": ["a", "m", "bad"], "problem": [None, None, "x"]}))


def test_an_old_lake_is_taken_over_once_and_left_as_it_was(lake: Lake) -> None:
    old_lake(lake)
    objects = {key: lake.get_bytes(key) for key in lake.keys("")}
    assert take_over(lake) == 5 and take_over(lake) == 0
    assert {key: lake.get_bytes(key) for key in objects} == objects
    assert history.digests_ever_seen(lake).tolist() == ["a", "b", "c", "gone", "m"]
    (pair,) = history.read(lake, history.COPIES).itertuples()
    assert (pair.first, pair.second, pair.verdict, pair.method) == ("a", "b", "copy", "before history")
    assert dict(history.read(lake, history.PLACEMENTS).itertuples(index=False)) == {
        "a": "test",
        "b": "test",
        "gone": "val",
    }
    assert recall(lake).group["b"] == "a" and disagreements(lake) != []
    kept = set(lake.keys("history/"))
    lake.remove(MARKER)
    assert take_over(lake) == 5 and set(lake.keys("history/")) == kept, "twice is once"
    late = pd.DataFrame({"sha256": ["late"], "split": ["test"]}, dtype="string")
    lake.put_table("splits/assignments.parquet", late)
    assert take_over(lake) == 1, "an old Osteon that still ran is not forgotten"
    assert "late" in history.digests_ever_seen(lake)


def test_a_publication_saved_anew_after_the_take_over_keeps_its_split(
    environment: dict[str, str], lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The old lake holds the images and the old tables; nothing of the history."""
    films(tmp_path / "a", 0, 8)
    sources = sources_file(tmp_path / "a", "s")
    context = run_to_split("first", sources)
    first = catalog_of(context)
    for folder in ("history", "copies", "measurements"):
        lake.remove_folder(folder)
    lake.put_table("splits/assignments.parquet", first[["sha256"]].assign(split="test"))
    lake.put_table("groups/compared-v5-4.parquet", first[["sha256"]].assign(same=pd.Series(None, dtype="string")))
    films(tmp_path / "a", 0, 8, quality=60)
    rename(tmp_path / "a", "new-")
    with caplog.at_level(logging.INFO, "osteon"):
        again = run_to_split("second", sources)
    assert "8 images of earlier weeks get a fingerprint; of 0 more the bytes are gone" in caplog.messages
    assert set(snapshot(again)) == {"test"}


def test_where_history_and_catalog_disagree_is_told() -> None:
    placed = pd.DataFrame({"sha256": ["a", "b", "c", "x"], "split": ["train", "test", "val", "val"]})
    named = names(("a", "1.jpg"), ("b", "2.jpg"), ("c", "3.jpg", "p"), ("d", "4.jpg", "p"))
    found = groups("x", named=named, found=copies(("a", "b", "copy"), ("b", "c", "possible")))
    catalog = pd.DataFrame({"sha256": ["a", "new", "quarantined"], "group": ["a", "new", None]})
    assert audit(named, placed, found, catalog) == [
        "1 images are placed, but have no name (x, ...)",
        "1 groups of copies stand in two splits (a, ...)",
        "1 clusters stand in two splits (a, ...)",
        "1 images of the newest catalog are not in the history (new, ...)",
    ]
    assert audit(named, placed[:0], found, None) == []
