"""What the publications of one file say together."""

from __future__ import annotations

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon.curation.catalogue import catalogue
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.settings import Settings
from tests.tables import manifest


@pytest.mark.parametrize(
    ("said", "part", "fractured"),
    [
        (["knee|fractured", "knee"], "knee", True),
        (["hand|fractured", None], "hand", True),
        (["hand|fractured", "unsorted|fractured"], "hand", True),
        (["hand|fractured", "|non-fractured"], "hand", None),
        (["hand|fractured", "wrist|fractured"], None, True),
        (["hand", "hand+shoulder"], None, None),
        (["hand", "a word that nobody knows"], None, None),
        ([None, "hand|fractured"], "hand", True),
        (["hand|fractured", "|a state that nobody knows"], "hand", True),
        (["unsorted|fractured", None], None, True),
    ],
)
def test_who_says_nothing_of_an_image_contradicts_nobody(
    said: list[str | None], part: str | None, fractured: bool | None, settings: Settings, lake: Lake
) -> None:
    files = [
        {"source": "s", "path": f"{i}.png", "claims_image": True, "sha256": "a" * 64, "bytes": 1, "raw_label": raw}
        for i, raw in enumerate(said)
    ]
    lake.put_table("m.parquet", manifest(files))
    key, counts = catalogue(lake, load_labels(settings.labels_file), ["m.parquet"])
    (image,) = catalogs.read(lake, key).to_dict("records")
    found = [None if pd.isna(image[name]) else image[name] for name in ("body_part", "fractured")]
    assert image["raw_label"] == next(filter(None, said)), "not told as published without any label"
    assert found == [part, fractured] and counts == {"images": 1, "duplicates": 1}


def test_patient_and_study_are_those_of_the_first_publication_that_names_one_and_all_are_kept(
    settings: Settings, lake: Lake
) -> None:
    named = [(None, None), ("p1", None), ("p2", "s2"), ("p3", "s3")]
    files = [
        {"source": "s", "path": f"{i}.png", "claims_image": True, "sha256": "a" * 64, "patient": who, "study": study}
        for i, (who, study) in enumerate(named)
    ]
    lake.put_table("m.parquet", manifest(files))
    key, _ = catalogue(lake, load_labels(settings.labels_file), ["m.parquet"])
    found = catalogs.read(lake, key)
    (image,) = found.itertuples()
    assert (image.patient, image.study) == ("p1", "s2")
    kept = catalogs.read_publications(lake, found)[["patient", "study"]].astype("object")
    assert kept.where(kept.notna(), None).to_numpy().tolist() == [list(pair) for pair in named]


def test_a_manifest_from_before_there_were_pseudonyms_names_no_patient(settings: Settings, lake: Lake) -> None:
    files = [{"source": "s", "path": "a.png", "claims_image": True, "sha256": "a" * 64, "raw_label": "hand"}]
    lake.put_table("m.parquet", manifest(files).drop(columns=["patient", "study"]))
    key, counts = catalogue(lake, load_labels(settings.labels_file), ["m.parquet"])
    image = catalogs.read(lake, key)
    assert image["patient"].isna().all() and image["study"].isna().all() and counts == {"images": 1, "duplicates": 0}


def test_patients_are_part_of_a_snapshot_only_where_there_are_any(settings: Settings) -> None:
    labels = load_labels(settings.labels_file)
    rows = catalogs.complete(pd.DataFrame({"sha256": ["a", "b"], "body_part": "hand", "split": "train"}))
    nobody = catalogs.snapshot_id(rows, labels)
    assert nobody == "17bf0743787099bf", "as before there were patients"
    somebody = catalogs.snapshot_id(rows.assign(patient=pd.Series(["p1", None])), labels)
    another = catalogs.snapshot_id(rows.assign(patient=pd.Series(["p2", None])), labels)
    assert len({nobody, somebody, another}) == 3
