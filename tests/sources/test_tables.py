"""Labels in tables, whatever program wrote them."""

from __future__ import annotations

import io
import json
from typing import Any

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osteon.errors import SourceError
from osteon.sources.notes import Note
from osteon.sources.rules import LabelRules
from tests.sources.files import Labelled, labelled, outcome, source_files

LINES = "image_id,part\r\na.jpg,hand\r\nb.jpg,leg\r\nc.jpg,hip\r\n"
PARTS = {"a.jpg": "hand|", "b.jpg": "leg|", "c.jpg": "hip|"}
VALUES = {"1": "fractured", "0": "non-fractured"}


def read(text: bytes | str, *images: str, name: str = "dataset.csv", **table: Any) -> Labelled:
    rule = {"file": name, "key": "image_id", "column": "part", **table}
    return labelled({"part": {"csv": rule}}, {name: text}, *(images or PARTS))


def marked(text: str, *images: str, **table: Any) -> Labelled:
    """Labels by columns for hand and leg."""
    rule = {"file": "t.csv", "key": "k", "columns": ["hand", "leg"], **table}
    return labelled({"part": {"csv": rule}}, {"t.csv": text}, *images)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_dialect_is_read(delimiter: str, end: str, encoding: str) -> None:
    text = LINES.replace(",", delimiter).replace("\r\n", end).encode(encoding)
    found = read(text)
    assert found.labels == PARTS
    assert found.kinds == ({"guess"} if encoding in ("utf-16-le", "utf-16-be") else set())


@pytest.mark.parametrize(
    "text",
    [
        'image_id,note,part\na.jpg,"two\nlines",hand\nb.jpg,x,leg\nc.jpg,x,hip\n',
        "image_id,part,\na.jpg,hand,\nb.jpg,leg,\nc.jpg,hip,\n",
        "image_id,part\na.jpg,hand,\nb.jpg,leg,,,\nc.jpg,hip,\n",
        "image_id,part\na.jpg,hand\n,\nb.jpg,leg\n\nc.jpg,hip\n,\n \n",
        "\n\nWrists of 2024,\n\nimage_id,part\na.jpg,hand\nb.jpg,leg\nc.jpg,hip\n",
        "\ufeff\ufeffimage_id,part\na.jpg,hand\nb.jpg,leg\nc.jpg,hip\n",
        "sep=;\nimage_id;part\na.jpg;hand\nb.jpg;leg\nc.jpg;hip\n",
        "image_id;size, mm;part\na.jpg;0,5;hand\nb.jpg;1,5;leg\nc.jpg;a,b,c,d;hip\n",
        "image_id,part\na.jpg,hand\nb.jpg,leg\nc.jpg,hip\n" + "\0" * 900,
        ' IMAGE_ID , "Part"\na.jpg, hand\nb.jpg,leg \nc.jpg,hip\n',
        '"image_id";"part"\n"a.jpg";"hand"\n"b.jpg";"leg"\n"c.jpg";"hip"\n',
    ],
)
def test_what_programs_put_around_rows_does_not_matter(text: str) -> None:
    found = read(text)
    assert found.labels == PARTS and not found.notes


def test_a_text_that_is_no_unicode_is_read_and_the_guess_is_named() -> None:
    found = read((LINES + "é.jpg,knee\r\n").encode("cp1252"), *PARTS, "é.jpg")
    assert found.labels == {**PARTS, "é.jpg": "knee|"}
    assert found.texts("guess") == ["dataset.csv is read as cp1252: set `encoding` in its label rules"]
    fixed = read((LINES + "é.jpg,knee\r\n").encode("latin-1"), *PARTS, "é.jpg", encoding="latin-1")
    assert fixed.labels == found.labels and not fixed.notes
    with pytest.raises(ValueError, match="is no encoding"):
        read(LINES, encoding="latin-99")


@pytest.mark.parametrize(("encoding", "name"), [("cp932", "骨折.jpg"), ("cp1251", "рука.jpg"), ("gb18030", "手骨.jpg")])
def test_the_encoding_that_spells_the_names_of_files_is_taken(encoding: str, name: str) -> None:
    found = read((LINES + f"{name},knee\r\n").encode(encoding), *PARTS, name)
    assert found.labels[name] == "knee|" and encoding in found.texts("guess")[0]


