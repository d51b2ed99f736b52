"""DICOM at the door: the tags that are kept, and what label rules may read of a header."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from osteon.errors import SourceError
from osteon.images.decode import decode
from osteon.images.dicom import read_header
from osteon.quality.checks.burnt_in_text import measure
from osteon.sources.base import COMPANION, PublishedFile
from osteon.sources.dicom import KEPT, admitted, kept_tags
from osteon.sources.discretion import discreet, without_names
from osteon.sources.notes import Note
from osteon.sources.rules import LabelRules, SourceFiles
from osteon.sources.rules.personal import is_personal
from tests.dicoms import SECRETS, STUDY, dicom, header, written
from tests.pictures import encode, film

LIMIT = 10**7
STORED = film(3).astype(np.uint16) * 16


def tags(**given: Any) -> dict[str, str]:
    return kept_tags(read_header(dicom(STORED, **given)))


def test_tags_of_the_list_are_kept_and_no_others() -> None:
    given = {
        "BodyPartExamined": "HAND", "ViewPosition": "PA", "Laterality": "L", "PixelSpacing": [0.15, 0.15],
        "ManufacturerModelName": "FilmReader 9000", "KVP": "60", "Exposure": "5", "PatientAge": "047Y",
        "PatientSex": "F", "BurnedInAnnotation": "NO",
    }  # fmt: skip
    assert tags(**given) == {
        "Modality": "CR", "BodyPartExamined": "HAND", "ViewPosition": "PA", "Laterality": "L",
        "PhotometricInterpretation": "MONOCHROME2", "PixelSpacing": "0.15\\0.15",
        "ManufacturerModelName": "FilmReader 9000", "KVP": "60", "Exposure": "5", "PatientAge": "40-49",
        "PatientSex": "F", "BurnedInAnnotation": "NO",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("age", "decade"),
    [("007Y", "0-9"), ("018M", "0-9"), ("090Y", "90+"), ("104Y", "90+"), ("47", "60-69"), (None, "60-69")],
)
def test_an_age_is_kept_as_ten_years(age: str | None, decade: str) -> None:
    assert tags(PatientAge=age)["PatientAge"] == decade, "from birth to study where the header gives no age"


@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ViewPosition", "ManufacturerModelName", "KVP", "PatientAge"])
def test_free_text_in_a_tag_of_the_list_is_left_out(keyword: str) -> None:
    element = read_header(dicom(STORED))
    element.add_new(keyword, "LO", "Hildegunde^Quillfeather, Zwetschgenweg")
    assert not any(secret in json.dumps(kept_tags(element)) for secret in SECRETS) and keyword in KEPT


def test_a_dicom_file_enters_as_its_film_alone() -> None:
    data = dicom(STORED, BodyPartExamined="WRIST")
    kept = admitted(PublishedFile("a/b.dcm", data), LIMIT)
    assert kept.data is not None and np.array_equal(np.asarray(Image.open(io.BytesIO(kept.data))), STORED)
    assert kept.published_sha256 == hashlib.sha256(data).hexdigest()
    assert kept.tags is not None and kept.tags["BodyPartExamined"] == "WRIST"
    jpeg = PublishedFile("c.jpg", encode(film(1)))
    assert admitted(jpeg, LIMIT) is jpeg
    report = admitted(PublishedFile("r.dcm", written(header(Modality="SR"))), LIMIT)
    assert report.data is None and str(report.reason).startswith("DICOM without pixels") and report.tags == {}
    listing = admitted(PublishedFile("disc/DICOMDIR", written(header(Modality=None))), LIMIT)
    assert listing.data is None and listing.reason == COMPANION


@pytest.mark.parametrize("path", ["a.dcm", "b", "c.jpg"])
def test_a_damaged_file_of_dicom_leaves_its_header_outside(path: str) -> None:
    data = bytearray(dicom(STORED))
    data[128:140] = bytes(12)  # the magic word, and the length of the meta header
    left = admitted(PublishedFile(path, bytes(data)), LIMIT)
    assert left.data is None or not any(secret.encode() in left.data for secret in SECRETS)
    assert left.published_sha256 and (left.data is None) == bool(left.reason)
    page = PublishedFile("d.jpg", b"<html>no film</html>")
    assert admitted(page, LIMIT) is page
    named = admitted(PublishedFile("e.dcm", b"Quillfeather"), LIMIT)
    assert named.data is None and "damaged DICOM" in str(named.reason)


@pytest.mark.parametrize("scale", [1, 3])
def test_burnt_in_text_is_blanked_on_request(scale: int) -> None:
    picture = Image.fromarray(film(4, longer=420 * scale))
    font = ImageFont.load_default(14 * scale)
    ImageDraw.Draw(picture).text((6 * scale, 5 * scale), "QUILLFEATHER 17.8.1951", fill=255, font=font)
    drawn = np.asarray(picture).astype(np.uint16) * 16
    plain, blanked = (admitted(PublishedFile("a.dcm", dicom(drawn)), LIMIT, blank) for blank in (False, True))
    assert plain.data and blanked.data and plain.tags and blanked.tags
    assert "TextBlanked" not in plain.tags and blanked.tags["TextBlanked"] == "YES"
    lines = [measure(decode(data, LIMIT))["text"] for data in (plain.data, blanked.data)]
    assert isinstance(lines[0], int) and lines[0] > 2 and isinstance(lines[1], int) and lines[1] <= 2
    before, after = (np.asarray(Image.open(io.BytesIO(data))) for data in (plain.data, blanked.data))
    changed = np.argwhere(before != after)
    assert len(changed) and changed[:, 0].max() < 40 * scale, "the film below the text is as it was"


def files(content: dict[str, bytes]) -> SourceFiles:
    return SourceFiles("s", tuple(content), tuple(content), content.__getitem__, list[Note]().append)


def test_rules_read_headers() -> None:
    content = {
        "a.dcm": dicom(STORED, BodyPartExamined="HAND", Laterality="R"),
        "b.dcm": dicom(STORED, BodyPartExamined="LOWER LEG", PatientID=None),
        "c.dcm": dicom(STORED)[:2000],
        "d.jpg": encode(film(1)),
    }
    rules = LabelRules.model_validate(
        {
            "part": {"dicom": "BodyPartExamined", "values": {"LOWER LEG": "leg"}},
            "fracture": {"dicom": "Laterality", "pattern": "(R)", "values": {"R": "normal"}},
            "patient": {"dicom": "PatientID"},
            "study": {"dicom": "StudyInstanceUID"},
        }
    )
    assert rules.read(files(content)) == {"a.dcm": "HAND|normal", "b.dcm": "leg|", "c.dcm": None, "d.jpg": None}
    ids = rules.read_ids(files(content))
    assert ids["a.dcm"] == ("PX-7734109", STUDY) and ids["b.dcm"] == (None, None) == ids["d.jpg"]


def test_only_tags_that_name_nobody_are_labels() -> None:
    for tag in ("PatientName", "PatientID", "StudyDescription"):
        with pytest.raises(ValidationError):
            LabelRules.model_validate({"part": {"dicom": tag}})
    with pytest.raises(ValidationError):
        LabelRules.model_validate({"part": {"constant": "hand"}, "patient": {"dicom": "PatientName"}})


def test_a_rule_that_finds_its_tag_nowhere_is_an_error_without_names() -> None:
    with pytest.raises(SourceError, match="says nothing of any of 1 images"):
        LabelRules.model_validate({"part": {"dicom": "ViewPosition"}}).read(files({"a.dcm": dicom(STORED)}))


def test_an_error_of_a_source_with_dicom_files_shows_no_name() -> None:
    content = {"Quillfeather_Hildegunde/IM1": dicom(STORED), "labels.csv": b""}
    told = "source s: labels.csv names Quillfeather_Hildegunde/IM1 twice (hildegunde, PX-7734109) and says two things"
    with (
        pytest.raises(SourceError) as error,
        discreet("s", '{"csv": {"file": "labels.csv"}}', False, lambda: list(content), content.__getitem__),
    ):
        raise KeyError(told)
    assert str(error.value).count("(hidden)") == 3 and error.value.__suppress_context__
    assert "KeyError" in str(error.value) and "labels.csv names (hidden) twice" in str(error.value)
    with pytest.raises(ValueError, match="Quillfeather"), discreet("s", "", False, lambda: ["a.jpg"], lambda path: b""):
        raise ValueError("Quillfeather")


def test_words_of_files_are_hidden_however_a_message_writes_them() -> None:
    paths = ["Müller Anna/1.dcm", "ward/x-ray.dcm"]
    told = without_names("ward holds m\\xfcller, M%C3%BCller, anna and 19510817; raise OSTEON_MAX_FILES", "", paths)
    assert told == "(hidden) holds (hidden), (hidden), (hidden) and (hidden); raise OSTEON_MAX_FILES"


@pytest.mark.parametrize(
    "name", ["N101, F, 15 Yrs.jpg", "DOE^JOHN.dcm", "Doe, John.png", "N26--Rt-TAIS--F--11-yrs_jpg.rf.4f28.jpg"]
)
def test_names_with_data_of_people_are_told(name: str) -> None:
    assert is_personal(name)


@pytest.mark.parametrize(
    "name",
    [
        "IMG0004143.jpg", "patient00005", "study1_positive", "image1.png", "XR_WRIST", "10_jpg.rf.a47b01eb09d7.jpg",
        "0001_1297860395_01_WRI-L1_M014.png", "5790_0827513187_02_WRI-R2_F009.png", "Left Hand.jpg", "Elbow Positive",
        "1.2.840.113619.2.5.1762583153.dcm", "IM-0001-0001.dcm", "IMG_20200101_101112.jpg", "00000123_001.png",
        "sunhl-1th-09-Jan-2017-210-A-AP_jpg.rf.8c0b.jpg", "Screenshot 2021-03-04 at 10.11.12.png", "labels.csv",
    ],
)  # fmt: skip
def test_names_of_public_data_sets_are_no_names_of_people(name: str) -> None:
    assert not is_personal(name), "GRAZPEDWRI-DX codes sex and age behind its own pseudonym, which names nobody"
