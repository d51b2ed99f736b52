"""Labels of a source that are wrong as a whole: which are found, by which reference, and what is said of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from osteon.images.measure import THUMB
from osteon.quality.agreement import agreement, out_of_fold, state_comparisons
from osteon.quality.label_rows import features, label_order
from osteon.quality.label_sets import Answers, Kind, Reference, far_rates, moved_labels
from osteon.quality.label_table import label_table

PARTS = ("hand", "knee", "hip")
LABELS = ["body_part", "fractured"]
NONE = pd.DataFrame(columns=["source", "path", "sha256", *LABELS, "cluster"], dtype="object")
Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def film(part: str, fractured: bool, seed: int) -> bytes:
    """A thumbnail in which a part is easy to see, and a fracture is hard to."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(60, 12, (THUMB, THUMB))
    place = 16 * PARTS.index(part) + rng.integers(0, 5)
    pixels[place : place + 12] += 90
    pixels[:, 30:34] += 90 * (rng.normal(1.3 if fractured else 0, 1) > 0.6)
    return pixels.clip(0, 255).astype(np.uint8).tobytes()


def photograph(seed: int) -> bytes:
    """A thumbnail of edges in all directions."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (8, 8))
    return np.kron(coarse, np.ones((8, 8))).astype(np.uint8).tobytes()


class Films:
    """Sources whose images are drawn as their labels say, before these are spoilt."""

    def __init__(self) -> None:
        self.thumbs: dict[str, bytes] = {}

    def source(self, name: str, count: int, seed: int = 0) -> pd.DataFrame:
        rng, rows = np.random.default_rng(seed), []
        for number in range(count):
            part, fractured, digest = str(rng.choice(PARTS)), bool(rng.random() < 0.4), f"{name}{number}"
            self.thumbs[digest] = film(part, fractured, 1000 * seed + number)
            rows.append((name, f"{number}.png", digest, part, fractured, digest))
        return label_order(pd.DataFrame(rows, columns=NONE.columns).astype("object"))

    def judged(
        self,
        now: list[pd.DataFrame],
        earlier: list[pd.DataFrame] | None = None,
        same: set[str] | None = None,
        champion: Reference | None = None,
    ) -> tuple[Any, dict[str, list[str]]]:
        rows = pd.concat(now, ignore_index=True)
        before = pd.concat(earlier or [NONE], ignore_index=True)
        seen = features(pd.Series({name: self.thumbs[name] for name in sorted({*rows["sha256"], *before["sha256"]})}))
        table, unchecked = label_table(rows, before, same or set(), seen, champion)
        return table.set_index("class"), unchecked


def inverted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(fractured=[not state for state in rows["fractured"]]).astype("object")


def shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    order = np.random.default_rng(5).permutation(len(rows))
    spoilt = rows.copy()
    spoilt[LABELS] = rows[LABELS].to_numpy()[order]
    return spoilt


def shifted(rows: pd.DataFrame) -> pd.DataFrame:
    spoilt = rows.copy()
    spoilt[LABELS] = np.roll(rows[LABELS].to_numpy(), 1, axis=0)
    return spoilt


def swapped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(body_part=rows["body_part"].replace({"hand": "knee", "knee": "hand"}))


BAD: dict[str, tuple[Spoil, str, str]] = {
    "inverted": (inverted, "fracture state", "inverted: "),
    "shuffled": (shuffled, "body part", "shuffled: "),
    "shifted": (shifted, "body part", "shifted: the labels stand one row too low "),
    "swapped": (swapped, "body part", "swapped: "),
}
FINDINGS = ["contradicted", "at_chance", "changed", "rates"]


@pytest.fixture(scope="module")
def films() -> Films:
    return Films()


@pytest.fixture(scope="module")
def source(films: Films) -> pd.DataFrame:
    return films.source("s", 400, seed=1)


@pytest.fixture(scope="module")
def other(films: Films) -> pd.DataFrame:
    return films.source("other", 500, seed=2)


def test_good_labels_raise_nothing_with_any_reference_or_with_none(
    films: Films, source: pd.DataFrame, other: pd.DataFrame
) -> None:
    for now, earlier, same in (
        ([source], [], set()),
        ([source, other], [other], {"other"}),
        ([source, other], [], set()),
        ([source], [source.iloc[:300]], set()),
    ):
        table, _ = films.judged(now, earlier, same)
        assert table[FINDINGS].isna().all(axis=None), table[FINDINGS]
        assert not (table["unlike"] > 0.2).any() and set(table["source"]) == {"s", "other"} - same - (
            {"other"} if len(now) == 1 else set()
        )


@pytest.mark.parametrize("seed", range(8))
def test_small_good_sets_raise_nothing(films: Films, source: pd.DataFrame, other: pd.DataFrame, seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = source.iloc[sorted(rng.choice(len(source), 60 + 15 * seed, replace=False))]
    for now, earlier, same in (([some], [], set()), ([some, other], [other], {"other"})):
        table, _ = films.judged(now, earlier, same)
        assert table[["contradicted", "at_chance"]].isna().all(axis=None), table
        assert not (table["unlike"] > 0.2).any()


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("reference", ["version", "source", "champion"])
def test_bad_labels_are_named_wherever_something_else_taught_them(
    films: Films, source: pd.DataFrame, other: pd.DataFrame, kind: str, reference: str
) -> None:
    spoil, label, words = BAD[kind]
    bad = spoil(source)
    if reference == "version":
        table, _ = films.judged([bad], [source])
    elif reference == "source":
        table, _ = films.judged([bad, other], [other], {"other"})
    else:
        table, _ = films.judged([bad], champion=champion(source))
    told = table.loc[f"s: {label}", "contradicted"]
    assert isinstance(told, str) and told.startswith(words), table
    assert {"version": "accepted before", "source": "other sources (other)", "champion": "the champion"}[
        reference
    ] in told or "a classifier of the same images" in told


def champion(source: pd.DataFrame) -> Reference:
    """A model that knows the films, and errs about some."""
    rng = np.random.default_rng(9)
    right = pd.DataFrame({part: 3.0 * (source["body_part"] == part) for part in PARTS})
    states = 2.0 * source["fractured"].to_numpy(float) - 1 + rng.normal(0, 1, len(source))
    parts = right + rng.normal(0, 1, right.shape)
    promised: dict[Kind, float] = {"body part": 0.9, "fracture state": 0.7}
    return Reference("the champion, version 3,", promised, Answers(parts, states), True)


def test_alone_a_shuffled_set_stops_and_an_inverted_one_is_said_to_be_unknown(
    films: Films, source: pd.DataFrame
) -> None:
    table, _ = films.judged([shuffled(source)])
    assert "nothing can be learnt" in table.loc["s: body part", "at_chance"]
    table, unchecked = films.judged([inverted(source)])
    assert table[FINDINGS].isna().all(axis=None)
    assert any(text.startswith("fracture state: an inversion of all labels cannot be seen") for text in unchecked["s"])
    known, unchecked = films.judged([source], [source])
    assert unchecked == {} and known[FINDINGS].isna().all(axis=None)


def test_a_shift_in_a_sorted_table_is_found_although_it_changes_few_labels(films: Films) -> None:
    rows = films.source("sorted", 900, seed=7).sort_values(LABELS, kind="stable")
    runs = rows.iloc[np.argsort(np.arange(len(rows)) % 300 // 6, kind="stable")]  # runs of six films, as of one patient
    rows = runs.assign(path=[f"{number:04}.png" for number in range(len(rows))]).reset_index(drop=True)
    share = (shifted(rows)["body_part"] != rows["body_part"]).mean()
    assert 0.02 < share < 0.3
    told = films.judged([shifted(rows)])[0].loc["sorted: body part", "contradicted"]
    assert told.startswith("shifted: the labels stand one row too low") and "same images" in told
    assert films.judged([rows])[0]["contradicted"].isna().all()


def test_a_champion_that_promises_nothing_says_nothing(films: Films, source: pd.DataFrame) -> None:
    weak = replace(champion(source), promised={"fracture state": 0.51})
    table, unchecked = films.judged([inverted(source)], champion=weak)
    assert table["contradicted"].isna().all() and "s" in unchecked
    silent = replace(champion(source), answers=Answers(None, np.full(len(source), np.nan)))
    assert films.judged([inverted(source)], champion=silent)[0]["contradicted"].isna().all()


def test_a_third_of_photographs_is_named_alone_and_beside_other_films(
    films: Films, source: pd.DataFrame, other: pd.DataFrame
) -> None:
    spoilt = source.copy()
    for number in range(0, len(source), 3):
        films.thumbs[f"photo{number}"] = photograph(number)
        spoilt.loc[number, ["sha256", "cluster"]] = f"photo{number}"
    for now, earlier, same in (
        ([spoilt], [], set()),
        ([spoilt], [source], set()),
        ([spoilt, other], [other], {"other"}),
    ):
        row = films.judged(now, earlier, same)[0].loc["s: films"]
        assert row["unlike"] > 0.2 and "such as" in row["unlike_films"]
    one_part = spoilt[spoilt["body_part"] == "hand"].reset_index(drop=True)
    assert films.judged([one_part, other], [other], {"other"})[0].loc["s: films", "unlike"] > 0.2
    _, unchecked = films.judged([one_part])
    assert any("foreign pictures cannot be seen" in text for text in unchecked["s"])


def test_films_of_another_detector_whose_labels_can_be_learnt_are_not_foreign(
    films: Films, source: pd.DataFrame
) -> None:
    changed = source.copy()
    for number in range(0, len(source), 3):
        pixels = np.frombuffer(films.thumbs[f"s{number}"], np.uint8).reshape(THUMB, THUMB).astype(int)
        films.thumbs[f"new{number}"] = (pixels * 0.5 + 110).round(-1).clip(0, 255).astype(np.uint8).tobytes()
        changed.loc[number, ["sha256", "cluster"]] = f"new{number}"
    row = films.judged([changed], [source])[0].loc["s: films"]
    assert row["unlike"] <= 0.2, row["unlike_films"]


def test_changed_labels_are_counted_by_image_and_rates_compared_by_film(films: Films, source: pd.DataFrame) -> None:
    now = source.copy()
    now.loc[:19, "fractured"] = [not state for state in now.loc[:19, "fractured"]]
    now.loc[20, "fractured"] = None
    table, _ = films.judged([now], [source])
    row = table.loc["s: fracture state"]
    assert row["changed"] == "21 of 400" and row["changed_share"] == pytest.approx(21 / 400)
    assert pd.isna(table.loc["s: body part", "changed"]) and table.loc["s: body part", "changed_share"] == 0
    assert far_rates(now, source, NONE) == []
    told = far_rates(source.assign(fractured=True), source, NONE)
    assert len(told) == len(PARTS) and told[0].startswith("hand 100% of ") and told[0].endswith("accepted before")
    copies = pd.concat([source.assign(fractured=True, cluster="one film")])
    assert far_rates(copies, source, NONE) == [], "400 copies of one film are one film"


def test_the_order_of_a_table_is_that_of_file_names_with_numbers_as_numbers() -> None:
    names = ["b/10.png", "a/9.png", "a/100.png", "b/x1.png"]
    rows = pd.DataFrame({"source": "s", "path": names, "body_part": list("abcd"), "fractured": None})
    ordered = label_order(rows)
    assert ordered["path"].tolist() == ["a/9.png", "b/10.png", "a/100.png", "b/x1.png"]
    moved = moved_labels(ordered)
    assert moved["one row too low"]["body_part"].tolist() == ["a", "c", "d", "b"]
    assert moved["one row too high in the order of paths"]["body_part"].tolist() == ["c", "b", "d", "a"]


def test_agreement_is_the_area_under_the_curve_and_knows_its_error() -> None:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(200):
        state = rng.random(300) < 0.4
        score = state + rng.normal(0, 1.5, 300)
        found = agreement(state_comparisons(np.full(300, "hand", object), state, score), 300)
        assert found is not None
        values.append((found.value, found.error))
    means = np.array(values)
    assert means[:, 0].mean() == pytest.approx(0.681, abs=0.01)  # of normal scores, Phi(1 / (1.5 sqrt(2)))
    assert means[:, 1].mean() == pytest.approx(means[:, 0].std(), rel=0.2)
    assert agreement([], 3) is None


def test_no_classifier_answers_for_a_cluster_that_it_saw() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 200).astype(object)
    clusters = np.repeat(np.arange(100), 2).astype(object)
    labels[1::2] = labels[::2]
    noise = np.repeat(rng.normal(size=(100, 60)), 2, axis=0)  # copies, of which nothing can be learnt
    answers = out_of_fold(noise, labels, clusters, noise, clusters)
    assert answers is not None
    right = (answers["a"] > answers["b"]).to_numpy() == (labels == "a")
    assert 0.3 < right.mean() < 0.7
    assert out_of_fold(noise[:18], labels[:18], clusters[:18], noise, clusters) is None