def test_a_damaged_byte_costs_its_row_alone() -> None:
    text = LINES.encode() + "ü.jpg,knee\r\nö.jpg,knee\r\n".encode() + b"\xff.jpg,knee\r\n"
    found = read(text, *PARTS, "ü.jpg", "ö.jpg")
    assert found.labels == {**PARTS, "ü.jpg": "knee|", "ö.jpg": "knee|"}
    assert "line 7 holds bytes that are no text" in found.texts("unreadable_label")[0]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("d.jpg,wrist,1", "line 3 has another number of fields"),
        ("d.jpg", "line 3 has another number of fields"),
        ('d.jpg,"wrist', "line 3 is no row: a quotation mark is missing"),
        ('d.jpg,"5" film",wrist', "line 3 is no row: a quotation mark is missing"),
        ("d.jpg,wr\0ist", "line 3 holds bytes that are no text"),
        (",wrist", "line 3 names no file"),
        ("d.jpg," + "x" * 200_000, "line 3 is no row: a quotation mark is missing, or a field is too long"),
    ],
)
def test_a_bad_row_is_refused_by_its_line_and_the_others_are_taken(row: str, told: str) -> None:
    lines = LINES.splitlines()
    found = read("\n".join([*lines[:2], row, *lines[2:]]), *PARTS, "d.jpg")
    assert found.labels == {**PARTS, "d.jpg": None}
    assert found.texts("unreadable_label")[0].startswith(f"dataset.csv {told}")


def test_a_table_of_which_half_is_refused_is_refused() -> None:
    with pytest.raises(SourceError, match=r"2 of 4 rows are refused.*dataset\.csv line 3 has another number"):
        read("image_id,part\na.jpg,hand\nb.jpg\nc.jpg\nd.jpg,hip\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"image_id#part\na.jpg#hand\n", "has no column image_id, part.*set `delimiter`"),
        (b"image_id,region\na.jpg,hand\n", r"has no column part \(it has image_id, region\)"),
        (b"image_id,part\n", "has no row"),
        (b"PK\x03\x04 and no zip", "is no Excel file that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"is an Excel file of the old kind \(\.xls\)"),
        (bytes(range(256)) * 9, "has no column"),
        (b'"\n"' * 5000, "has no column|no rows"),
    ],
)
def test_what_is_no_table_is_refused_by_name(text: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=rf"source s: dataset\.csv {told}"):
        read(text)


def test_a_setting_fixes_the_delimiter() -> None:
    assert read(LINES.replace(",", "#"), delimiter="#").labels == PARTS
    with pytest.raises(SourceError, match="has no column"):
        read(LINES, delimiter=";")


def test_several_rows_of_one_file_are_joined_and_two_states_are_a_contradiction() -> None:
    found = read("image_id,part\na.jpg,hand\na.jpg,wrist\na.jpg,hand\nb.jpg,leg\nc.jpg,hip\n")
    assert found.labels == {**PARTS, "a.jpg": "hand+wrist|"} and not found.notes
    rule = {"file": "t.csv", "key": "k", "column": "s", "values": VALUES}
    text = "k,s\na.jpg,1\na.jpg,0\na.jpg,\nb.jpg,0\nb.jpg,0.0\n"
    found = labelled({"fracture": {"csv": rule}}, {"t.csv": text}, "a.jpg", "b.jpg")
    assert found.labels == {"a.jpg": "|fractured+non-fractured", "b.jpg": "|non-fractured"}
    assert found.texts("contradiction") == ["a.jpg is fractured and non-fractured by t.csv"]
    found = labelled({"fracture": {"csv": {**rule, "any": "fractured"}}}, {"t.csv": text}, "a.jpg", "b.jpg")
    assert found.labels == {"a.jpg": "|fractured", "b.jpg": "|non-fractured"} and not found.notes


def test_each_of_several_tables_speaks_of_the_files_near_it() -> None:
    files: dict[str, bytes | str] = {}
    for number, split in enumerate(("train", "valid")):
        files[f"{split}/_classes.csv"] = f"filename, fractured, normal\n1.jpg, {number}, {1 - number}\n"
        files[f"{split}/1.jpg"] = b""
    rule = {"file": "*/_classes.csv", "key": "filename", "columns": ["fractured", "normal"]}
    found = labelled({"fracture": {"csv": rule}}, files)
    assert found.labels == {"train/1.jpg": "|normal", "valid/1.jpg": "|fractured"} and not found.notes
    assert labelled({"fracture": {"csv": {**rule, "columns": [" fractured", " normal"]}}}, files).labels == found.labels
    files["test/_classes.csv"] = "filename, other\n1.jpg, 1\n"
    found = labelled({"fracture": {"csv": rule}}, files)
    assert found.texts("unreadable_label")[0].startswith("test/_classes.csv is left out: ")
    assert found.labels == {"train/1.jpg": "|normal", "valid/1.jpg": "|fractured"}


