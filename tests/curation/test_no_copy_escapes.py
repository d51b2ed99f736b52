"""No copy of a test film is learnt: altered, truncated, published next week, after an upgrade, by two runs at once.

Every row goes from ingest to split through the real stages. The rows on real films are marked `slow`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import alterations
import cv2
import numpy as np
import pandas as pd
import pytest

from osteon.curation.grouping import recall
from osteon.lake import Lake
from osteon.records import SplitRecord
from osteon.training.promotion import comparable
from tests.curation.weeks import RUN, catalog_of, publish, snapshot, sources_file, splits, upgrade
from tests.pictures import encode, film
from tests.runs import record_of, run_to_split

Films = dict[str, np.ndarray]
ALTERED: dict[str, alterations.Alter] = {
    "crop 5 %": alterations.cropped(0.95),
    "letterbox black": alterations.letterboxed(0),
    "CLAHE": alterations.clahe(2),
    "rotated 2 degrees": alterations.rotated(2, "black"),
    "mirrored negative": lambda film, rng: alterations.negative(alterations.mirrored(film, rng), rng),
    "text, markers, boxes": alterations.annotated,
}
NEXT_WEEK: dict[str, alterations.Alter] = {
    "letterbox black": alterations.letterboxed(0),
    "CLAHE": alterations.clahe(2),
    "crop 3 %": alterations.cropped(0.97),
}
REAL, GENERATED = 160, 20
STRANGERS = 0.9
"""Clusters that there must be at least, of each film: what joins all films lets no copy escape either."""


def real_films(archive: Path) -> Films:
    """Films from all over FracAtlas, but for those that are truncated."""
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg") and Path(name).stem < "IMG0004"]
        chosen = sorted(np.random.default_rng(0).choice(names, REAL, replace=False).tolist())
        data = [np.frombuffer(file.read(name), np.uint8) for name in chosen]
    grey = (cv2.imdecode(one, cv2.IMREAD_GRAYSCALE) for one in data)
    return {f"{Path(name).stem}.jpg": np.asarray(one, np.uint8) for name, one in zip(chosen, grey, strict=True)}


@pytest.fixture(params=["generated", pytest.param("real", marks=pytest.mark.slow)])
def films(request: pytest.FixtureRequest) -> Films:
    if request.param == "real":
        return real_films(request.getfixturevalue("real_data") / "fracatlas.zip")
    return {f"{number:03d}.jpg": film(number) for number in range(GENERATED)}


def altered(films: Films, alter: alterations.Alter) -> Films:
    rng = np.random.default_rng(1)
    return {name: alter(one, rng) for name, one in films.items()}


def renamed(films: Films, mark: str) -> Films:
    """Under other names than before: only pixels tell."""
    return {f"{mark}-{name}": one for name, one in films.items()}


def escaped(catalog: pd.DataFrame, name_of: Callable[[str], str]) -> list[str]:
    """Test images of which a copy stands in train or val; `name_of` is the film's name from an image's path."""
    catalog = catalog[catalog["split"].notna()]
    film = catalog["path"].map(name_of)
    learnt = set(film[catalog["split"] != "test"])
    return catalog.loc[(catalog["split"] == "test") & film.isin(learnt), "path"].tolist()


def moved_out_of_test(before: pd.Series, after: pd.Series) -> list[str]:
    """Names of films that stood in test and are elsewhere now; both are splits by name."""
    tested = before.index[before == "test"]
    assert len(tested) >= len(before) // 10, "there must be some to judge by"
    return [name for name in tested if after[name] != "test"]


def assert_strangers_stay_apart(catalog: pd.DataFrame, films: int) -> None:
    assert catalog["cluster"].nunique() >= STRANGERS * films, "different films must not be joined"


@pytest.mark.parametrize("alteration", ALTERED)
def test_an_altered_copy_at_another_publisher_stands_where_its_film_stands(
    environment: dict[str, str], films: Films, tmp_path: Path, alteration: str
) -> None:
    publish(tmp_path / "a", films)
    publish(tmp_path / "b", renamed(altered(films, ALTERED[alteration]), "b"), quality=85)
    catalog = catalog_of(run_to_split("run", sources_file(tmp_path / "s.yaml", tmp_path / "a", tmp_path / "b")))
    assert len(escaped(catalog, lambda path: path.removeprefix("b-"))) <= 1
    assert_strangers_stay_apart(catalog, len(films))


@pytest.mark.parametrize("share", [0.9, 0.6])
def test_a_truncated_copy_stands_where_its_whole_film_stands(
    environment: dict[str, str], films: Films, tmp_path: Path, share: float
) -> None:
    some = dict(list(films.items())[::4])
    publish(tmp_path / "a", films)
    data = {name: encode(one, quality=85) for name, one in renamed(some, "b").items()}
    publish(tmp_path / "b", {name: one[: int(share * len(one))] for name, one in data.items()})
    catalog = catalog_of(run_to_split("run", sources_file(tmp_path / "s.yaml", tmp_path / "a", tmp_path / "b")))
    assert catalog["truncated"].sum() == len(some)
    assert len(escaped(catalog, lambda path: path.removeprefix("b-"))) <= 1
    assert_strangers_stay_apart(catalog, len(films))


@pytest.mark.parametrize("alteration", NEXT_WEEK)
def test_next_weeks_version_of_a_source_leaves_the_test_split_and_the_gate_compares_on_what_nobody_learnt(
    environment: dict[str, str], films: Films, tmp_path: Path, alteration: str
) -> None:
    sources = sources_file(tmp_path / "s.yaml", tmp_path / "a")
    publish(tmp_path / "a", films)
    first = run_to_split("first", sources)
    publish(tmp_path / "a", altered(films, NEXT_WEEK[alteration]))
    second = run_to_split("second", sources)
    assert moved_out_of_test(snapshot(first), snapshot(second)) == []
    champions = catalog_of(first)
    judged = comparable(catalog_of(second), champions, recall(second.lake).cluster)
    learnt = champions.loc[champions["split"].isin(["train", "val"]), "path"]
    assert len(judged) and not set(judged["path"]) & set(learnt)
    assert_strangers_stay_apart(catalog_of(second), len(films))


def test_whole_files_that_follow_truncated_ones_stay_in_their_split(
    environment: dict[str, str], films: Films, tmp_path: Path
) -> None:
    """What the mail about truncated files asks of a publisher. Their names change as well, so that pixels must tell."""
    sources = sources_file(tmp_path / "s.yaml", tmp_path / "a")
    publish(tmp_path / "a", {name: data[: int(0.75 * len(data))] for name, data in encoded(films).items()})
    first = snapshot(run_to_split("first", sources))
    publish(tmp_path / "a", renamed(films, "whole"))
    second = snapshot(run_to_split("second", sources))
    assert moved_out_of_test(first, second.rename(lambda path: path.removeprefix("whole-"))) == []


def encoded(films: Films) -> dict[str, bytes]:
    return {name: encode(one, quality=90) for name, one in films.items()}


def test_an_upgrade_of_every_version_moves_nothing_that_is_saved_anew(
    environment: dict[str, str], films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_file(tmp_path / "s.yaml", tmp_path / "a")
    publish(tmp_path / "a", films)
    first = snapshot(run_to_split("first", sources))
    upgrade(monkeypatch)
    publish(tmp_path / "a", renamed(films, "new"), quality=70)
    context = run_to_split("second", sources)
    second = snapshot(context).rename(lambda path: path.removeprefix("new-"))
    assert second.to_dict() == first.to_dict() and record_of(context, SplitRecord).moved == 0


def test_two_runs_at_once_move_nothing_out_of_test_and_no_copy_escapes_the_week_after(
    environment: dict[str, str], films: Films, tmp_path: Path, lake: Lake
) -> None:
    """Two publishers that share half of their films, each pulled by a process of its own."""
    names = list(films)[:80]  # each of the four pulls looks at them, two at once
    at = {"a": {name: films[name] for name in names[: len(names) * 2 // 3]}}
    at["b"] = renamed(altered({name: films[name] for name in names[len(names) // 3 :]}, ALTERED["crop 5 %"]), "b")
    for source in "ab":
        publish(tmp_path / source, at[source])
        sources_file(tmp_path / f"{source}.yaml", tmp_path / source)
    command = [[sys.executable, "-c", RUN, str(tmp_path / f"{source}.yaml"), source] for source in "ab"]
    running = [subprocess.Popen(one, env=environment, stdout=subprocess.PIPE, text=True) for one in command]
    told = [json.loads(process.communicate(timeout=240)[0].splitlines()[-1]) for process in running]
    before = pd.concat([splits(lake, key) for key, _ in told])

    for source in "ab":
        publish(tmp_path / source, renamed(at[source], "again"), quality=60)
    later = catalog_of(run_to_split("later", sources_file(tmp_path / "both.yaml", tmp_path / "a", tmp_path / "b")))
    after = later.set_index("path")["split"].rename(lambda path: path.removeprefix("again-"))
    assert moved_out_of_test(before, after) == []
    assert escaped(later, lambda path: path.removeprefix("again-").removeprefix("b-")) == []
    assert_strangers_stay_apart(later, len(names))
