"""Labels by boxes: YOLO, COCO and Pascal VOC as tools export them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import SourceError
from tests.sources.files import Labelled, labelled, outcome

BOX = b"0 .5 .5 .1 .1\n"
NAMES = b"names: [fracture, text]\n"
NO_LINE = "is no YOLO label file: it wants `class x y width height`, found another form"
STATE: dict[str, Any] = {"none": "non-fractured", "values": {"fracture": "fractured", "text": ""}}


def yolo(labels: dict[str, bytes | None], names: bytes = NAMES, root: str = "", **rule: Any) -> Labelled:
    """Labels of images by the label files beside them; None stands for an image without one."""
    files: dict[str, bytes | str] = {f"{root}data.yaml": names}
    for name, text in labels.items():
        files[f"{root}train/images/{name}.jpg"] = b""
        if text is not None:
            files[f"{root}train/labels/{name}.txt"] = text
    return labelled({"fracture": {"boxes": "yolo", **STATE, **rule}}, files)


def states(found: Labelled) -> list[str]:
    return [(label or "|-")[1:] for label in found.labels.values()]


@pytest.mark.parametrize(
    "line",
    [
        b"0 .5 .5 .1 .1",
        b"0.0 .5 .5 .1 .1",
        b"\xef\xbb\xbf0 .5 .5 .1 .1",
        b"\r\n 0  .5\t.5 .1 .1 \r\n\r\n",
        b"0 0,5 0,5 0,1 0,1",
        b"0 .5 .5 .1 .1 0.93",
        b"0 .1 .1 .2 .1 .2 .2 .1 .2",
        b"0 .1 .1 .2 .1 .2 .2 .1 .2 .3 .3",
        b"0 .5 .5 .1 .1 .2 .2 2 .3 .3 1",
        b"fracture .5 .5 .1 .1",
        b"10.0 10.0 50.0 10.0 50.0 50.0 10.0 50.0 fracture 0",
        b"imagesource:GoogleEarth\ngsd:0.14\n10 10 50 10 50 50 10 50 fracture",
        b"1 .5 .5 .1 .1\n0 .5 .5 .1 .1",
    ],
)
def test_every_form_of_a_line_is_read(line: bytes) -> None:
    assert states(yolo({"a": line, "b": b"1 .1 .1 .1 .1\n", "c": b"", "d": None})) == [
        "fractured", "non-fractured", "non-fractured", "-",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"7 .5 .5 .1 .1", "has class 7, which data.yaml does not name (line 1)"),
        (b"0.5 .5 .5 .1 .1", "has class 0.5, which data.yaml does not name (line 1)"),
        (b"bone .5 .5 .1 .1", "has class bone, which data.yaml does not name (line 1)"),
        (b"10 10 50 10 50 50 10 50 bone anomaly 0", "has class bone anomaly, which data.yaml does not name (line 1)"),
        (b"0 .5 .5 .1 .1\n0 .5", f"{NO_LINE} (line 2)"),
        (b"0 .5 .5 nan .1", f"{NO_LINE} (line 1)"),
        (b"10 10 50 10 50 50 10 50 0 0", f"{NO_LINE} (line 1)"),
        (BOX.decode().encode("utf-16"), "is no text in UTF-8: save it anew"),
        (bytes(40), f"{NO_LINE} (line 1)"),
    ],
)  # fmt: skip
def test_a_broken_label_file_costs_its_own_film(line: bytes, told: str) -> None:
    found = yolo({"a": BOX, "b": b"", "c": line})
    assert states(found) == ["fractured", "non-fractured", "-"]
    assert found.texts("unreadable_label") == [f"train/labels/c.txt {told}"]


def test_label_files_of_which_half_are_broken_refuse_the_source() -> None:
    with pytest.raises(SourceError, match=r"1 of 2 label files are refused.*train/labels/b\.txt is no text in UTF-8"):
        yolo({"a": BOX, "b": BOX.decode().encode("utf-16")})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (b"names: [yes, no]", ("yes", "no")),
        (b"names:\n  0: on\n  1: off\n", ("on", "off")),
        (b"names:\n- 'Fracture '\n- 1.0\n", ("Fracture", "1.0")),
        (b"\xef\xbb\xbfnames: [a, b]", ("a", "b")),
        ("names: [a, b]".encode("utf-16"), ("a", "b")),
        (b"nc: 2\nnames: {1: b, 0: a}\nroboflow: {version: 3}", ("a", "b")),
    ],
)
def test_names_of_classes_are_words(names: bytes, words: tuple[str, str]) -> None:
    found = yolo({"a": BOX, "b": b"1 .5 .5 .1 .1"}, names, values={})
    assert states(found) == list(words)


@pytest.mark.parametrize("names", [b"names: fracture", b"nc: 1", b"names: [[a]]", b"names: [a", b"- a", b"names:"])
def test_names_that_are_no_list_of_words_are_refused(names: bytes) -> None:
    with pytest.raises(SourceError, match=r"data\.yaml has no list of words as `names`"):
        yolo({"a": BOX, "b": b""}, names)


def test_a_yaml_file_that_cannot_be_read_is_refused_with_its_line() -> None:
    with pytest.raises(SourceError, match=r"(?s)data\.yaml has no list.*line 2"):
        yolo({"a": BOX, "b": b""}, b"nc: 1\n\tnames: [a]\n")


def test_a_yaml_file_that_refers_to_itself_costs_nothing() -> None:
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(12)
    )
    with pytest.raises(SourceError, match="no list of words"):
        yolo({"a": BOX, "b": b""}, bomb + b"names: *m\n")


@pytest.mark.parametrize("root", ["", "BoneFractureYolo8/", "x/y/"])
@pytest.mark.parametrize("yaml", ["data.yaml", "meta.yaml", "wrists.yml", "classes.txt"])
@pytest.mark.parametrize(
    ("images", "labels"),
    [("train/images", "train/labels"), ("images/train", "labels/train"), ("Images", "Labels"), ("films", "films")],
)
def test_labels_and_names_are_found_in_every_layout(root: str, yaml: str, images: str, labels: str) -> None:
    names = "names: [fracture, text]" if yaml != "classes.txt" else "fracture\ntext\n"
    files: dict[str, bytes | str] = {f"{root}{yaml}": names, f"{root}other.yaml": "a: b"}
    for name, text in (("a.b", BOX), ("c", b"1 .1 .1 .1 .1")):
        files |= {f"{root}{images}/{name}.png": b"", f"{root}{labels}/{name}.txt": text}
    found = labelled({"fracture": {"boxes": "yolo", **STATE}}, files)
    assert states(found) == ["fractured", "non-fractured"] and not found.notes


def test_the_names_nearest_to_an_image_count_unless_the_rule_gives_the_file() -> None:
    files: dict[str, bytes | str] = {"data.yaml": "names: [text]", "b/data.yaml": "names: [fracture]"}
    for place in ("a", "b"):
        files |= {f"{place}/images/x.jpg": b"", f"{place}/labels/x.txt": BOX}
    rule = {"boxes": "yolo", **STATE}
    assert states(labelled({"fracture": rule}, files)) == ["non-fractured", "fractured"]
    assert states(labelled({"fracture": {**rule, "file": "b/data.yaml"}}, files)) == ["fractured", "fractured"]
    del files["data.yaml"], files["b/data.yaml"]
    files |= {"one.yaml": "names: [text]", "two.yaml": "names: [fracture]"}
    with pytest.raises(SourceError, match=r"may stand in one\.yaml, two\.yaml: give one as `file`"):
        labelled({"fracture": rule}, files)
    assert states(labelled({"fracture": {**rule, "file": "two.yaml"}}, files)) == ["fractured", "fractured"]


def test_label_files_that_lie_elsewhere_are_found_by_name_and_the_guess_is_named() -> None:
    """As FracAtlas has them."""
    place = "FracAtlas/Annotations/YOLO"
    files: dict[str, bytes | str] = {f"{place}/classes.txt": "fracture\ntext\n", "FracAtlas/read me.txt": "hello"}
    for name, text in (("a", BOX), ("b", b"")):
        files |= {f"FracAtlas/images/{name}.jpg": b"", f"{place}/{name}.txt": text}
    found = labelled({"fracture": {"boxes": "yolo", **STATE}}, files)
    assert states(found) == ["fractured", "non-fractured"]
    assert found.texts("guess") == [f"{place} is taken for the folder of label files: YOLO has them in `labels`"]


def test_a_class_that_wins_and_two_states_in_one_film() -> None:
    names, values = b"names: [fracture, healthy]", {"fracture": "fractured", "healthy": "non-fractured"}
    labels: dict[str, bytes | None] = {"a": BOX + b"1 .5 .5 .1 .1", "b": b"1 .5 .5 .1 .1"}
    found = yolo(labels, names, values=values)
    assert states(found) == ["fractured+non-fractured", "non-fractured"]
    assert found.texts("contradiction") == ["train/images/a.jpg is fractured and non-fractured by its yolo boxes"]
    assert states(yolo(labels, names, values=values, any="fractured")) == ["fractured", "non-fractured"]


def test_a_split_without_label_files_an_unused_class_and_absent_images_are_told() -> None:
    files: dict[str, bytes | str] = {"data.yaml": NAMES, "train/labels/gone.txt": BOX}
    for number in range(6):
        split, folder = ("validation", "lables") if number > 3 else ("train", "labels")
        files |= {f"{split}/images/{number}.jpg": b"", f"{split}/{folder}/{number}.txt": BOX if number % 2 else b""}
    found = labelled({"fracture": {"boxes": "yolo", **STATE}}, files)
    (split,) = found.texts("absent_row")
    assert split.startswith("validation has no label for any of its 2 images; label files lie in validation/lables")
    assert found.texts("unused_class") == ["data.yaml names classes that no label uses: text"]
    assert found.texts("absent_file") == ["train/labels has label files of images that are not there: gone.txt"]
    assert states(found) == ["non-fractured", "fractured", "non-fractured", "fractured", "-", "-"]


def coco(content: object, *images: str, place: str = "train/_annotations.coco.json", **rule: Any) -> Labelled:
    files: dict[str, bytes | str] = {place: json.dumps(content), **dict.fromkeys(images, b"")}
    return labelled({"fracture": {"boxes": "coco", **STATE, **rule}}, files)


CATEGORIES = [
    {"id": 0, "name": "bones", "supercategory": "none"},
    {"id": 1, "name": "fracture", "supercategory": "bones"},
]
TWO = [{"id": 0, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]
ONE_BOX = [{"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}]


@pytest.mark.parametrize(
    "names", [("a.jpg", "b.jpg"), ("train/a.jpg", "train/b.jpg"), ("/home/x/train/a.jpg", "/home/x/train/b.jpg")]
)
@pytest.mark.parametrize(
    "more",
    [
        {"segmentation": [[1, 1, 5, 1, 5, 5]]},
        {"keypoints": [1, 1, 2], "num_keypoints": 1},
        {"segmentation": {"counts": "x"}},
    ],
)
def test_coco_files_are_read_whatever_is_drawn(names: tuple[str, str], more: dict[str, object]) -> None:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    content = {"categories": CATEGORIES, "images": images, "annotations": [ONE_BOX[0] | more]}
    assert states(coco(content, "train/a.jpg", "train/b.jpg")) == ["fractured", "non-fractured"]


@pytest.mark.parametrize(
    "file", ["annotations/instances.json", "annotations", "annotations/", "*/inst*.json", "instances.json"]
)
def test_a_coco_file_may_lie_anywhere(file: str) -> None:
    content = {"categories": CATEGORIES, "images": TWO, "annotations": ONE_BOX}
    found = coco(content, "images/a.jpg", "images/b.jpg", place="annotations/instances.json", file=file)
    assert states(found) == ["fractured", "non-fractured"]
    with pytest.raises(SourceError, match=r"no _annotations\.coco\.json: give the COCO file as `file`"):
        coco(content, "images/a.jpg", place="annotations/instances.json")


def test_one_bad_item_of_a_coco_file_costs_its_film() -> None:
    images = [*TWO, {"id": 2, "file_name": "c.jpg"}, {"id": 3, "file_name": "gone.jpg"}, {"id": 4}]
    annotations = [*ONE_BOX, {"image_id": 99, "category_id": 1}, {"image_id": 2, "category_id": 7}, "x"]
    found = coco(
        {"categories": CATEGORIES, "images": images, "annotations": annotations},
        "a.jpg",
        "b.jpg",
        "c.jpg",
        place="_annotations.coco.json",
    )
    assert states(found) == ["fractured", "non-fractured", "-"]
    assert any("image_id that it does not list: 99" in text for text in found.texts("absent_file"))
    assert any("not there: gone.jpg" in text for text in found.texts("absent_file"))
    texts = " ".join(found.texts("unreadable_label"))
    assert "category 7" in texts and "c.jpg gets no label" in texts and "image 4" in texts


@pytest.mark.parametrize(
    "content", [[], {}, {"images": [], "annotations": [], "categories": []}, {"categories": 1}, "x", None]
)
def test_what_is_no_coco_file_is_refused_by_name(content: object) -> None:
    with pytest.raises(SourceError, match=r"train/_annotations\.coco\.json (is no COCO file|lists no image)"):
        coco(content, "train/a.jpg")


def voc(*names: str) -> bytes:
    return f"<annotation>{''.join(f'<object><name>{name}</name></object>' for name in names)}</annotation>".encode()


def voc_labels(files: dict[str, bytes | str], **rule: Any) -> Labelled:
    return labelled({"fracture": {"boxes": "voc", **STATE, **rule}}, files)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train", "train"),
        ("JPEGImages", "Annotations"),
        ("x/images", "x/annotations"),
        ("images/train", "Annotations/PASCAL VOC"),
    ],
)
def test_voc_files_are_found_in_every_layout(images: str, labels: str) -> None:
    files: dict[str, bytes | str] = {}
    for name, xml in (("a", voc("fracture", "text")), ("b", voc()), ("c", voc("text"))):
        files |= {f"{images}/{name}.jpg": b"", f"{labels}/{name}.xml": xml}
    found = voc_labels(files)
    assert states(found) == ["fractured", "non-fractured", "non-fractured"] and not found.notes
    assert states(voc_labels(files, file=labels)) == states(found)


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        (b"<annotation", "is no XML file that can be read"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "is no XML file that can be read"),
        (b"<html/>", "is no Pascal VOC: its root is <html>"),
        (b"<annotation><object/></annotation>", "has an <object> without a <name>"),
        (b"", "is no XML file that can be read"),
    ],
)
def test_a_broken_voc_file_costs_its_own_film(xml: bytes, told: str) -> None:
    files: dict[str, bytes | str] = {"a.jpg": b"", "a.xml": voc("fracture"), "b.jpg": b"", "b.xml": voc(), "c.jpg": b""}
    found = voc_labels({**files, "c.xml": xml, "other/d.xml": b"<project/>"})
    assert states(found) == ["fractured", "non-fractured", "-"]
    assert found.texts("unreadable_label")[0].startswith(f"c.xml {told}")


def test_the_file_name_in_a_voc_file_counts_where_its_own_name_means_no_image() -> None:
    xml = b"<annotation><filename>%s</filename>%s</annotation>"
    files: dict[str, bytes | str] = {"x/a.jpg": b"", "x/b.jpg": b""}
    files |= {"v/1.xml": xml % (b"a.jpg", b"<object><name>fracture</name></object>"), "v/2.xml": xml % (b"b.jpg", b"")}
    assert states(voc_labels(files)) == ["fractured", "non-fractured"]


def test_a_source_without_label_files_is_refused() -> None:
    with pytest.raises(SourceError, match="there is no XML file"):
        voc_labels({"a.jpg": b""})
    with pytest.raises(SourceError, match=r"no image has a label file.*no data\.yaml"):
        labelled({"fracture": {"boxes": "yolo"}}, {"a.jpg": b""})


@settings(max_examples=200)
@given(text=st.one_of(st.binary(max_size=60), st.text("0123456789. ,-\nfractureé\0", max_size=60).map(str.encode)))
def test_any_label_file_is_read_or_costs_its_film(text: bytes) -> None:
    found = yolo({"a": BOX, "b": b"", "c": text})
    assert states(found)[:2] == ["fractured", "non-fractured"]
    assert (states(found)[2] == "-") == bool(found.texts("unreadable_label"))
    xml = {"a.jpg": b"", "a.xml": voc("fracture"), "b.jpg": b"", "b.xml": voc(), "c.jpg": b"", "c.xml": text}
    assert voc_labels(dict(xml)).texts("unreadable_label")


FIELDS = st.sampled_from(["id", "name", "file_name", "image_id", "category_id"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(["a.jpg", "x", 0, 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
)


@given(categories=st.just(CATEGORIES) | JSON, images=st.just(TWO) | JSON, annotations=JSON)
def test_any_json_is_coco_told_of_or_refused(categories: object, images: object, annotations: object) -> None:
    content = {"categories": categories, "images": images, "annotations": annotations}
    files: dict[str, bytes | str] = {"_annotations.coco.json": json.dumps(content), "a.jpg": b"", "b.jpg": b""}
    found = outcome({"fracture": {"boxes": "coco", **STATE}}, files)
    if isinstance(found, str):
        assert "source s" in found
    else:
        assert found.kinds or None not in found.labels.values()
