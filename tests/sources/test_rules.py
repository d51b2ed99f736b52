"""Labels from folders, boxes and tables, as the publishers of `config/sources.yaml` lay them out."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import yaml

from osteon.errors import SourceError
from osteon.labels import load_labels
from osteon.settings import ROOT, load_settings
from osteon.sources.config import read_sources_file
from osteon.sources.notes import Note
from osteon.sources.reader import LabelledConfig
from osteon.sources.rules import LabelRules, SourceFiles

NAMES = {"names": ["Fracture", "hand", "artefact"]}


def source_files(content: dict[str, str], paths: list[str]) -> SourceFiles:
    members = tuple(dict.fromkeys([*paths, *content]))
    notes: list[Note] = []
    return SourceFiles("s", tuple(paths), members, lambda path: content[path].encode(), notes.append)


def labels(rules: object, files: Mapping[str, object], paths: list[str]) -> list[str | None]:
    content = {name: text if isinstance(text, str) else json.dumps(text) for name, text in files.items()}
    found = LabelRules.model_validate(rules).read(source_files(content, paths))
    return [found[path] for path in paths]


def ids(rules: object, files: dict[str, str], paths: list[str]) -> list[tuple[str | None, str | None]]:
    found = LabelRules.model_validate(rules).read_ids(source_files(files, paths))
    return [found[path] for path in paths]


def test_yolo_boxes_name_what_is_in_an_image() -> None:
    files = {
        "data.yaml": yaml.safe_dump(NAMES),
        "train/labels/a.txt": "0 .5 .5 .1 .1\n1 .5 .5 .2 .2\n0 .1 .1 .1 .1\n",
        "train/labels/b.txt": "",
        "train/labels/c.txt": "2 .5 .5 .1 .1\n",
    }
    paths = [f"train/images/{name}.jpg" for name in "abcd"]
    values = {"Fracture": "fractured", "hand": "", "artefact": ""}
    rules = {"fracture": {"boxes": "yolo", "values": values, "none": "non-fractured"}}
    assert labels(rules, files, paths) == ["|fractured", "|non-fractured", "|non-fractured", None]
    assert labels({"part": {"boxes": "yolo"}}, files, paths[:1]) == ["Fracture+hand|"]


def test_a_yolo_export_with_mistakes_names_them() -> None:
    rules, paths = {"part": {"boxes": "yolo"}}, ["train/images/a.jpg"]
    with pytest.raises(SourceError, match=r"no data\.yaml"):
        labels(rules, {}, paths)
    data = {"data.yaml": yaml.safe_dump({"names": {0: "hand"}})}
    assert labels(rules, {**data, "train/labels/a.txt": "0 1 1 1 1"}, paths) == ["hand|"]
    with pytest.raises(SourceError, match=r"a\.txt has class 7"):
        labels(rules, {**data, "train/labels/a.txt": "7 1 1 1 1"}, paths)
    with pytest.raises(SourceError, match="no YOLO label file"):
        labels(rules, {**data, "train/labels/a.txt": "hand 1 1"}, paths)


def test_coco_boxes_name_what_is_in_an_image() -> None:
    table = {
        "categories": [{"id": 0, "name": "bones"}, {"id": 1, "name": "fracture"}],
        "images": [{"id": 5, "file_name": "a.jpg"}, {"id": 6, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 5, "category_id": 1}, {"image_id": 5, "category_id": 1}],
    }
    rules = {"fracture": {"boxes": "coco", "none": "normal"}}
    files = {"train/_annotations.coco.json": table}
    assert labels(rules, files, ["train/a.jpg", "train/b.jpg", "train/c.jpg"]) == ["|fracture", "|normal", None]
    with pytest.raises(SourceError, match="`fracture` says nothing of any of 2 images"):
        labels(rules, files, ["valid/a.jpg", "train/b.jpg"])  # no box anywhere: all would be whole
    with pytest.raises(SourceError, match=r"train/_annotations\.coco\.json is no COCO file"):
        labels(rules, {"train/_annotations.coco.json": {"images": []}}, ["train/a.jpg"])


def test_muras_positive_is_not_taken_for_fractured() -> None:
    (mura,) = [entry for entry in read_sources_file(ROOT / "config" / "sources.yaml").sources if entry.name == "mura"]
    assert isinstance(mura, LabelledConfig)
    for root in ("MURA-v1.1/", ""):  # the zip, and the unpacked folder
        paths = [f"{root}valid/XR_HAND/patient1/study1_{word}/image1.png" for word in ("positive", "negative")]
        found = labels(mura.labels, {}, paths)
        meanings = [load_labels(load_settings().labels_file).resolve(label) for label in found]
        assert [(meaning.body_part, meaning.fractured) for meaning in meanings] == [("hand", None), ("hand", False)]


@pytest.mark.parametrize("pattern", ["study", "(", ""])
@pytest.mark.parametrize("place", ["part", "patient"])
def test_a_pattern_without_a_group_is_refused(pattern: str, place: str) -> None:
    for rule in ({"folder": 0, "pattern": pattern}, {"name": {"pattern": pattern}}):
        with pytest.raises(ValueError, match=r"group|regular expression"):
            LabelRules.model_validate({place: rule})


def test_a_label_may_stand_in_a_files_name() -> None:
    rules = {
        "part": {"name": {"pattern": r"([a-z]+)_.*\.png"}},
        "fracture": {"name": {"pattern": r".*_([PN])\.png", "values": {"P": "fractured", "N": "non-fractured"}}},
    }
    paths = ["any/hand_1_P.png", "hand_2_N.png", "hand_P/1.png"]
    assert labels(rules, {}, paths) == ["hand|fractured", "hand|non-fractured", None]


def test_a_patient_is_named_by_a_folder_a_files_name_or_a_column() -> None:
    paths = ["p7/1/p7_left.jpg", "p8/1/p8_right.jpg", "x.jpg"]
    table = "file,who,visit\np7_left.jpg,7,1\np8_right.jpg,8,1\n"
    at = {"file": "who.csv", "key": "file"}
    for patient, study in (
        ({"folder": -2, "pattern": r"p(\d+)"}, {"folder": -1}),
        ({"name": {"pattern": r"p(\d+)_.*"}}, {"folder": 1}),
        ({"csv": {**at, "column": "who"}}, {"csv": {**at, "column": "visit"}}),
    ):
        found = ids({"patient": patient, "study": study}, {"who.csv": table}, paths)
        assert found == [("7", "1"), ("8", "1"), (None, None)], patient


def test_a_study_of_nobody_known_is_none() -> None:
    rules = {"patient": {"folder": 0, "pattern": r"p(\d+)"}, "study": {"folder": 1}}
    assert ids(rules, {}, ["p1/study1/a.jpg", "other/study1/a.jpg"]) == [("1", "study1"), (None, None)]


@pytest.mark.parametrize("name", ["patient", "study"])
def test_a_rule_that_names_nobody_is_refused(name: str) -> None:
    rules = {"patient": {"folder": 0}, name: {"folder": 5}}
    with pytest.raises(SourceError, match=f"`{name}` says nothing of any of 2 images"):
        ids(rules, {}, ["p1/a.jpg", "p2/a.jpg"])


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"patient": {"constant": "ann"}}, "constant"),
        ({"patient": {"boxes": "yolo"}}, "boxes"),
        ({"patient": {"csv": {"file": "t.csv", "key": "k", "columns": ["a", "b"]}}}, "one `column`"),
        ({"study": {"folder": 1}}, "needs a rule for `patient`"),
    ],
)
def test_a_rule_that_cannot_tell_patients_apart_is_refused(rules: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LabelRules.model_validate(rules)


def test_a_pattern_that_does_not_match_says_nothing() -> None:
    rules = {"part": {"folder": 0, "pattern": "XR_(.+)"}}
    assert labels(rules, {}, ["XR_HAND/a.jpg", "other/a.jpg"]) == ["HAND|", None]


@pytest.mark.parametrize("name", ["sources.yaml", "sources.demo.yaml", "sources.fracatlas.yaml"])
def test_every_sources_file_that_ships_can_be_read(name: str) -> None:
    assert read_sources_file(ROOT / "config" / name).sources


def test_the_real_catalogue_covers_what_is_asked_for() -> None:
    entries = {entry.name: entry for entry in read_sources_file(ROOT / "config" / "sources.yaml").sources}
    assert {entry.kind for entry in entries.values()} == {"archive", "kaggle", "roboflow"}
    assert not entries["mura"].enabled and not entries["fracatlas-kaggle"].enabled
    assert all(entry.attribution for entry in entries.values())


@pytest.mark.parametrize(
    ("table", "path", "told"),
    [
        ("name,hand,leg\n1.jpg,1,0\n2.jpg,1,234,1\n", "1.jpg", "line 3 has another number of fields"),
        ("name,hand,leg\n1.jpg,1\n", "1.jpg", "line 2 has another number of fields"),
        ("name,hand,leg,hand\n1.jpg,1,0,0\n", "1.jpg", "two columns hand"),
        ("name,hand,leg\n1.jpg,1,0\n", "ann/1.jpg", "which may be bob/1.jpg or ann/1.jpg"),
    ],
)
def test_a_table_that_may_mean_another_image_is_refused(table: str, path: str, told: str) -> None:
    rules = {"part": {"csv": {"file": "t.csv", "key": "name", "columns": ["hand", "leg"]}}}
    with pytest.raises(SourceError, match=told):
        labels(rules, {"t.csv": table}, ["bob/1.jpg", path])


def test_a_coco_file_that_uses_an_id_twice_is_refused() -> None:
    images = [{"id": 5, "file_name": "a.jpg"}, {"id": 5, "file_name": "b.jpg"}]
    table = {"categories": [], "images": images, "annotations": []}
    with pytest.raises(SourceError, match="id twice"):
        labels({"part": {"boxes": "coco"}}, {"_annotations.coco.json": table}, ["a.jpg"])
