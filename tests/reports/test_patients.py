"""What reports say of patients: who is known, and whether they are kept apart."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon.reports.patients import count_patients, patient_line

COLUMNS = ["source", "patient", "split"]
UNKNOWN = [("fracatlas", None, "train"), ("fracatlas", None, "test")]
KNOWN = [("mura", "p1", "train"), ("mura", "p1", "train"), ("mura", "p2", "test")]


def line(rows: list[tuple[str, str | None, str | None]]) -> str:
    images = pd.DataFrame(rows, columns=COLUMNS)
    return patient_line(count_patients(images, sorted(set(images["source"]))))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (UNKNOWN, "Split by film: patients are unknown for fracatlas."),
        (KNOWN, "Split by patient: each of 2 patients stands in one split."),
        ([*KNOWN, ("mura", None, "val")], "Split by film: patients are unknown for mura (1 of its images). "
         "Split by patient: each of 2 patients stands in one split."),
        ([*KNOWN, ("mura", "p2", "val")], "Films of 1 of 2 patients stand in more than one split."),
        ([], ""),
    ],
)  # fmt: skip
def test_the_line_says_what_is_known_and_what_is_true(
    rows: list[tuple[str, str | None, str | None]], told: str
) -> None:
    assert line(rows) == told


def test_a_source_without_patients_has_none_and_all_its_images_count_as_unnamed() -> None:
    counts = count_patients(pd.DataFrame([*UNKNOWN, *KNOWN], columns=COLUMNS), ["fracatlas", "mura", "left-out"])
    assert counts.model_dump() == {
        "patients": {"fracatlas": 0, "mura": 2, "left-out": 0},
        "without_patient": {"fracatlas": 2},
        "patients_across_splits": 0,
    }


def test_before_the_split_patients_are_counted_and_nobody_stands_in_two() -> None:
    images = pd.DataFrame(KNOWN, columns=COLUMNS).assign(split=None)
    counts = count_patients(images, ["mura"])
    assert counts.patients == {"mura": 2} and counts.patients_across_splits == 0
