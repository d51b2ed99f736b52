from __future__ import annotations

import logging

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon.curation.groups import COMPARED
from osteon.curation.split import place, place_images, split
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.settings import Settings, load_settings

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def groups(**strata: int) -> pd.DataFrame:
    rows = [(f"{name}-{i}", name, 1) for name, count in strata.items() for i in range(count)]
    return pd.DataFrame(rows, columns=["group", "stratum", "size"])


def counts(frame: pd.DataFrame, placed: dict[str, str], stratum: str) -> dict[str, int]:
    members = frame[frame["stratum"] == stratum]
    return members.groupby(members["group"].map(placed))["size"].sum().to_dict()


def test_each_stratum_is_split_60_20_20() -> None:
    frame = groups(common=100, rare=10)
    placed = place(frame, {}, SHARES, seed=0)
    assert counts(frame, placed, "common") == {"train": 60, "val": 20, "test": 20}
    assert counts(frame, placed, "rare") == {"train": 6, "val": 2, "test": 2}


def test_a_large_group_is_weighed_by_its_images() -> None:
    frame = pd.concat([groups(a=40), pd.DataFrame([("big", "a", 40)], columns=["group", "stratum", "size"])])
    assert counts(frame, place(frame, {}, SHARES, 0), "a") == {"train": 48, "val": 16, "test": 16}


def test_what_was_placed_stays_and_new_groups_fill_what_lacks() -> None:
    before = place(groups(a=50), {}, SHARES, 0)
    frame = groups(a=100)
    after = place(frame, before, SHARES, 0)
    assert all(after[name] == split for name, split in before.items())
    assert counts(frame, after, "a") == {"train": 60, "val": 20, "test": 20}


def test_what_only_a_base_model_labelled_is_placed_in_train() -> None:
    frame = pd.DataFrame({"sha256": [f"{i:02d}" for i in range(40)], "group": [f"g{i // 2}" for i in range(40)]})
    frame = frame.assign(source="s", body_part="hand", fractured=pd.array([False] * 40, "boolean"))
    people = frame.assign(label_origin="source")
    splits = place_images(people, {}, load_settings(), 0)
    assert set(splits) == {"train", "val", "test"}
    by_model = people.assign(label_origin=["base-model"] * 20 + ["source"] * 20)
    by_model.loc[0, "label_origin"] = "source"  # its copy goes where it goes
    placed = place_images(by_model, {}, load_settings(), 0)
    assert set(placed[2:20]) == {"train"} and placed[0] == placed[1] and set(placed[20:]) == {"train", "val", "test"}
    assert place_images(by_model, {"04": "test"}, load_settings(), 0)[4] == "test", "what was placed stays"
    many = pd.DataFrame({"sha256": [f"m{i}" for i in range(200)], "group": [f"m{i}" for i in range(200)]})
    many = many.assign(source="s", body_part="hand", fractured=False, label_origin="base-model")
    with_many = place_images(pd.concat([people, many], ignore_index=True), {}, load_settings(), 0)
    assert with_many[:40].tolist() == splits.tolist() and set(with_many[40:]) == {"train"}


def test_the_seed_decides_and_the_order_of_rows_does_not() -> None:
    frame = groups(a=50, b=20)
    assert place(frame, {}, SHARES, 1) == place(frame.sample(frac=1, random_state=3), {}, SHARES, 1)
    assert place(frame, {}, SHARES, 1) != place(frame, {}, SHARES, 2)


def test_another_seed_moves_nothing_that_was_placed_and_says_so(
    settings: Settings, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "osteon")
    rows = [{"sha256": f"{i:02d}", "group": f"g{i}", "source": "s", "body_part": "hand"} for i in range(20)]
    labels = load_labels(settings.labels_file)

    def placed(key: str, count: int, seed: int) -> pd.Series:
        catalogs.write(lake, key, pd.DataFrame(rows[:count]).assign(published=[[]] * count))
        return catalogs.read(lake, split(settings, lake, labels, key, seed)[0]).set_index("sha256")["split"]

    first, grown = placed("group/first.parquet", 10, 0), placed("group/grown.parquet", 20, 1)
    pd.testing.assert_series_equal(grown[first.index], first)
    assert [record.getMessage() for record in caplog.records] == [
        "0 of 10 images were placed before and stay there, whatever the seed",
        "10 of 20 images were placed before and stay there, whatever the seed",
    ]


def test_what_is_published_anew_in_other_files_stays_in_its_split_and_the_same_key(
    settings: Settings, lake: Lake
) -> None:
    """Each image of the second week is a copy of one of the first week, of which no file is left."""
    labels = load_labels(settings.labels_file)
    old, new = ([f"{week}{i:02d}" for i in range(40)] for week in "ab")
    pairs = [(digest, None) for digest in old] + list(zip(new, old, strict=True))

    def key_of(digests: list[str]) -> str:
        lake.put_table(COMPARED, pd.DataFrame(pairs, columns=["sha256", "same"], dtype="string"))
        rows = pd.DataFrame({"sha256": digests, "group": old, "source": "s", "body_part": "hand"})
        key = catalogs.write(lake, f"group/{digests[0]}.parquet", rows.assign(published=[[]] * len(rows)))
        return split(settings, lake, labels, key, 0)[0]

    def splits(key: str) -> list[str]:
        return catalogs.read(lake, key)["split"].tolist()

    first, second = key_of(old), key_of(new)
    assert set(splits(first)) == {"train", "val", "test"} and splits(second) == splits(first)
    assert (key_of(old), key_of(new)) == (first, second), "nothing is placed twice"
