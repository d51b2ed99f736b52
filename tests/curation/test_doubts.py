"""Which pairs are for a curator, and that copies found by pixels alone count as copies everywhere."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.doubts import contradicting_paths, image_names, possible_copies
from osteon.curation.eligibility import with_eligibility
from osteon.curation.grouping import group, recall
from osteon.lake import Lake
from osteon.schemas import Repaired
from osteon.training.promotion import comparable
from tests import tables
from tests.curation.facts import copies, decided, names


def catalog(digests: str, groups: str | None = None) -> pd.DataFrame:
    rows = pd.DataFrame({"sha256": list(digests), "group": list(groups or digests), "source": "s"})
    return tables.catalog(rows)


def pairs(table: pd.DataFrame) -> list[str]:
    return (table["first"] + table["second"]).tolist()


def test_possible_copies_are_those_of_the_catalog_that_nobody_decided_and_that_no_copy_joins() -> None:
    found = copies(
        *((*pair, "possible", score) for pair, score in (("ab", 7.0), ("ac", 9.0), ("bd", 8.0), ("ax", 8.0)))
    )
    images = catalog("abcd", "abcb")
    assert pairs(possible_copies(images, found, decided())) == ["ac", "ab"], "b and d are copies, x is gone"
    assert pairs(possible_copies(images, found, decided(("a", "b", False)))) == ["ac"]
    images.loc[images["sha256"] == "c", "reason"] = "dropped by ann: seen"
    assert pairs(possible_copies(images, found, decided())) == ["ab"]


def test_paths_that_name_two_films_are_told_while_one_of_them_is_in_the_catalog() -> None:
    named = names(("a", "1.jpg"), ("b", "1.jpg"), ("c", "2.jpg"), ("d", "2.jpg"), ("e", "3.jpg"), ("f", "4.jpg"))
    found = copies(("a", "b", "different"), ("c", "d", "different"), ("e", "f", "different"))
    images = catalog("bef")
    assert pairs(contradicting_paths(images, named, found, decided())) == ["ab"], "e and f have paths of their own"
    assert pairs(contradicting_paths(images, named, found, decided(("a", "b", True)))) == []


def test_an_image_is_named_by_the_catalog_then_by_the_history_then_by_its_digest() -> None:
    named = names(("a", "old.jpg"), ("g", "gone.jpg"))
    told = image_names(pd.Series(["a", "g", "0123456789abcdef"]), catalog("a"), named)
    assert told.tolist() == ["s:a.jpg", "s:gone.jpg", "0123456789ab"]


def test_a_copy_that_only_pixels_show_disputes_labels_and_does_not_judge_a_champion(lake: Lake) -> None:
    """Other sources, other names: nothing but the history says that `a` and `b` are one film."""
    digests = [name * 64 for name in "abc"]
    rows = pd.DataFrame({"sha256": digests, "source": ["s", "t", "t"], "path": ["1.jpg", "x.png", "y.png"]})
    rows["body_part"], rows["fractured"] = "hand", [True, False, False]
    states = ["fractured", "normal", "normal"]
    rows["raw_label"] = [f"hand|{state}" for state in states]
    fact = pd.DataFrame({"first": digests[:1], "second": digests[1:2], "verdict": "copy", "score": 30.0})
    history.append(lake, history.COPIES, fact)
    key, _ = group(lake, tables.put(lake, "repair/c.parquet", rows, Repaired))
    found = catalogs.read(lake, key)
    told = with_eligibility(found, catalogs.read_publications(lake, found), "marginal")["conflict"]
    assert told.astype("object").where(told.notna(), None).tolist() == [
        "hand/fractured, but t:x.png is hand/non-fractured",
        "hand/non-fractured, but s:1.jpg is hand/fractured",
        None,
    ]
    learnt = found[found["sha256"] == digests[0]].assign(split="train")
    now = found[found["sha256"] != digests[0]].assign(split="test")
    assert comparable(now, learnt, recall(lake).cluster)["sha256"].tolist() == digests[2:]
