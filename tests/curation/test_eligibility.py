"""Which images take part, and why others do not: on catalogs made by hand."""

from __future__ import annotations

from typing import Any

import grimp
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.curation.eligibility import with_eligibility
from tests import tables

SAID = st.tuples(st.sampled_from("ab"), st.sampled_from(["hand", "leg", None]), st.sampled_from([True, False, None]))
"""An image, and what a publication says of it."""


def judged(rows: list[dict[str, Any]], files: Any = None, unknown_fracture: str = "marginal") -> pd.DataFrame:
    catalog = tables.catalog(rows)
    published = tables.publications(catalog if files is None else files)
    return with_eligibility(catalog, published, unknown_fracture).set_index("sha256")


def file(digest: str, raw: str | None, number: int = 0) -> dict[str, Any]:
    return {"sha256": digest, "path": f"{digest}{number}.jpg", "raw_label": raw}


@pytest.mark.parametrize(
    ("row", "raw", "reason"),
    [
        ({"body_part": "hand"}, "hand", None),
        ({"body_part": "hand", "reason": "mosaic of several films"}, "hand", "mosaic of several films"),
        ({}, "hand+leg", "no single body part: hand+leg"),
        ({}, None, "no label"),
        ({}, "hand+tail+beak", "unknown label: beak, tail"),
    ],
)
def test_an_image_without_one_known_part_is_excluded_with_a_reason(
    row: dict[str, Any], raw: str | None, reason: str | None
) -> None:
    found = judged([{"sha256": "a", **row}], [file("a", raw)])
    assert found["exclusion_reason"].fillna("none").tolist() == [reason or "none"]


def test_images_of_unknown_fracture_state_take_part_where_the_setting_says_so() -> None:
    rows = [{"sha256": "a", "body_part": "hand", "raw_label": "hand"}]
    assert judged(rows)["exclusion_reason"].isna().all()
    assert judged(rows, unknown_fracture="exclude")["exclusion_reason"].tolist() == ["fracture state unknown"]


def test_publications_of_the_same_bytes_contradict_each_other_and_at_most_three_are_named() -> None:
    files = [file("a", "hand"), *(file("a", "leg", number) for number in range(1, 6)), file("b", "hand")]
    found = judged([{"sha256": "a"}, {"sha256": "b", "body_part": "hand"}], files)
    told = (
        "hand/unknown, but s:a1.jpg is leg/unknown, s:a2.jpg is leg/unknown, s:a3.jpg is leg/unknown, 2 more disagree"
    )
    assert found.at["a", "conflict"] == told
    assert found.at["a", "exclusion_reason"] == f"conflicting labels: {told}"
    assert found.loc["b", ["conflict", "exclusion_reason"]].isna().all()


def test_who_says_nothing_stands_aside_and_what_is_left_out_does_not_count() -> None:
    rows = [{"sha256": name, "group": "a", "body_part": "hand"} for name in "abc"]
    files = [file("a", "hand|fractured"), file("b", "hand|normal"), file("c", "unsorted")]
    found = judged(rows, files)
    assert found.at["c", "conflict"] == "its copies contradict each other"
    rows[1]["reason"] = "dropped by ann: seen"
    assert judged(rows, files)["conflict"].isna().all()


@settings(max_examples=40, deadline=None)
@given(st.lists(SAID, min_size=1, max_size=8))
def test_a_group_is_disputed_where_any_two_statements_cannot_both_be_true(
    said: list[tuple[str, str | None, bool | None]],
) -> None:
    states = {True: "fractured", False: "normal", None: ""}
    files = [file(name, f"{part or 'unsorted'}|{states[state]}", n) for n, (name, part, state) in enumerate(said)]
    rows = [{"sha256": name, "group": "a"} for name in sorted({name for name, _, _ in said})]
    apart = any(None not in pair and pair[0] != pair[1] for one in said for two in said
                for pair in zip(one[1:], two[1:], strict=True))  # fmt: skip
    assert judged(rows, files)["conflict"].notna().tolist() == [apart] * len(rows)


def test_only_stages_that_change_labels_work_it_out() -> None:
    graph = grimp.build_graph("osteon")
    found = graph.find_modules_that_directly_import("osteon.curation.eligibility")
    assert found == {"osteon.curation.review", "osteon.curation.relabel"}
