"""The check of a split, on copies that were planted where the grouping does not know of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon import history
from osteon.curation import leakage
from osteon.curation.compared import Tip, add
from osteon.curation.copies import VERSION
from osteon.curation.decisions import Decision, decide
from osteon.curation.grouping import recall
from osteon.curation.leakage import candidates, coarse, codebook, find_pairs, nearest, not_compared, pooled
from osteon.curation.split import split_accounts
from osteon.errors import CatalogError, QualityError
from osteon.images.fingerprint import FORMAT, fingerprint, read_fingerprint
from osteon.images.registration import COPIED, DOUBTFUL
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.notify.alert import Alert
from osteon.notify.mails import quality_mail
from osteon.pipeline.context import Context
from osteon.pipeline.local import run_on_catalog
from osteon.pipeline.stages import CHECK, GROUP, REVIEW, SPLIT, run_stage
from osteon.records import CatalogKey, ManifestKey
from osteon.reports.leakage import NOT_CHECKED, closest_pairs, leakage_line, read_leakage, undecided_pairs
from osteon.schemas import Split
from osteon.settings import Settings
from tests import tables
from tests.notifier import RecordingNotifier
from tests.pictures import cropped, encode, equalised, film, rotated

ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "turned": lambda picture: rotated(picture, 15),
    "cut": lambda picture: cropped(picture, 0.2),
    "equalised": equalised,
}
TESTS, DOUBT = 6, (COPIED + DOUBTFUL) / 2
CATALOG, MANIFEST = CatalogKey("split/s.parquet"), ManifestKey("manifests/m.parquet")


def put_images(lake: Lake, films: dict[str, np.ndarray], fingerprints: bool = True) -> dict[str, str]:
    """Keep films in the lake, as if they had been compared with each other in vain. Returns digests by path."""
    digests = {path: lake.put_image(encode(picture, quality=95))[0] for path, picture in films.items()}
    names = pd.DataFrame({"sha256": digests.values(), "source": "s", "path": digests.keys()})
    history.append(lake, history.NAMES, names)
    if fingerprints:
        prints = [fingerprint(picture) for picture in films.values()]
        table = pd.DataFrame({"sha256": digests.values(), "format": FORMAT, "data": prints})
        history.append(lake, history.FINGERPRINTS, table)
    add(lake, VERSION, Tip(), digests.values())
    return digests


def put_split(lake: Lake, digests: dict[str, str], splits: dict[str, str]) -> pd.DataFrame:
    """A catalog in which each image is a group of its own, and its manifest."""
    rows = pd.DataFrame({"path": digests.keys(), "sha256": digests.values(), "source": "s", "body_part": "forearm"})
    rows["group"] = rows["sha256"]
    rows["split"] = rows["path"].map(splits)
    rows["raw_label"] = "forearm"
    tables.put(lake, CATALOG, rows, Split)
    lake.put_table(MANIFEST, tables.manifest(rows[["source", "path", "sha256", "raw_label"]]))
    return catalogs.read(lake, CATALOG)


def originals() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Films and their splits: TESTS in test, the others in val and train."""
    films = {f"{number}.jpg": film(number) for number in range(18)}
    return films, {path: "test" if n < TESTS else ("val", "train")[n % 2] for n, path in enumerate(films)}


@pytest.fixture
def planted(lake: Lake) -> tuple[pd.DataFrame, dict[str, str]]:
    """A split with an altered copy of each of the first test images in train."""
    films, splits = originals()
    for number, (name, alter) in enumerate(ALTERED.items()):
        films[f"{name}.jpg"] = alter(films[f"{number}.jpg"])
        splits[f"{name}.jpg"] = "train"
    digests = put_images(lake, films)
    return put_split(lake, digests, splits), digests


@pytest.fixture
def check(settings: Settings, tmp_path: Path) -> Callable[[], list[Alert]]:
    """Runs the stage. Returns what was told."""
    entry = {"name": "s", "kind": "phantom", "licence": "CC0-1.0"}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"model": "m", "sources": [entry]}))
    notifier, numbers = RecordingNotifier(), count()

    def run() -> list[Alert]:
        notifier.alerts.clear()
        context = Context.open(f"run {next(numbers)}", notifier, **dict(settings))
        record = run_stage(CHECK, context, catalog=CATALOG, manifests=[MANIFEST], sources=str(sources))
        assert record.result == CATALOG
        return notifier.alerts

    run.told = notifier.alerts  # type: ignore[attr-defined]
    return run