@pytest.mark.parametrize("yes", ["1", "1.0", '"1,0"', "true", "TRUE", "T", "yes", "Y", "x"])
@pytest.mark.parametrize("no", ["0", "0.0", "false", "No", "n", "-", ""])
def test_words_for_yes_and_no_in_columns(yes: str, no: str) -> None:
    found = marked(f"k,hand,leg\na.jpg,{yes},{no}\nb.jpg,{no},{yes}\n", "a.jpg", "b.jpg")
    assert found.labels == {"a.jpg": "hand|", "b.jpg": "leg|"} and not found.notes


@pytest.mark.parametrize("word", ["2", "3.0", "-1", "0.7", "maybe"])
def test_what_is_neither_yes_nor_no_costs_its_row_and_is_never_a_no(word: str) -> None:
    found = marked(f"k,hand,leg\na.jpg,1,{word}\nb.jpg,1,0\nc.jpg,0,1\n", "a.jpg", "b.jpg", "c.jpg")
    assert found.labels == {"a.jpg": None, "b.jpg": "hand|", "c.jpg": "leg|"}
    assert f"line 2 has '{word}' in column leg, which is neither yes nor no" in found.texts("unreadable_label")[0]


def test_counts_in_columns_are_read_where_the_rule_says_so() -> None:
    text = "k,hand,leg\na.jpg,2,0\nb.jpg,3,1\nc.jpg,0,12.0\n"
    with pytest.raises(SourceError, match=r"2 of 3 rows|3 of 3 rows.*`counts: true`"):
        marked(text, "a.jpg", "b.jpg", "c.jpg")
    found = marked(text, "a.jpg", "b.jpg", "c.jpg", counts=True)
    assert found.labels == {"a.jpg": "hand|", "b.jpg": "hand+leg|", "c.jpg": "leg|"} and not found.notes


def test_a_blank_says_nothing_unless_values_have_a_word_for_it() -> None:
    text = "k,s\na.jpg,1\nb.jpg,\nc.jpg,1.0\n"
    rule = {"file": "t.csv", "key": "k", "column": "s", "values": {"1": "fractured"}}
    images = ("a.jpg", "b.jpg", "c.jpg")
    assert labelled({"fracture": {"csv": rule}}, {"t.csv": text}, *images).labels["b.jpg"] is None
    rule["values"] = {"1": "fractured", "": "non-fractured"}
    found = labelled({"fracture": {"csv": rule}}, {"t.csv": text}, *images).labels
    assert found == {"a.jpg": "|fractured", "b.jpg": "|non-fractured", "c.jpg": "|fractured"}


def test_values_are_found_in_other_letters_and_a_bar_is_between_words() -> None:
    found = read("image_id,part\na.jpg,HAND\nb.jpg,Left leg\nc.jpg,hip|knee\n", values={"Hand": "hand"})
    assert found.labels == {"a.jpg": "hand|", "b.jpg": "Left leg|", "c.jpg": "hip+knee|"}


def book(*sheets: list[list[object]]) -> bytes:
    made, buffer = openpyxl.Workbook(), io.BytesIO()
    made.remove(made.active)
    for number, rows in enumerate(sheets):
        sheet = made.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    made.save(buffer)
    return buffer.getvalue()


def test_excel_is_read_from_the_sheet_that_has_the_columns() -> None:
    rows: list[list[object]] = [["a title"], ["image_id", "n", "part", "flag"], ["a.jpg", 1, "hand", True]]
    rows += [["b.jpg", None, "leg"], [], ["c.jpg", 0.5, "hip", False]]
    data = book([["about"], ["this set"]], rows)
    assert read(data, name="t.xlsx").labels == PARTS
    assert read(data, name="dataset.csv").labels == PARTS, "known by its bytes"
    found = read(data, name="t.xlsx", column="flag", values={"true": "hand", "false": "leg"})
    assert found.labels == {"a.jpg": "hand|", "b.jpg": None, "c.jpg": "leg|"}
    with pytest.raises(SourceError, match="has no column region"):
        read(data, name="t.xlsx", column="region")
    numbers = book([["image_id", "part"], [1, "hand"], [2.0, "leg"]])
    assert read(numbers, "1.jpg", "2.jpg", name="t.xlsx").labels == {"1.jpg": "hand|", "2.jpg": "leg|"}


