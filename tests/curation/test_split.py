from __future__ import annotations

import logging

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.split import assign_clusters, assign_splits, placements, recorded_placements, split
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.schemas import Reviewed
from osteon.settings import Settings, load_settings
from tests import tables

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def clusters(**strata: int) -> pd.DataFrame:
    rows = [(f"{name}-{i}", name, 1) for name, count in strata.items() for i in range(count)]
    return pd.DataFrame(rows, columns=["cluster", "stratum", "size"])


def counts(frame: pd.DataFrame, placed: dict[str, str], stratum: str) -> dict[str, int]:
    members = frame[frame["stratum"] == stratum]
    sizes = members.groupby(members["cluster"].map(placed))["size"].sum()
    return {str(split): int(size) for split, size in sizes.items()}


def test_each_stratum_is_split_60_20_20() -> None:
    frame = clusters(common=100, rare=10)
    placed = assign_clusters(frame, {}, SHARES, seed=0)
    assert counts(frame, placed, "common") == {"train": 60, "val": 20, "test": 20}
    assert counts(frame, placed, "rare") == {"train": 6, "val": 2, "test": 2}


def test_a_large_cluster_is_weighed_by_its_images() -> None:
    frame = pd.concat([clusters(a=40), pd.DataFrame([("big", "a", 40)], columns=["cluster", "stratum", "size"])])
    assert counts(frame, assign_clusters(frame, {}, SHARES, 0), "a") == {"train": 48, "val": 16, "test": 16}


def test_what_was_placed_stays_and_new_clusters_fill_what_lacks() -> None:
    before = assign_clusters(clusters(a=50), {}, SHARES, 0)
    frame = clusters(a=100)
    after = assign_clusters(frame, before, SHARES, 0)
    assert all(after[name] == split for name, split in before.items())
    assert counts(frame, after, "a") == {"train": 60, "val": 20, "test": 20}


def test_what_only_a_base_model_labelled_is_placed_in_train() -> None:
    frame = pd.DataFrame({"sha256": [f"{i:02d}" for i in range(40)], "cluster": [f"g{i // 2}" for i in range(40)]})
    frame = frame.assign(source="s", body_part="hand", fractured=pd.array([False] * 40, "boolean"))
    people = frame.assign(label_origin="source")
    splits = assign_splits(people, {}, load_settings(), 0)
    assert set(splits) == {"train", "val", "test"}
    by_model = people.assign(label_origin=["base-model"] * 20 + ["source"] * 20)
    by_model.loc[0, "label_origin"] = "source"  # its copy goes where it goes
    placed = assign_splits(by_model, {}, load_settings(), 0)
    assert set(placed[2:20]) == {"train"} and placed[0] == placed[1] and set(placed[20:]) == {"train", "val", "test"}
    assert assign_splits(by_model, {"04": "test"}, load_settings(), 0)[4] == "test", "what was placed stays"
    many = pd.DataFrame({"sha256": [f"m{i}" for i in range(200)], "cluster": [f"m{i}" for i in range(200)]})
    many = many.assign(source="s", body_part="hand", fractured=False, label_origin="base-model")
    with_many = assign_splits(pd.concat([people, many], ignore_index=True), {}, load_settings(), 0)
    assert with_many[:40].tolist() == splits.tolist() and set(with_many[40:]) == {"train"}


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    frame = clusters(a=50, b=20)
    assert assign_clusters(frame, {}, SHARES, 1) == assign_clusters(frame.sample(frac=1, random_state=3), {}, SHARES, 1)
    assert assign_clusters(frame, {}, SHARES, 1) != assign_clusters(frame, {}, SHARES, 2)


def test_another_seed_moves_nothing_that_was_placed_and_says_so(
    settings: Settings, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "osteon")
    rows = [{"sha256": f"{i:02d}", "group": f"g{i}", "source": "s", "body_part": "hand"} for i in range(20)]
    labels = load_labels(settings.labels_file)

    def placed(key: str, count: int, seed: int) -> pd.Series:
        tables.put(lake, key, pd.DataFrame(rows[:count]).assign(raw_label="hand"), Reviewed)
        return catalogs.read(lake, split(settings, lake, labels, key, seed)[0]).set_index("sha256")["split"]

    first, grown = placed("review/first.parquet", 10, 0), placed("review/grown.parquet", 20, 1)
    pd.testing.assert_series_equal(grown[first.index], first)
    assert [record.getMessage() for record in caplog.records] == [
        "0 of 10 images were placed before and stay there, whatever the seed",
        "10 of 20 images were placed before and stay there, whatever the seed",
    ]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [2, 0, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (10, [6, 2, 2])],
)
def test_a_small_stratum_fills_test_before_val(count: int, sizes: list[int]) -> None:
    found = counts(clusters(a=count), assign_clusters(clusters(a=count), {}, SHARES, 0), "a")
    assert [found.get(name, 0) for name in ("train", "val", "test")] == sizes


