"""Facts in a real lake: appended, merged, never rewritten."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon import history
from osteon.curation.compared import Addition, add, read_tip, tip
from osteon.errors import HistoryError
from osteon.history import COPIES, FINGERPRINTS, NAMES, PLACEMENTS
from osteon.lake import Lake


def placed(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sha256", "split"])


def test_the_same_addition_in_any_order_is_one_object_and_an_empty_one_is_none(lake: Lake) -> None:
    keys = {history.append(lake, PLACEMENTS, placed(*rows)) for rows in ([("a", "test"), ("b", "val")],) * 2}
    keys.add(history.append(lake, PLACEMENTS, placed(("b", "val"), ("a", "test"), ("b", "train"))))
    assert set(lake.keys("history/")) == keys and len(keys) == 1
    assert history.append(lake, PLACEMENTS, placed()) is None and len(list(lake.keys("history/"))) == 1


def test_what_is_read_is_the_union_and_the_strictest_row_wins(lake: Lake) -> None:
    assert history.read(lake, PLACEMENTS).empty and list(history.read(lake, COPIES)) == list(COPIES.columns)
    for split in ("train", "test", "val"):
        history.append(lake, PLACEMENTS, placed(("a", split)))
    history.append(lake, PLACEMENTS, placed(("b", "val")))
    assert history.read(lake, PLACEMENTS).to_numpy().tolist() == [["a", "test"], ["b", "val"]]
    for verdict, score in (("possible", 0.9), ("copy", 0.3), ("copy", 0.5), ("different", 0.9)):
        region = [0.0, 0.0, 0.5, 1.0] if score == 0.5 else None
        row = {"first": "a", "second": "b", "verdict": verdict, "score": score, "region_first": region, "method": "m"}
        history.append(lake, COPIES, pd.DataFrame([row]))
    (found,) = history.read(lake, COPIES).to_dict("records")
    assert (found["verdict"], found["score"], found["region_first"]) == ("copy", 0.5, (0.0, 0.0, 0.5, 1.0))
    assert found["region_second"] is None and pd.isna(found["inliers"])
    for number, data in ((2, b"new"), (1, b"old")):
        history.append(lake, FINGERPRINTS, pd.DataFrame({"sha256": ["a"], "format": [number], "data": [data]}))
    assert history.read(lake, FINGERPRINTS).to_numpy().tolist() == [["a", 2, b"new"]]
    assert history.read(lake, FINGERPRINTS, ["sha256"]).to_numpy().tolist() == [["a", 2]]
    assert history.digests_ever_seen(lake).tolist() == ["a", "b"]


def test_columns_of_a_newer_version_are_ignored_and_those_of_an_older_one_null(lake: Lake) -> None:
    lake.put_table("history/names/older.parquet", pd.DataFrame({"sha256": ["a"], "source": ["s"], "path": ["1.jpg"]}))
    newer = pd.DataFrame([{"sha256": "b", "source": "s", "path": "2.jpg", "patient": "p", "study": "t", "age": 7}])
    lake.put_table("history/names/newer.parquet", newer)
    found = history.read(lake, NAMES)
    assert list(found) == list(NAMES.columns) and found["patient"].isna().tolist() == [True, False]


def test_what_a_kind_cannot_hold_is_refused_by_name(lake: Lake) -> None:
    with pytest.raises(HistoryError, match="placements have no column colour"):
        history.append(lake, PLACEMENTS, placed(("a", "test")).assign(colour=1))
    with pytest.raises(HistoryError, match="has no sha256"):
        history.append(lake, PLACEMENTS, placed((None, "test")))  # type: ignore[arg-type]
    with pytest.raises(HistoryError, match="pair b, a is not in order"):
        history.append(lake, COPIES, pd.DataFrame({"first": ["b"], "second": ["a"], "verdict": ["copy"]}))


def test_only_what_one_chain_covers_counts_as_compared(lake: Lake) -> None:
    """Two runs at once both follow the first; one of them stays the tip, and what the other added is fresh again."""
    first = {"1": Addition("", ("a", "b"))}
    both = {**first, "2": Addition("1", ("c",)), "3": Addition("1", ("d", "e"))}
    assert tip({}).cover == set() and tip(first).cover == {"a", "b"}
    assert tip(both).id == "3" and tip(both).cover == {"a", "b", "d", "e"}
    assert tip({**both, "4": Addition("3", ("c",))}).cover == set("abcde")
    assert tip({**first, "2": Addition("1", ("c",)), "3": Addition("1", ("d",))}).id == "2"
    assert tip({"5": Addition("gone", ("x", "y", "z")), **first}).cover == {"a", "b"}, "a broken chain proves nothing"
    add(lake, 1, read_tip(lake, 1), ["b", "a"])
    add(lake, 1, read_tip(lake, 1), ["c"])
    add(lake, 1, read_tip(lake, 1), [])
    assert read_tip(lake, 1).cover == {"a", "b", "c"} and read_tip(lake, 2).cover == set()
    assert len(list(lake.keys("copies/"))) == 2
