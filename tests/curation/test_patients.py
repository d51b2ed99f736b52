"""Films of one patient stand in one split: MURA's layout, read by its entry in config/sources.yaml."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from osteon.curation.grouping import recall
from osteon.records import SplitRecord
from osteon.settings import ROOT
from osteon.training.promotion import comparable
from tests.curation.weeks import catalog_of
from tests.pictures import encode, film
from tests.runs import record_of, run_to_split

PATIENTS, FILMS = 40, 5
SIDE = 128
"""Pixels of a film's longer side."""
FEW = 8
"""Patients of whom the second week has another film."""


@pytest.fixture(scope="module")
def mura(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 patients with 5 films each, in two studies."""
    folder = tmp_path_factory.mktemp("data") / "MURA-v1.1"
    for patient in range(PATIENTS):
        for number in range(FILMS):
            study = "study2_negative" if number < 2 else "study1_positive"
            put_film(folder, patient, f"{study}/image{number}.png", patient * FILMS + number)
    return folder


def put_film(folder: Path, patient: int, name: str, seed: int) -> None:
    split = "train" if patient % 5 else "valid"
    path = folder / split / "XR_HAND" / f"patient{patient:05d}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(film(seed, "hand", longer=SIDE), "PNG"))


@pytest.fixture
def sources(mura: Path, tmp_path: Path) -> Path:
    """The entry as it is shipped, but for its place."""
    entries = yaml.safe_load((ROOT / "config" / "sources.yaml").read_text())["sources"]
    (entry,) = [entry for entry in entries if entry["name"] == "mura"]
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{**entry, "enabled": True, "location": str(mura.parent)}]}))
    return path


def patient_of(catalog: pd.DataFrame) -> pd.Series:
    """The publisher's id, by image."""
    return catalog["path"].str.extract(r"patient(\d+)", expand=False)


def test_no_patient_stands_in_two_splits_also_when_a_known_one_has_another_film_next_week(
    environment: dict[str, str], mura: Path, sources: Path
) -> None:
    first = catalog_of(run_to_split("first", sources))
    assert len(first) == PATIENTS * FILMS and first["split"].notna().all()
    by_patient = first.groupby(patient_of(first))["split"]
    assert len(by_patient) == PATIENTS and (by_patient.nunique() == 1).all()
    assert set(first["split"]) == {"train", "val", "test"}
    assert first["group"].nunique() == len(first), "films of one patient are no copies of each other"

    stood = by_patient.first()
    known = [str(number) for split in ("test", "train") for number in stood.index[stood == split][: FEW // 2]]
    for number in known:
        put_film(mura, int(number), "study9_positive/image7.png", 10_000 + int(number))
    context = run_to_split("second", sources)
    second = catalog_of(context)
    assert len(second) == len(first) + FEW and record_of(context, SplitRecord).moved == 0
    assert second["split"].tolist() == patient_of(second).map(stood).tolist()
    judged = comparable(second, first, recall(context.lake).cluster)
    assert set(patient_of(judged)) == set(stood.index[stood == "test"])
