"""What reports say of copies, and how they show them."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon.quality.copies import view_text
from osteon.quality.findings import Finding, Offender
from osteon.quality.pictures import Picture
from osteon.reports.leakage import Leakage, leakage_line
from osteon.reports.page import rows


def test_the_line_counts_test_images_with_a_copy_and_is_silent_without_one() -> None:
    closest = pd.DataFrame({"score": [9.0, 4.0, -8.0], "verdict": ["copy", "copy", "different"]})
    assert "Test images with a copy there: 2." in leakage_line(Leakage(closest, 0, 0))
    assert "with a copy" not in leakage_line(Leakage(closest[2:], 0, 0))


@pytest.mark.parametrize(
    ("view", "told"), [("as it is", ""), (pd.NA, ""), ("mirrored", "if one of the two is mirrored")]
)
def test_it_is_told_what_makes_two_images_fit(view: str, told: str) -> None:
    assert view_text(view) == told


def test_pictures_of_one_group_are_in_one_row_and_those_without_groups_in_one() -> None:
    pictures = [Picture(name, b"", name) for name in "abcd"]
    grouped = [Offender(name=name, detail="", group=group) for name, group in zip("abcd", "xxyy", strict=True)]
    common = {"severity": "warning", "message": "", "count": 4, "share": 1.0, "remedy": ""}
    finding = Finding.model_validate({"check": "near_copies", "offenders": grouped, **common})
    told = [[picture.name for picture in row] for row in rows(finding, pictures)]
    assert told == [["a", "b"], ["c", "d"]]
    single = [Offender(name=name, detail="") for name in "abcd"]
    alone = Finding.model_validate({"check": "truncated", "offenders": single, **common})
    assert rows(alone, pictures) == [pictures] and rows(alone, []) == []
