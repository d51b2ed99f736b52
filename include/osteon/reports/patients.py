"""Who is known to be on which film, and whether patients were kept apart: counts, and the words for them."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel


class PatientCounts(BaseModel):
    """How many patients are known, and of how many images none is."""

    patients: dict[str, int] = {}
    """By source, 0 where none is named."""
    without_patient: dict[str, int] = {}
    """Images whose patient is not named, by source, where there are any."""
    patients_across_splits: int | None = None
    """Patients with images in more than one split; None where nothing was counted."""


def count_patients(images: pd.DataFrame, sources: list[str]) -> PatientCounts:
    """Count the patients of images.

    Args:
        images: `source, patient, split`; they may have no split yet.
        sources: Those to name.
    """
    named = images.groupby("source")["patient"].nunique()
    unnamed = images.loc[images["patient"].isna(), "source"].value_counts()
    splits = images.dropna(subset=["patient", "split"]).groupby("patient")["split"].nunique()
    return PatientCounts(
        patients={name: int(named.get(name, 0)) for name in sources},
        without_patient={name: int(unnamed[name]) for name in sources if name in unnamed},
        patients_across_splits=int((splits > 1).sum()),
    )


def patient_line(counts: PatientCounts) -> str:
    """What `count_patients` found, in a sentence or two."""
    patients, across = sum(counts.patients.values()), counts.patients_across_splits
    sentences = []
    if counts.without_patient:
        names = (
            f"{name} ({number} of its images)" if counts.patients[name] else name
            for name, number in counts.without_patient.items()
        )
        sentences.append(f"Split by film: patients are unknown for {', '.join(names)}.")
    if patients and across:
        sentences.append(f"Films of {across} of {patients} patients stand in more than one split.")
    elif patients:
        sentences.append(f"Split by patient: each of {patients} patients stands in one split.")
    return " ".join(sentences)
