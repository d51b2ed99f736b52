"""Statements of a source that are held against each other."""

from __future__ import annotations

import pytest

from osteon.settings import ROOT, load_settings
from osteon.sources.archive import ArchiveConfig
from osteon.sources.config import read_sources_file
from osteon.sources.notes import Note
from osteon.sources.reader import LabelledConfig, Reader
from osteon.sources.rules import LabelRules, tell_counts, tell_personal
from osteon.sources.rules.personal import HIDDEN, is_personal, shown
from tests.sources.files import labelled, source_files

VALUES = {"1": "fractured", "0": "non-fractured"}
BY_TABLE = {"csv": {"file": "t.csv", "key": "k", "column": "s", "values": VALUES}}
BY_FOLDER = {"folder": -1, "values": {"frx": "fractured"}}
TABLE = "k,s\na.jpg,1\nb.jpg,0\nc.jpg,0\nd.jpg,\n"
DIGESTS = {
    "fracatlas": "9b5d968b", "spine-region": "be6cfda2", "multi-region": "6aea33de", "rotated-copies": "6a837e4e",
    "knee-osteoarthritis": "2966b040", "mura": "f358f830", "legs-and-feet": "95c66d14", "spine": "48a23060",
}  # fmt: skip
"""Of shipped entries, by this version of the reader: a field that an entry does not use changes none of them."""


def test_entries_from_before_have_the_versions_that_they_had() -> None:
    files = (ROOT / "config" / "sources.yaml", ROOT / "config" / "sources.fracatlas.yaml")
    entries = {entry.name: entry for file in files for entry in read_sources_file(file).sources}
    found = {name: Reader(entry, load_settings()).digest() for name, entry in entries.items()
             if isinstance(entry, LabelledConfig)}  # fmt: skip
    assert {name: found[name] for name in DIGESTS} == DIGESTS


@pytest.mark.parametrize(
    ("fracture", "more"),
    [
        ({"csv": {**BY_TABLE["csv"], "delimiter": ";"}}, {}),
        ({"csv": {**BY_TABLE["csv"], "encoding": "latin-1"}}, {}),
        ({"csv": {**BY_TABLE["csv"], "any": "fractured"}}, {}),
        ([BY_TABLE, BY_FOLDER], {}),
        (BY_TABLE, {"expects": {"images": 4}}),
    ],
)
def test_a_new_setting_makes_another_version(fracture: object, more: dict[str, object]) -> None:
    def digest(rule: object, **fields: object) -> str:
        entry = {"kind": "archive", "name": "s", "licence": "CC0-1.0", "location": "x", "labels": {"fracture": rule}}
        return Reader(ArchiveConfig.model_validate({**entry, **fields}), load_settings()).digest()

    assert digest(fracture, **more) != digest(BY_TABLE)


def test_rules_of_a_list_must_agree_and_what_they_differ_in_waits_for_a_curator() -> None:
    images = ["frx/a.jpg", "normal/b.jpg", "frx/c.jpg", "frx/d.jpg"]
    found = labelled({"fracture": [BY_TABLE, BY_FOLDER]}, {"t.csv": TABLE}, *images)
    both = "|fractured+non-fractured"
    assert list(found.labels.values()) == ["|fractured", "|non-fractured+normal", both, "|fractured"]
    assert found.texts("contradiction") == ["frx/c.jpg is non-fractured by t.csv, but fractured by its folder"]


def test_rules_for_the_part_must_agree_too() -> None:
    rules = {"part": [{"folder": 0}, {"name": {"pattern": "([a-z]+)_.*"}}]}
    found = labelled(rules, {}, "hand/Hand_1.jpg", "hand/hand_2.jpg", "hand/knee_3.jpg", "hip/4.jpg")
    assert list(found.labels.values()) == ["hand|", "hand|", "hand+knee|", "hip|"]
    assert found.texts("contradiction") == ["hand/knee_3.jpg is hand by its folder, but knee by its name"]


