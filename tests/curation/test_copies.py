"""The comparison of images: which are found to show one film, and at what cost."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import alterations
import numpy as np
import pandas as pd
import pytest

from osteon import history
from osteon.curation.copies import compare, find_copies, ready
from osteon.curation.groups import find_groups
from osteon.images import registration
from osteon.images.fingerprint import FORMAT, fingerprint, read_fingerprint
from osteon.images.measure import Request, measure
from osteon.images.registration import AGAINST, CERTAIN
from osteon.images.weights import Model, Trees, Weights
from osteon.lake import Lake
from osteon.sources.phantom import PARTS
from tests.pictures import encode, film, radiograph

NO_PAIRS = pd.DataFrame(columns=["first", "second"])
NOTHING_PROVED = history.conform(history.COPIES, pd.DataFrame())
FILMS = 6
SMALL = (72, 80)


def named(count: int, mark: str = "") -> list[str]:
    return [f"{mark}{number:03d}" for number in range(count)]


def prints_of(films: list[np.ndarray], mark: str = "") -> pd.Series:
    """Fingerprints by name: `mark` and number."""
    return pd.Series([fingerprint(one) for one in films], index=named(len(films), mark), dtype=object)


@cache
def originals() -> pd.Series:
    return prints_of([film(number) for number in range(FILMS)])


def found(prints: pd.Series, paths: pd.DataFrame = NO_PAIRS) -> pd.DataFrame:
    """All films are new, and compared with each other."""
    return compare(prints, [], list(prints.index), paths, NOTHING_PROVED)


def groups(prints: pd.Series) -> pd.Series:
    """Group by name, as pixels alone tell."""
    no_names, undecided = history.conform(history.NAMES, pd.DataFrame()), NO_PAIRS.assign(copies=[])
    rows = history.conform(history.COPIES, found(prints))
    return find_groups(prints.index, no_names, rows, undecided).group


def copies(rows: pd.DataFrame) -> set[tuple[str, str]]:
    """Pairs that are copies."""
    return set(rows.loc[rows["verdict"] == history.COPY, ["first", "second"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("kind", alterations.KINDS)
def test_what_publishers_tools_do_to_a_film_makes_a_copy_of_it_and_of_no_other(kind: str) -> None:
    rng, altered = np.random.default_rng(0), {}
    for strength, alter in enumerate(alterations.KINDS[kind]):
        for number in range(FILMS):
            altered[f"copy-{strength}-{number:03d}"] = fingerprint(alter(film(number), rng))
    group = groups(pd.concat([originals(), pd.Series(altered, dtype=object)]))
    assert {name: group[name] for name in altered} == {name: group[name[-3:]] for name in altered}
    assert group.nunique() == FILMS


def test_several_alterations_at_once_make_a_copy() -> None:
    """Rotated, cut, on a square of grey, brighter, saved at a low quality; then mirrored as a negative."""
    steps = (
        alterations.rotated(7, "black"), alterations.cropped(0.85), alterations.letterboxed(114),
        alterations.brighter(1.2), alterations.saved(40), alterations.mirrored, alterations.negative,
    )  # fmt: skip
    rng, altered = np.random.default_rng(0), []
    for number in range(FILMS):
        one = film(number)
        for step in steps:
            one = step(one, rng)
        altered.append(one)
    assert groups(pd.concat([originals(), prints_of(altered, "copy-")])).nunique() == FILMS


@pytest.mark.parametrize("share", [0.95, 0.75, 0.5])
def test_a_truncated_file_is_a_copy_of_the_whole(share: float) -> None:
    prints, wanted = {}, Request("", (), fingerprint=True)
    for number in range(FILMS):
        data = encode(film(number))
        prints[f"whole-{number}"] = measure(wanted, data, 10**8).fingerprint
        prints[f"cut-{number}"] = measure(wanted, data[: int(share * len(data))], 10**8).fingerprint
    group = groups(pd.Series(prints, dtype=object))
    assert [group[f"cut-{number}"] for number in range(FILMS)] == [group[f"whole-{number}"] for number in range(FILMS)]
    assert group.nunique() == FILMS


def test_a_film_that_was_cut_out_of_a_pair_of_exposures_is_a_copy_of_the_pair_where_it_lies() -> None:
    pair = alterations.beside(film(1))(film(0), np.random.default_rng(0))
    rows = found(pd.concat([originals()[["000", "001"]], prints_of([pair], "pair-")]))
    assert copies(rows) == {("000", "pair-000"), ("001", "pair-000")}
    regions = rows.set_index("first")["region_second"]
    left, right = sorted(regions[["000", "001"]])
    assert left[0] < 0.1 < left[2] < 0.6 and left[2] < right[2] and right[2] > 0.9


def test_a_mosaic_of_four_films_is_one_and_its_films_stay_apart() -> None:
    whole = alterations.mosaic([film(number, longer=640) for number in range(4)], side=1280)
    prints = pd.concat([prints_of([film(number, longer=640) for number in range(4)]), prints_of([whole], "mosaic-")])
    rows = history.conform(history.COPIES, found(prints))
    no_names = history.conform(history.NAMES, pd.DataFrame())
    held = find_groups(prints.index, no_names, rows, NO_PAIRS.assign(copies=[]))
    assert list(held.mosaics) == ["mosaic-000"] and held.group.nunique() == 5


@pytest.mark.parametrize(("evidence", "score"), [(AGAINST + 1, CERTAIN), (AGAINST - 1, AGAINST - 1)])
def test_whole_pictures_that_are_alike_make_a_copy_unless_evidence_is_clearly_against(
    evidence: float, score: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of films that were turned by the same angle, whose corners are most of what they show."""
    said = Weights(evidence, {"inliers": 0.0}, {"inliers": 1.0}, {"inliers": 0.0}, [])
    same = Trees([[0]], [[0.0]], [[evidence, evidence]])
    monkeypatch.setattr(registration, "model", lambda: Model(said, AGAINST - 2, AGAINST + 2, said, same))
    first, second = (read_fingerprint(one) for one in prints_of([film(0), film(0)]))
    aligned = registration.register(first, second)
    assert aligned is not None and aligned.score == score


