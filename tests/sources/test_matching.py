"""Keys of tables and label files, and the names of the files that they mean."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.errors import SourceError
from osteon.sources.rules.matching import Names, match, plain_path
from tests.sources.files import labelled

CSV = {"file": "t.csv", "key": "name", "column": "part"}
RULES = {"part": {"csv": CSV}}


def table(**parts: str) -> str:
    return "name,part\n" + "".join(f"{name},{part}\n" for name, part in parts.items())


def keys(*pairs: tuple[str, str]) -> str:
    return table(**dict(pairs))


@pytest.mark.parametrize(
    ("key", "file", "differs"),
    [
        ("a.jpg", "x/y/a.jpg", ""),
        ("y/a.jpg", "x/y/a.jpg", ""),
        ("./x/y/a.jpg", "x/y/a.jpg", ""),
        (r"x\y\a.jpg", "x/y/a.jpg", ""),
        ("y/a.jpg", "x\\y\\a.jpg", ""),
        ("/y//a.jpg", "./x/y/a.jpg", ""),
        ("Müller.jpg", unicodedata.normalize("NFD", "Müller.jpg"), ""),
        (" a.jpg ", "a.jpg", ""),
        ("a", "x/a.jpg", "without their ending"),
        ("a.png", "x/a.jpg", "without their ending"),
        ("1.2.840.113", "1.2.840.113.png", "without their ending"),
        ("study.left", "study.left.jpg", "without their ending"),
        ("A.JPG", "x/a.jpg", "in other letters or with blanks"),
        ("X/A.jpg", "x/a.jpg", "in other letters or with blanks"),
        ("a.JPG", "a.jpg", "in other letters or with blanks"),
        ("a.jpg", "x/a.jpg ", "in other letters or with blanks"),
        ("12.0", "x/12.jpg", "without their ending"),
        ("a.jpg\u200b", "x/a.jpg", "in other letters or with blanks"),
        ("M%C3%BCller%201.jpg", "x/Müller 1.jpg", "as addresses write them"),
        ("https://h.org/x/a.jpg", "x/a.jpg", "with more folders than the files have"),
        ("A", "a.jpeg", "in other letters and without their ending"),
        ("/home/ann/x/a.jpg", "x/a.jpg", "with more folders than the files have"),
        (r"C:\data\A", "a.jpg", "in other letters and without their ending, and with more folders"),
    ],
)
def test_a_key_means_the_file_that_people_mean(key: str, file: str, differs: str) -> None:
    found = match(Names([file, "other/b.jpg"]), [key], "")
    assert found.keys == {file: [key]} and not found.absent and not found.ambiguous
    assert "".join(found.guesses).startswith(differs) and bool(found.guesses) == bool(differs)


@pytest.mark.parametrize(
    ("key", "files"), [("a", ["a.jpg", "a.png"]), ("A.jpg", ["x/a.jpg", "y/a.JPG"]), ("a.jpg", ["x/a.jpg", "y/a.jpg"])]
)
def test_a_key_that_may_mean_two_files_is_refused_with_both(key: str, files: list[str]) -> None:
    found = match(Names([*files, "c.jpg"]), [key, "c.jpg"], "")
    assert found.ambiguous == {key: files} and found.keys == {"c.jpg": ["c.jpg"]}


def test_the_strictest_form_wins() -> None:
    files = ["a.jpg", "A.jpg", "x/a.jpg", "b.png"]
    found = match(Names(files), ["a.jpg", "A.jpg", "b", "b.png", "x/a.jpg"], "")
    assert found.keys == {"a.jpg": ["a.jpg"], "A.jpg": ["A.jpg"], "b.png": ["b.png"], "x/a.jpg": ["x/a.jpg"]}
    assert found.absent == ["b"], "a file that a key names exactly is no other key's"


def test_a_table_speaks_of_the_files_near_it() -> None:
    names = Names(["train/images/a.jpg", "train/images/b.jpg", "valid/images/a.jpg", "valid/images/c.jpg"])
    found = match(names, ["a.jpg", "b.jpg", "c.jpg", "valid/images/a.jpg"], "train/tables")
    assert found.keys == {path: [path.rpartition("/")[2]] for path in names.paths[:2]} | {
        "valid/images/a.jpg": ["valid/images/a.jpg"]
    }
    assert found.absent == ["c.jpg"], "the other split's file is another film"


@pytest.mark.parametrize("tables", [("train.csv", "val.csv"), ("x/labels_Train.csv", "x/valid-labels.csv")])
def test_a_table_that_is_called_like_a_split_speaks_of_it(tables: tuple[str, str]) -> None:
    files: dict[str, bytes | str] = {tables[0]: table(**{"a.jpg": "hand"}), tables[1]: table(**{"a.jpg": "knee"})}
    images = ("x/train/a.jpg", "x/valid/a.jpg")
    found = labelled({"part": {"csv": {**CSV, "file": "*.csv"}}}, files, *images)
    assert list(found.labels.values()) == ["hand|", "knee|"] and not found.notes


def test_folders_that_all_keys_begin_with_may_be_called_otherwise_but_never_a_split() -> None:
    names = Names(["img/a.jpg", "img/b.jpg"])
    assert set(match(names, ["images/a.jpg", "images/b.jpg"], "").keys) == set(names.paths)
    assert match(names, ["train/a.jpg", "train/b.jpg"], "").absent == ["train/a.jpg", "train/b.jpg"]
    assert match(names, ["p1/a.jpg", "p2/b.jpg"], "").absent == ["p1/a.jpg", "p2/b.jpg"], "another patient's film"


def test_one_ambiguous_key_costs_its_films_and_the_others_are_labelled() -> None:
    images = ["x/a.jpg", "y/a.jpg", *(f"x/{number}.jpg" for number in range(9))]
    content = table(**{"a.jpg": "hand"}, **{f"{number}.jpg": "knee" for number in range(9)})
    found = labelled(RULES, {"t.csv": content}, *images)
    assert [found.labels[image] for image in images] == [None, None, *["knee|"] * 9]
    (text,) = found.texts("unreadable_label")
    assert "names a.jpg, which may be x/a.jpg or y/a.jpg" in text and "`images`" in text


def test_two_keys_of_one_file_are_refused_where_they_differ() -> None:
    images = ["a.jpg", "b.jpg", "c.jpg"]
    rows = [("A.jpg", "hand"), ("a.JPG", "knee"), ("B.jpg", "hip"), ("b.JPG", "hip"), ("c.jpg", "leg")]
    found = labelled(RULES, {"t.csv": keys(*rows)}, *images)
    assert found.labels == {"a.jpg": None, "b.jpg": "hip|", "c.jpg": "leg|"}
    assert "A.jpg and as a.JPG" in found.texts("unreadable_label")[0]


def test_where_no_key_means_a_file_a_key_stands_beside_a_files_name() -> None:
    with pytest.raises(SourceError, match=r"'IMG_0017\.png'.*'x/IMG0017\.png'"):
        labelled(RULES, {"t.csv": table(**{"other.jpg": "hip", "IMG_0017.png": "hand"})}, "x/IMG0017.png", "x/y.jpg")


def test_a_file_that_the_source_leaves_out_is_not_absent() -> None:
    found = labelled(
        RULES, {"t.csv": table(**{"a.jpg": "hand", "b.dcm2": "hip", "c.jpg": "leg"}), "b.dcm2": b""}, "a.jpg"
    )
    assert found.texts("absent_file") == ["t.csv names files that are not there: c.jpg"]


def test_a_rules_file_may_lie_elsewhere_and_the_error_names_those_there_are() -> None:
    found = labelled(RULES, {"x/T.csv": table(**{"a.jpg": "hand"})}, "x/a.jpg")
    assert found.labels == {"x/a.jpg": "hand|"} and "give its whole path" in found.texts("guess")[0]
    with pytest.raises(SourceError, match=r"no t\.csv \(there is x/other\.csv\)"):
        labelled(RULES, {"x/other.csv": ""}, "x/a.jpg")
    with pytest.raises(SourceError, match=r"may be x/t\.csv or y/t\.csv"):
        labelled(RULES, {"x/t.csv": "", "y/t.csv": ""}, "x/a.jpg")
    hidden: dict[str, bytes | str] = {"t.csv": table(**{"a.jpg": "hand"}), "__MACOSX/._t.csv": b"\0"}
    assert labelled({"part": {"csv": {**CSV, "file": "*t.csv"}}}, hidden, "a.jpg").kinds == set()


NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(files=st.lists(NAME, max_size=8, unique=True), asked=st.lists(NAME, max_size=8, unique=True), folder=NAME)
def test_every_key_means_one_file_or_none_or_is_refused(files: list[str], asked: list[str], folder: str) -> None:
    found = match(Names(files), asked, folder)
    meant = [key for some in found.keys.values() for key in some]
    assert sorted([*meant, *found.absent, *found.ambiguous]) == sorted(asked)
    assert set(found.keys) <= set(files)


@given(files=st.lists(NAME.map(plain_path), max_size=8, unique=True))
def test_a_whole_path_means_its_own_file(files: list[str]) -> None:
    assert match(Names(files), files, "").keys == {path: [path] for path in files}