def test_json_lines_are_read_like_rows() -> None:
    items: list[object] = [{"image_id": "a.jpg", "part": "hand"}, {"image_id": "b.jpg", "part": ["leg"], "more": {}},
                           {"Image_ID": "c.jpg", "part": "hip"}]  # fmt: skip
    text = "\n".join(map(json.dumps, items))
    assert read(text, name="t.jsonl").labels == PARTS
    found = read(f"{text}\n" + "[" * 5000 + "\n{}\n", *PARTS, name="t.jsonl")
    assert found.labels == PARTS
    assert [text.partition(" line ")[2] for text in found.texts("unreadable_label")] == [
        "4 is no JSON object: mend the file",
        "5 has no image_id: correct the label rules",
    ]
    marks = '{"image_id": "a.jpg", "hand": true, "leg": false}\n{"image_id": "b.jpg", "hand": 0, "leg": 1}'
    found = read(marks, "a.jpg", "b.jpg", name="t.jsonl", column=None, columns=["hand", "leg"])
    assert found.labels == {"a.jpg": "hand|", "b.jpg": "leg|"}


def test_rows_without_a_file_and_files_without_a_row_are_told() -> None:
    rows = "".join(f"gone{number}.jpg,hand\r\n" for number in range(7))
    found = read(LINES + rows, *PARTS, "d.jpg")
    (absent,) = found.texts("absent_file")
    assert absent.startswith("dataset.csv names files that are not there: gone0.jpg") and absent.endswith("and 2 more")
    assert next(note.count for note in found.notes if note.kind == "absent_file") == 7
    assert found.texts("absent_row") == ["dataset.csv has no row for d.jpg"]


def test_an_image_with_two_patients_has_none_and_no_note_holds_an_id() -> None:
    notes: list[Note] = []
    text = "k,who\na.jpg,Ann\na.jpg,Bob\nb.jpg,Bob\n"
    rules = LabelRules.model_validate({"patient": {"csv": {"file": "t.csv", "key": "k", "column": "who"}}})
    found = rules.read_ids(source_files({"t.csv": text}, notes, "a.jpg", "b.jpg"))
    assert found == {"a.jpg": (None, None), "b.jpg": ("Bob", None)}
    assert [(note.kind, note.subject) for note in notes] == [("contradiction", "a.jpg")]
    assert not any("Ann" in note.text or "Bob" in note.text for note in notes)


FIELD = st.text(st.sampled_from('ab,;"\n\r\t |\0é0.5-x'), max_size=6)
ROWS = st.lists(st.lists(FIELD, min_size=1, max_size=4).map(",".join), max_size=8)


def is_told_or_labelled(text: bytes, name: str = "dataset.csv") -> None:
    rule = {"file": name, "key": "image_id", "column": "part"}
    found = outcome({"part": {"csv": rule}}, {name: text}, *PARTS)
    if isinstance(found, str):
        assert name in found
    else:
        assert found.kinds or None not in found.labels.values(), "an image without a label is named by a note"


@given(head=st.sampled_from(["image_id,part", "part;image_id", '"image_id"\tpart', ""]), rows=ROWS)
@example("image_id,part", ['"', '"'])
def test_any_text_is_read_told_of_or_refused(head: str, rows: list[str]) -> None:
    is_told_or_labelled("\n".join([head, *rows]).encode())


@settings(max_examples=200)
@given(data=st.data(), encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]))
def test_a_damaged_table_is_read_told_of_or_refused(data: st.DataObject, encoding: str) -> None:
    text = bytearray((LINES + "é.jpg,hand\r\n").encode(encoding))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        text[start : start + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    is_told_or_labelled(bytes(text))


EXCEL = book([["image_id", "part"], ["a.jpg", "hand"], ["b.jpg", "leg"], ["c.jpg", "hip"]])


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_excel_file_is_read_told_of_or_refused(data: st.DataObject) -> None:
    text = bytearray(EXCEL)
    start = data.draw(st.integers(4, len(text) - 1))
    text[start : start + data.draw(st.integers(1, 9))] = data.draw(st.binary(max_size=9))
    is_told_or_labelled(bytes(text), "t.xlsx")


@given(text=st.binary(max_size=80))
def test_any_bytes_are_no_table_or_one(text: bytes) -> None:
    is_told_or_labelled(text)
    is_told_or_labelled(text, "t.jsonl")