def test_different_films_are_not_copies_also_of_one_part() -> None:
    prints = prints_of([film(number, part) for number in range(8) for part in ("hand", "leg", "spine")])
    assert copies(found(prints)) == set()


def test_the_same_words_burnt_into_different_films_make_them_no_copies() -> None:
    annotated = [alterations.annotated(film(number), np.random.default_rng(number)) for number in range(12)]
    assert copies(found(prints_of(annotated))) == set()


@pytest.mark.timeout(120)
def test_of_two_hundred_phantoms_that_are_nearly_equal_none_are_copies() -> None:
    """They have the same shapes in the same places, and little but noise tells them apart."""
    prints = prints_of([radiograph(seed, "hand", size=(160, 200)) for seed in range(200)])
    assert copies(found(prints)) == set()


def test_phantoms_of_one_part_are_no_copies() -> None:
    """`make demo` runs on them."""
    films = [
        radiograph(10 * number + seed, part, seed % 2 == 1, size=(180, 220))
        for number, part in enumerate(sorted(PARTS))
        for seed in range(6)
    ]
    assert copies(found(prints_of(films))) == set()


@pytest.mark.timeout(120)
def test_three_hundred_copies_of_one_film_cost_little_more_than_their_number() -> None:
    rng = np.random.default_rng(0)
    one = film(0)
    altered = []
    for _ in range(300):
        turned = alterations.rotated(float(rng.uniform(0, 5)), "black")(one, rng)
        altered.append(alterations.cropped(rng.uniform(0.9, 0.99))(turned, rng))
    rows = found(prints_of(altered))
    assert len(rows) < 2 * len(altered), "copies of copies are not compared"
    members = pd.concat([rows["first"], rows["second"]])
    assert members.nunique() == len(altered)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((300, 400), np.uint8),
        np.full((300, 400), 255, np.uint8),
        np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8),
        np.tile(np.arange(400, dtype=np.uint8) // 2, (300, 1)),
        np.random.default_rng(0).integers(0, 255, (40, 20_000)).astype(np.uint8),
        np.zeros((1, 1), np.uint8),
    ],
    ids=["black", "white", "32x32", "ramp", "20000x40", "1x1"],
)
@pytest.mark.timeout(60)
def test_what_shows_little_is_a_copy_of_no_film(picture: np.ndarray) -> None:
    prints = pd.concat([originals(), prints_of([picture, picture // 2], "odd-")])
    assert {name for pair in copies(found(prints)) for name in pair} <= {"odd-000", "odd-001"}


def test_what_is_new_is_compared_with_what_is_known_and_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    altered = prints_of([alterations.cropped(0.9)(film(number), rng) for number in range(FILMS)], "copy-")
    prints = pd.concat([originals(), altered])
    digests = list(prints.index)
    known, fresh = digests[: FILMS + 1], digests[FILMS + 1 :]

    def pairs(known: list[str], fresh: list[str]) -> set[tuple[str, str]]:
        return copies(compare(prints, known, fresh, NO_PAIRS, NOTHING_PROVED))

    assert pairs([], known) | pairs(known, fresh) == pairs([], digests)
    assert len(pairs([], digests)) == FILMS and pairs(digests, []) == set()


def test_a_film_that_is_like_no_other_is_in_no_pair() -> None:
    assert found(originals()[["000"]]).empty and found(originals()).empty and found(originals()[[]]).empty


def test_what_is_proved_already_is_not_compared_again() -> None:
    prints = pd.concat([originals()[["000"]], prints_of([film(0), film(0)[5:]], "copy-")])
    rows = found(prints)
    assert len(rows) == 2, "the third pair follows"
    proved = history.conform(history.COPIES, rows)
    assert compare(prints, [], list(prints.index), NO_PAIRS, proved).empty


def test_under_one_path_only_pixels_that_clearly_differ_make_two_films() -> None:
    prints = pd.concat([originals(), prints_of([alterations.clahe(4)(film(0), np.random.default_rng(0))], "copy-")])
    prints["plain"] = fingerprint(np.full((300, 300), 90, np.uint8))
    paths = pd.DataFrame([("000", "copy-000"), ("000", "001"), ("000", "plain")], columns=["first", "second"])
    said = compare(prints, list(prints.index), [], paths, NOTHING_PROVED).set_index("second")["verdict"]
    assert said.to_dict() == {"copy-000": history.COPY, "001": history.DIFFERENT, "plain": history.POSSIBLE}


def test_the_lake_compares_what_has_a_fingerprint(lake: Lake) -> None:
    prints = pd.concat([originals(), prints_of([film(0)[:-9, 9:]], "copy-")])
    rows = pd.DataFrame({"sha256": prints.index, "data": prints.to_numpy(), "format": FORMAT})
    rows.loc[1, "format"] = FORMAT - 1
    history.append(lake, history.FINGERPRINTS, rows)
    able = ready(lake)
    assert able.tolist() == sorted(prints.index.drop("001"))
    assert copies(find_copies(lake, [], able.tolist(), NO_PAIRS)) == {("000", "copy-000")}


def test_pairs_are_in_order_and_what_is_alike_in_no_way_is_in_no_row() -> None:
    rows = found(pd.concat([originals(), prints_of([film(0)[::-1]], "copy-")]))
    assert copies(rows) == {("000", "copy-000")}
    assert not set(combinations(named(FILMS), 2)) & set(rows[["first", "second"]].itertuples(index=False, name=None))