def test_planted_copies_stop_the_run_are_mailed_side_by_side_and_known_from_then_on(
    planted: tuple[pd.DataFrame, dict[str, str]], check: Any, lake: Lake, settings: Settings
) -> None:
    catalog, digests = planted
    with pytest.raises(QualityError, match=r"3 test images have a copy in train or val \(50.0%\)"):
        check()
    (alert,) = check.told
    (finding,) = alert.findings
    expected = {(f"s:{number}.jpg", f"s:{name}.jpg") for number, name in enumerate(ALTERED)}
    assert {(item.name, item.other) for item in finding.offenders} == expected
    mail = quality_mail(alert, "run", {})
    assert "s:0.jpg and s:turned.jpg score" in mail.text and "in train" in mail.text and "--no-copies" in mail.text
    assert [picture.width for picture in mail.pictures] == [260] * 3
    facts = history.read(lake, history.COPIES)
    assert (facts["verdict"] == "copy").all() and (facts["score"] >= COPIED).all() and len(facts) == 3
    groups = recall(lake).group
    assert all(groups[digests[f"{n}.jpg"]] == groups[digests[f"{name}.jpg"]] for n, name in enumerate(ALTERED))
    assert leakage_line(read_leakage(lake, catalog)).startswith("The closest of 6 test images to anything in train or")
    assert len(list(lake.keys("history/copies/"))) == 1


def test_what_a_curator_says_is_no_copy_stops_nothing(
    planted: tuple[pd.DataFrame, dict[str, str]], check: Any, lake: Lake, settings: Settings
) -> None:
    labels = load_labels(settings.labels_file)
    for number, name in enumerate(ALTERED):
        target, other = planted[1][f"{number}.jpg"], planted[1][f"{name}.jpg"]
        decide(lake, labels, Decision(target=target, other=other, action="no copies", who="ann", why="seen"))
    assert check() == []
    found = read_leakage(lake, planted[0])
    assert found is not None and found.numbers.tests == TESTS
    assert found.numbers.closest is None or found.numbers.closest < COPIED


def test_the_report_shows_the_closest_pairs_and_pairs_for_a_curator(lake: Lake, check: Any, settings: Settings) -> None:
    """A copy that is only possible: scores lie between the bars."""
    films, splits = originals()
    digests = put_images(lake, films)
    catalog = put_split(lake, digests, splits)
    assert check() == []
    pairs = find_pairs(lake, catalog)
    doubtful = pairs.index == pairs.index[0]
    for column, value in {"score": DOUBT, "view": "mirrored", "verdict": "possible"}.items():
        pairs[column] = pairs[column].mask(doubtful, value)
    lake.put_table(leakage.leakage_key(catalog), pairs)
    (alert,) = check()
    assert [finding.check for finding in alert.findings] == ["possible_across_splits"]
    found = read_leakage(lake, catalog)
    assert found is not None and found.numbers.closest == DOUBT and found.waiting == 1, "counts pairs across the split"
    closest = closest_pairs(lake, found, catalog, settings.max_pixels)
    first, *others = closest
    assert (first.score, first.view) == (DOUBT, "mirrored") and len(others) == TESTS - 1
    assert all(pair.picture is not None and pair.picture.startswith(b"\x89PNG") for pair in closest)
    (waiting,) = undecided_pairs(lake, alert.findings, settings.max_pixels)
    assert waiting.commands == tuple(
        f"osteon review {first.test} {option} {first.neighbour} --who NAME --why REASON"
        for option in ("--copies", "--no-copies")
    )


