"""Groups and clusters of facts that are written by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import history
from osteon.curation.groups import MOST_DOUBTFUL, Groups, find_groups, mosaic_reason, same_paths, within
from osteon.curation.split import placements
from tests.curation.facts import WHOLE, copies, decided, groups, names

LEFT, RIGHT = (0.0, 0.0, 0.3, 1.0), (0.6, 0.0, 0.95, 1.0)


def test_copies_make_one_film_through_an_image_that_is_gone() -> None:
    found = groups("d", found=copies(("a", "b", "copy"), ("b", "c", "copy"), ("a", "d", "different")))
    assert found.group.to_dict() == {"a": "a", "b": "a", "c": "a", "d": "d"}
    assert found.cluster.equals(found.group.rename("cluster"))


def test_one_path_of_one_source_is_one_film_unless_pixels_or_a_curator_say_otherwise() -> None:
    named = names(("a", "1.jpg"), ("b", "1.jpg"), ("c", "2.jpg"), ("d", "3.jpg"), ("e", "3.jpg"))
    assert same_paths(named).to_numpy().tolist() == [["a", "b"], ["d", "e"]]
    assert groups(named=named).group.to_dict() == {"a": "a", "b": "a", "c": "c", "d": "d", "e": "d"}
    assert groups(named=named, found=copies(("a", "b", "different"))).group["b"] == "b"
    assert groups(named=named, said=[("a", "b", False)]).group["b"] == "b"


def test_pairs_of_one_path_grow_as_its_versions_do_and_another_film_among_them_parts_no_others() -> None:
    versions = [f"{number:02d}" for number in range(50)]
    assert len(same_paths(names(*((digest, "1.jpg") for digest in versions)))) == 49 + 48
    named = names(*((digest, "1.jpg") for digest in "abcd"))
    apart = copies(("a", "c", "different"), ("b", "c", "different"), ("c", "d", "different"))
    assert groups(named=named, found=apart).group.to_dict() == {"a": "a", "b": "a", "c": "c", "d": "a"}


def test_a_curator_joins_and_separates_pairs() -> None:
    found = copies(("a", "b", "copy"), ("b", "c", "possible"), ("c", "d", "different"))
    assert groups(found=found).cluster.to_dict() == {"a": "a", "b": "a", "c": "a", "d": "d"}
    apart = groups(found=found, said=[("a", "b", False), ("b", "c", False), ("c", "d", True)])
    assert apart.group.to_dict() == {"a": "a", "b": "b", "c": "c", "d": "c"}
    assert apart.cluster.to_dict() == apart.group.to_dict()


def test_films_of_one_patient_and_possible_copies_are_one_cluster_and_no_group() -> None:
    named = names(("a", "1.jpg", "p"), ("b", "2.jpg", "p"), ("c", "3.jpg", "q"), ("d", "4.jpg"), ("d", "5.jpg", "q"))
    found = groups(named=named, found=copies(("b", "e", "possible", 0.5)))
    assert found.group.nunique() == 5
    assert found.cluster.to_dict() == {"a": "a", "b": "a", "e": "a", "c": "c", "d": "c"}


def test_doubt_never_chains_more_than_twenty_films() -> None:
    digests = [f"{number:02d}" for number in range(25)]
    chain = [(one, other, "possible", 0.9 - int(one) / 100) for one, other in pairwise(digests)]
    found = groups(found=copies(*chain))
    assert found.cluster.value_counts().tolist() == [MOST_DOUBTFUL, 5]
    assert found.skipped[["first", "second"]].to_numpy().tolist() == [["19", "20"]], "the best links come first"
    certain = groups(found=copies(*((one, other, "copy") for one, other, *_ in chain)))
    assert certain.cluster.nunique() == 1, "what is sure is not bounded"


def test_a_mosaic_joins_none_of_its_films_and_does_not_hide_behind_its_own_copy() -> None:
    sides = copies(
        ("a", "m", "copy", 1.0, WHOLE, LEFT), ("b", "m", "copy", 1.0, WHOLE, RIGHT),
        ("a", "n", "copy", 1.0, WHOLE, LEFT), ("b", "n", "copy", 1.0, WHOLE, RIGHT),
        ("m", "n", "copy", 1.0, WHOLE, WHOLE),
    )  # fmt: skip
    named = names(("m", "m.jpg", "p"), ("a", "a.jpg", "p"), ("b", "b.jpg", "p2"))
    patient = [(name, f"{name}.jpg", "q") for name in "mxy"]
    found = groups(named=named, found=sides)
    assert found.mosaics == {"m": ("a", "b"), "n": ("a", "b")}
    assert found.group.to_dict() == found.cluster.to_dict() == {name: name for name in "abmn"}
    assert mosaic_reason(found.mosaics["m"], named) == "mosaic of several films: s:a.jpg, s:b.jpg"
    assert groups(named=names(*patient), found=sides).cluster[["x", "y"]].tolist() == ["x", "x"], "one patient"
    joined = groups(found=sides, said=[("a", "m", True)]).group
    assert joined.to_dict() == {"a": "a", "m": "a", "b": "b", "n": "n"}, "a curator joins it with one film only"
    assert groups(found=sides, said=[("a", "m", False)]).group["m"] == "b", "of one film it is no mosaic"


@pytest.mark.parametrize(
    ("regions", "is_mosaic"),
    [
        ([LEFT, RIGHT], True),
        ([LEFT, (0.1, 0.0, 0.4, 1.0)], False),
        ([(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)], False),
        ([(0.0, 0.0, 0.6, 0.6), (0.6, 0.0, 1.0, 1.0), (0.0, 0.6, 0.6, 1.0)], True),
        ([WHOLE, None], False),
    ],
)
def test_two_small_regions_apart_or_three_of_any_size_make_a_mosaic(regions: list[object], is_mosaic: bool) -> None:
    found = copies(*((f"{n}", "m", "copy", 1.0, WHOLE, region) for n, region in enumerate(regions)))
    assert bool(groups(found=found).mosaics) == is_mosaic
    assert (groups(found=found).group.nunique() == 1) != is_mosaic


def test_two_parts_that_are_copies_of_each_other_make_no_mosaic() -> None:
    found = copies(("a", "m", "copy", 1.0, WHOLE, LEFT), ("b", "m", "copy", 1.0, WHOLE, RIGHT), ("a", "b", "copy"))
    assert groups(found=found).mosaics == {} and groups(found=found).group.nunique() == 1


def test_names_are_of_what_a_catalog_holds() -> None:
    members = groups(found=copies(("a", "b", "copy"), ("b", "c", "copy"))).group
    assert within(pd.Series(["c", "b"], dtype="string"), members).tolist() == ["b", "b"]


DIGESTS = st.sampled_from("abcdefgh")
PAIRS = st.tuples(DIGESTS, DIGESTS).filter(lambda pair: pair[0] < pair[1])
REGIONS = st.sampled_from([None, WHOLE, LEFT, RIGHT, (0.3, 0.0, 0.6, 1.0)])
COPIES = st.tuples(
    PAIRS, st.sampled_from(["copy", "possible", "different"]), st.sampled_from([0.5, 0.7]), REGIONS, REGIONS
)
NAMES = st.tuples(DIGESTS, st.sampled_from(["1", "2", "3", "4"]), st.sampled_from([None, "p", "q"]))
SPLITS = st.tuples(DIGESTS, st.sampled_from(["train", "val", "test"]))


def facts(kind: history.Kind, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    if kind is history.COPIES:
        table = [(*pair, *rest) for pair, *rest in rows]
        columns = ["first", "second", "verdict", "score", "region_first", "region_second"]
    else:
        table, columns = rows, {"names": ["sha256", "path", "patient"], "placements": ["sha256", "split"]}[kind.name]
    frame = pd.DataFrame(table, columns=columns)
    return history.conform(kind, frame.assign(source="s") if kind is history.NAMES else frame)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(COPIES, max_size=14), st.lists(NAMES, max_size=8), st.lists(SPLITS, max_size=6),
    st.lists(st.tuples(PAIRS, st.booleans()), max_size=2, unique_by=lambda one: one[0]), st.data(),
)  # fmt: skip
def test_any_order_and_repetition_of_additions_gives_the_same_groups_clusters_and_placements(
    pairs: list[Any], named: list[Any], placed: list[Any], said: list[Any], data: st.DataObject
) -> None:
    """Each addition is merged on its own first, as `append` does; then all are merged, in any order."""

    def told(whole: bool) -> tuple[Groups, dict[str, str], list[pd.DataFrame]]:
        merged = []
        for kind, rows in ((history.COPIES, pairs), (history.NAMES, named), (history.PLACEMENTS, placed)):
            additions = [rows]
            if not whole:
                again = data.draw(st.permutations([*rows, *rows[: len(rows) // 2]]))
                at = data.draw(st.integers(0, len(again)))
                additions = [again[at:], again[:at], again[at // 2 : at]]
            tables = [history.merge(kind, [facts(kind, addition)]) for addition in additions]
            merged.append(history.merge(kind, tables))
        choice = decided(*((*pair, copies) for pair, copies in (said if whole else said[::-1])))
        found = find_groups("z", merged[1], merged[0], choice)
        recorded = dict(merged[2].itertuples(index=False, name=None))
        return found, placements(recorded, found.cluster), merged

    (one, one_placed, one_merged), (other, other_placed, other_merged) = told(True), told(False)
    pd.testing.assert_frame_equal(one.members, other.members)
    assert one.mosaics == other.mosaics and one_placed == other_placed
    for left, right in zip([*one_merged, one.skipped], [*other_merged, other.skipped], strict=True):
        pd.testing.assert_frame_equal(left, right)
    films = one.members.groupby("group")["cluster"].nunique()
    assert (films == 1).all(), "a film stands in one cluster"
    by_cluster = pd.Series(one_placed).groupby(one.cluster.reindex(list(one_placed))).nunique()
    assert (by_cluster <= 1).all(), "a cluster stands in one split"
