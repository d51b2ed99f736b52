from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from osteon.reports.inventory import head_count, passed_over, published_files, sankey
from tests import tables


@pytest.fixture
def files() -> pd.DataFrame:
    return published("train")


def published(split: str | None) -> pd.DataFrame:
    """Two sources: an image published twice, a quarantined one, a refused file, one left out, and companions."""
    manifest = pd.DataFrame(
        [
            ("one", "a.jpg", True, "A", "hand|fractured", "train"),
            ("one", "b.jpg", True, "B", "hand|normal", "train"),
            ("one", "c.jpg", True, None, "hand|normal", None),
            ("one", "read.me", False, None, None, None),
            ("two", "a2.jpg", True, "A", "hand|fractured", "test"),
            ("two", "d.jpg", True, "D", None, None),
            ("two", "e.jpg", True, "E", "hand|normal", None),
        ],
        columns=["source", "path", "claims_image", "sha256", "raw_label", "raw_split"],
    )
    catalog = pd.DataFrame(
        [
            ("A", "one", "a.jpg", "hand", True, "A", split, None, False),
            ("B", "one", "b.jpg", "hand", False, None, None, "blank", True),
            ("D", "two", "d.jpg", None, None, "D", None, "no label", False),
            ("E", "two", "e.jpg", "hand", False, "A", split, None, False),
        ],
        columns=["sha256", "source", "path", "body_part", "fractured", "group", "split", "reason", "quarantined"],
    )
    return published_files(tables.manifest(manifest), tables.catalog(catalog))


def test_every_published_file_has_one_fate(files: pd.DataFrame) -> None:
    fates = ["train", "quarantined", "quarantined", "exact copy", "left out", "train"]
    assert files["fate"].tolist() == fates


def test_heads_are_counted_before_and_after_copies_are_taken_out(files: pd.DataFrame) -> None:
    table = head_count(files)
    assert table[["files", "images"]].sum().tolist() == [6, 3]
    (row,) = table[(table["source"] == "two") & (table["raw_split"] == "test")].to_dict("records")
    assert (row["body_part"], row["fracture"], row["files"], row["images"], row["originals"]) == (
        "hand", "fractured", 1, 0, 0,
    )  # fmt: skip
    assert table.loc[table["raw_label"] == "not said", "body_part"].tolist() == ["not said"]


def test_before_the_split_nothing_is_said_to_be_left_out() -> None:
    assert set(published(None)["fate"]) == {"not split", "quarantined", "exact copy"}


def test_the_diagram_holds_every_file_on_both_sides_and_loads_nothing(files: pd.DataFrame) -> None:
    drawn = sankey(files)
    found = re.search(r'"value":(\[[\d,]+\]|\{[^}]+\})', drawn)
    assert found is not None
    assert sum(json.loads(found[1])) == 2 * len(files)
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=", drawn)


def test_files_that_are_no_images_are_counted_by_what_they_are() -> None:
    rows = [
        ("one", "a.jpg", True, None, "JPEG"),
        ("one", "a.csv", False, "not an image", "text"),
        ("one", "b.csv", False, "not an image", "text"),
        ("one", ".x.jpg", False, "hidden", "JPEG"),
        ("two", "old", False, "not an image", None),
    ]
    manifest = pd.DataFrame(rows, columns=["source", "path", "claims_image", "reason", "content"]).assign(sha256=None)
    assert passed_over(tables.manifest(manifest)).to_dict("split")["data"] == [
        ["one", "hidden", "JPEG", 1],
        ["one", "not an image", "text", 2],
        ["two", "not an image", "not said", 1],
    ]