def test_a_split_without_copies_passes_and_is_compared_once(
    lake: Lake, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, splits = originals()
    catalog = put_split(lake, put_images(lake, films), splits)
    assert leakage_line(read_leakage(lake, catalog)) == NOT_CHECKED
    assert check() == []
    pairs = find_pairs(lake, catalog)
    assert pairs.groupby("test").size().between(leakage.NEAREST, 2 * leakage.NEAREST).all()
    assert set(pairs["neighbour_split"]) <= {"train", "val"} and pairs["test"].nunique() == TESTS
    monkeypatch.setattr(leakage, "register_nearest", None)
    assert check() == [] and find_pairs(lake, catalog).equals(pairs)
    assert history.read(lake, history.COPIES).empty


def test_an_image_without_a_fingerprint_is_told_and_compared_when_it_has_one(lake: Lake, check: Any) -> None:
    films, splits = originals()
    lacking = {path: films.pop(path) for path in ("0.jpg", "17.jpg")}
    catalog = put_split(lake, put_images(lake, films) | put_images(lake, lacking, fingerprints=False), splits)
    (alert,) = check()
    (finding,) = alert.findings
    assert (finding.check, finding.severity) == ("not_compared", "warning")
    assert {item.name for item in finding.offenders} == {"s:0.jpg", "s:17.jpg"}
    assert "compared with nothing: 2." in leakage_line(read_leakage(lake, catalog))
    put_images(lake, lacking)
    (alert,) = check()
    assert alert.findings == [] and alert.gone == ["not_compared"]
    assert not_compared(find_pairs(lake, catalog)).empty


def test_images_that_the_split_moved_are_named(lake: Lake, check: Any, settings: Settings) -> None:
    films, splits = originals()
    put_split(lake, put_images(lake, films), splits)
    notifier, labels = RecordingNotifier(), load_labels(settings.labels_file)
    context = Context.open("run", notifier, **dict(settings))
    first = run_on_catalog(context, CATALOG, SPLIT, seed=0)
    placed = catalogs.read(lake, first).set_index("sha256")["split"]
    train, test = sorted(placed.index[placed == "train"])[0], sorted(placed.index[placed == "test"])[0]
    decide(lake, labels, Decision(target=train, other=test, action="copies", who="ann", why="seen"))
    reviewed = run_on_catalog(context, CATALOG, GROUP, REVIEW)
    second = run_stage(SPLIT, context, catalog=reviewed, seed=0)
    assert second.moved_from == {train: "train"}
    entry = {"name": "s", "kind": "phantom", "licence": "CC0-1.0"}
    path = settings.state_dir / "sources.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"sources": [entry]}))
    run_stage(CHECK, context, catalog=second.catalog, manifests=[MANIFEST], sources=str(path))
    (finding,) = [finding for finding in notifier.alerts[0].findings if finding.check == "moved_placements"]
    assert [(item.sha256, item.detail) for item in finding.offenders] == [(train, "train before, test now")]


@pytest.mark.parametrize(
    ("change", "images", "message"),
    [
        ({}, 4, "4 images, but 3 in splits or left out"),
        ({"group": "g"}, 3, "group g stands in test and train"),
        ({"group": ["a", "b", "c"], "cluster": "k"}, 3, "cluster k stands in test and train"),
        ({"patient": "p"}, 3, "patient p stands in test and train: a mosaic"),
    ],
)
def test_what_does_not_add_up_or_stands_in_two_splits_is_told(
    change: dict[str, Any], images: int, message: str
) -> None:
    rows = pd.DataFrame({"sha256": ["a", "b", "c"], "group": ["a", "b", "c"], "split": ["train", "test", None]})
    catalog = tables.catalog(rows.assign(exclusion_reason=pd.Series([None, None, "no label"]), **change))
    with pytest.raises(CatalogError, match=message):
        split_accounts(catalog, images)


def test_counts_of_a_good_split_add_up() -> None:
    rows = pd.DataFrame({"sha256": ["a", "b", "c"], "group": ["a", "b", "c"], "split": ["train", "test", None]})
    catalog = tables.catalog(rows.assign(exclusion_reason=pd.Series([None, None, "no label: x"])))
    assert split_accounts(catalog, 3) == ({"no label": 1}, {"train": 1, "val": 0, "test": 1})


def test_descriptors_hold_for_the_mirror_image_and_the_negative() -> None:
    picture = film(3)
    altered = {"mirrored": picture[:, ::-1], "negative": 255 - picture, "stranger": film(2)}
    words = codebook(lambda digest: read_fingerprint(fingerprint(film(int(digest)))), ["4", "5", "6", "7"])
    assert words is not None
    whole, low = {}, {}
    as_it_is = read_fingerprint(fingerprint(picture))
    for name, pixels in altered.items():
        other = read_fingerprint(fingerprint(np.ascontiguousarray(pixels)))
        whole[name] = float(pooled(as_it_is, words) @ pooled(other, words))
        low[name] = float((coarse(other) @ coarse(as_it_is)[0]).max())
    assert min(whole["mirrored"], whole["negative"]) > 0.4 > 2 * whole["stranger"], whole
    assert min(low["mirrored"], low["negative"]) > 0.95 > low["stranger"], low


def test_a_film_that_shows_nothing_and_a_split_without_train_give_no_error() -> None:
    blank = read_fingerprint(fingerprint(np.zeros((80, 90), np.uint8)))
    assert candidates(lambda _: blank, ["a"], ["b"]) == {"a": ["b"]}
    assert candidates(lambda _: blank, ["a"], []) == {"a": []}


def test_the_nearest_pair_of_a_test_image_is_the_best_that_nobody_took_apart() -> None:
    rows = [
        ("t", "x", 9.0, "possible"),
        ("t", "y", 5.0, "copy"),
        ("u", "x", 1.0, "different"),
        ("u", "z", None, "different"),
        ("v", None, None, None),
        (None, "w", None, None),
    ]
    columns = ["test", "neighbour", "score", "verdict"]
    pairs = pd.DataFrame(rows, columns=columns).reindex(columns=list(leakage.COLUMNS))
    pairs = pairs.astype(leakage.COLUMNS)
    apart = pd.DataFrame([("t", "y", False), ("u", "x", True)], columns=["first", "second", "copies"])
    assert nearest(pairs, apart[:0])[["test", "neighbour"]].to_numpy().tolist() == [["t", "y"], ["u", "x"]]
    assert nearest(pairs, apart)[["test", "neighbour"]].to_numpy().tolist() == [["t", "x"], ["u", "x"]]
    assert not_compared(pairs).tolist() == ["v", "w"]