@pytest.mark.parametrize("folders", [("Fractured", "Non_fractured"), ("fracture", "normal")])
def test_folders_named_by_both_states_are_compared_without_being_asked(folders: tuple[str, str]) -> None:
    images = [f"x/{folders[0]}/a.jpg", f"x/{folders[1]}/b.jpg", f"x/{folders[0]}/c.jpg", f"x/{folders[0]}/d.jpg"]
    found = labelled({"fracture": BY_TABLE}, {"t.csv": TABLE}, *images)
    assert list(found.labels.values()) == ["|fractured", "|non-fractured", "|fractured+non-fractured", None]
    assert [text.partition(" ")[0] for text in found.texts("contradiction")] == [images[2]]


def test_folders_that_name_no_two_states_contradict_nothing() -> None:
    found = labelled({"fracture": BY_TABLE}, {"t.csv": TABLE}, "fractured/a.jpg", "fractured/b.jpg", "other/c.jpg")
    assert not found.texts("contradiction")


def test_a_split_without_a_row_is_named() -> None:
    found = labelled({"fracture": BY_TABLE}, {"t.csv": TABLE}, "x/train/a.jpg", "x/val/e.jpg", "x/val/f.jpg")
    assert found.texts("absent_row") == ["x/val has no label for any of its 2 images"]


def test_numbers_that_the_publisher_states_are_compared_with_what_came() -> None:
    notes: list[Note] = []
    files = source_files({}, notes, "a.jpg", "b.jpg", "c.jpg")
    said = ["hand|fractured", "hand|Fractured", None]
    tell_counts(files, said, {"images": 3, "fractured": 2, "hand": 2})
    assert notes == []
    tell_counts(files, said, {"images": 4, "fractured": 9, "hip": 1})
    assert [(note.subject, note.text.partition(":")[0]) for note in notes] == [
        ("images", "3 came, 4 are expected"),
        ("fractured", "2 came, 9 are expected"),
        ("hip", "0 came, 1 are expected"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "N101, F, 15 Yrs.jpg",
        "N48--Rt-TAIS--F--14-Yrs_jpg.rf.d944fbb065367e9f2d73fd6f7a79814f.jpg",
        "Smith_John_19560312.jpg",
        "SMITH^JOHN.jpg",
        "Müller, Hans.jpg",
        "Müller Hans 12.03.1956.png",
        "Mrs Miller left knee.jpg",
        "dob_19560312.jpg",
        "John-Smith-1956-03-12.jpg",
        "Smith John 45 M.jpg",
        "Anna Karlsson F 7.png",
    ],
)
def test_names_with_data_of_a_person_are_known(name: str) -> None:
    assert is_personal(name) and shown(f"x/{name}") == HIDDEN


@pytest.mark.parametrize(
    "name",
    [
        "IMG0003298.jpg",
        "0001_1297860395_01_WRI-L1_M014.png",
        "patient00011",
        "study1_positive",
        "XR_HAND",
        "image1.png",
        "11_jpg.rf.a47b01eb09d7890b6e24e1b11c725685.jpg",
        "IMG_20190312_101500.jpg",
        "WhatsApp Image 2022-01-01.jpeg",
        "Screenshot 2023-05-06.png",
        "Left_Hand_20190312.jpg",
        "Fracture Multi-Region X-ray Data",
        "64-rotated2-rotated1.jpg",
        "Hand, Left.jpg",
        "BoneFractureYolo8",
        "Bone_Fracture_Binary_Classification",
        "Hip Pelvis 2019-02-03.jpg",
        "1.2.840.113619.2.55.3.jpg",
        "film_M_2.jpg",
        "a 45 F.jpg",
        "9003175_1.png",
        "Non_fractured",
    ],
)
def test_names_of_cameras_sets_and_parts_are_no_people(name: str) -> None:
    assert not is_personal(name) and shown(f"x/{name}") == f"x/{name}"


def test_personal_names_are_counted_and_shown_nowhere() -> None:
    notes: list[Note] = []
    table = "k,s\nSmith^John.jpg,1\na.jpg,0\nMiller^Ann.jpg,0\n"
    files = source_files({"t.csv": table}, notes, "Smith^John.jpg", "a.jpg", "Doe^Jane.jpg")
    LabelRules.model_validate({"fracture": BY_TABLE}).read(files)
    tell_personal(files)
    assert [(note.kind, note.count) for note in notes if note.kind == "personal_name"] == [("personal_name", 2)]
    assert {note.kind for note in notes} == {"absent_file", "absent_row", "personal_name"}
    assert not any(name in str(note) for note in notes for name in ("Smith", "Miller", "Doe"))