def test_a_stratum_that_grows_one_by_one_gets_a_test_image_with_the_second() -> None:
    placed = assign_clusters(clusters(a=1), {}, SHARES, 0)
    assert assign_clusters(clusters(a=2), placed, SHARES, 0) == {**placed, "a-1": "test"}


def test_a_cluster_goes_to_the_strictest_split_of_all_its_members_ever() -> None:
    clusters_ever = pd.Series({"a": "a", "b": "a", "gone": "a", "c": "c"})
    recorded = {"gone": "val", "b": "train", "elsewhere": "test"}
    assert placements(recorded, clusters_ever) == {"a": "val", "b": "val", "gone": "val", "elsewhere": "test"}


def test_where_clusters_merge_the_images_that_move_are_counted_and_recorded(settings: Settings, lake: Lake) -> None:
    labels = load_labels(settings.labels_file)
    digests = [f"{i:02d}" for i in range(20)]

    def run(key: str, clusters: list[str]) -> tuple[pd.Series, dict[str, object]]:
        rows = pd.DataFrame({"sha256": digests, "group": digests, "cluster": clusters, "source": "s"})
        rows = rows.assign(body_part="hand", raw_label="hand")
        found, numbers = split(settings, lake, labels, tables.put(lake, key, rows, Reviewed), 0)
        return catalogs.read(lake, found).set_index("sha256")["split"], numbers

    first, numbers = run("review/a.parquet", digests)
    assert numbers["moved"] == 0
    trained, tested = first.index[first == "train"][0], first.index[first == "test"][0]
    one, other = sorted([trained, tested])
    pair = pd.DataFrame({"first": [one], "second": [other], "verdict": ["possible"]})
    history.append(lake, history.COPIES, pair)
    second, numbers = run("review/b.parquet", [one if digest == other else digest for digest in digests])
    assert numbers["moved"] == 1 and second[trained] == second[tested] == "test"
    assert second.drop(trained).equals(first.drop(trained))
    assert recorded_placements(lake) == second.to_dict()


def test_what_is_published_anew_in_other_files_stays_in_its_split_and_the_same_key(
    settings: Settings, lake: Lake
) -> None:
    """Each image of the second week is a copy of one of the first week, of which no file is left."""
    labels = load_labels(settings.labels_file)
    old, new = ([f"{week}{i:02d}" for i in range(40)] for week in "ab")
    history.append(lake, history.COPIES, pd.DataFrame({"first": old, "second": new, "verdict": "copy"}))

    def key_of(digests: list[str]) -> str:
        rows = pd.DataFrame({"sha256": digests, "group": old, "source": "s", "body_part": "hand"})
        key = tables.put(lake, f"review/{digests[0]}.parquet", rows.assign(raw_label="hand"), Reviewed)
        return split(settings, lake, labels, key, 0)[0]

    def splits(key: str) -> list[str]:
        return catalogs.read(lake, key)["split"].tolist()

    first, second = key_of(old), key_of(new)
    assert set(splits(first)) == {"train", "val", "test"} and splits(second) == splits(first)
    assert (key_of(old), key_of(new)) == (first, second), "nothing is placed twice"


def test_clusters_change_the_snapshots_id_only_where_they_are_more_than_groups(settings: Settings) -> None:
    labels = load_labels(settings.labels_file)
    rows = pd.DataFrame({"sha256": ["a", "b"], "group": ["a", "b"], "split": "train"})
    ids = [
        catalogs.snapshot_id(catalogs.complete(rows.assign(cluster=names)), labels)
        for names in (["a", "b"], ["a", "a"])
    ]
    before_clusters = catalogs.of_earlier_version(rows.assign(published=pd.Series([[]] * 2)))
    assert catalogs.snapshot_id(before_clusters, labels) == ids[0] != ids[1]
