"""DICOM files at the door of the lake: what is kept of them, and what goes no further.

Kept are the film, without loss, and the tags below; by the Basic Application Confidentiality Profile (PS3.15, Annex E)
all other elements are removed. Who is on a film and in which study only leaves this module where a label rule asks for
it. `osteon.pseudonyms` then makes a keyed hash of it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from osteon.images.content import HEAD, content_of
from osteon.images.errors import UndecodableError
from osteon.sources.base import COMPANION, PublishedFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

BLANKED = "TextBlanked"
"""Tag of Osteon's own: `YES` where lines of burnt-in text were blanked."""
DIRECTORY = "DICOMDIR"
"""Name of the file that lists a medium's files (PS3.10, 8.6). It names patients, and is a companion."""
SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
"""Endings that DICOM files have, where they have one."""
OLDEST = 90
"""Years of age from which on there is one group, as HIPAA's safe harbour asks for."""
UID_ROOT, DAMAGED_HEAD = b"1.2.840.10008.", 1 << 16
"""How UIDs of the standard begin (PS3.5, annex A), and bytes of a file that are searched for one."""
IDS = ("PatientID", "StudyInstanceUID")
"""Who is on a film, and in which study."""
Tags = dict[str, str]
"""What is kept of a header, by the keywords of DICOM's dictionary."""


def _code(value: Any) -> str:
    """A coded string (CS), as the standard writes it; empty for any other text."""
    word = str(value).strip().upper()
    return word if re.fullmatch(r"[A-Z0-9_ ]{1,16}", word) else ""


def _numbers(value: Any) -> str:
    """One or several finite numbers, joined by a backslash."""
    values = [value] if isinstance(value, (int, float, str)) else list(value)
    numbers = [float(number) for number in values]
    return "\\".join(f"{number:g}" for number in numbers) if all(map(math.isfinite, numbers)) else ""


def _model(value: Any) -> str:
    """Name of a device: letters, digits and a few signs."""
    name = str(value).strip()
    return name if re.fullmatch(r"[\w .,+/()-]{1,64}", name, re.ASCII) else ""


def _decade(value: Any) -> str:
    """An age string (AS) such as `047Y` as ten years: `40-49`."""
    found = re.fullmatch(r"(\d{1,3})([DWMY])", str(value).strip().upper())
    if not found:
        return ""
    years = int(found[1]) // {"D": 366, "W": 53, "M": 12, "Y": 1}[found[2]]
    return f"{OLDEST}+" if years >= OLDEST else f"{years // 10 * 10}-{years // 10 * 10 + 9}"


KEPT: dict[str, Callable[[Any], str]] = {
    "Modality": _code,
    "BodyPartExamined": _code,
    "ViewPosition": _code,
    "Laterality": _code,
    "ImageLaterality": _code,
    "PhotometricInterpretation": _code,
    "PixelSpacing": _numbers,
    "ImagerPixelSpacing": _numbers,
    "ManufacturerModelName": _model,
    "KVP": _numbers,
    "Exposure": _numbers,
    "BurnedInAnnotation": _code,
    "PatientSex": _code,
    "PatientAge": _decade,
}
"""The allow-list: tags that are kept, and how each is cleaned. What does not have its tag's form is left out."""


def kept_tags(header: Dataset) -> Tags:
    """What may be kept of a header, cleaned. What cannot be read is left out."""
    values = {keyword: _cleaned(header, keyword) for keyword in KEPT}
    values["PatientAge"] = values["PatientAge"] or _decade_by_dates(header)
    values["Laterality"] = values.pop("ImageLaterality") or values["Laterality"]
    return {keyword: value for keyword, value in values.items() if value}


def header_facts(data: bytes) -> Tags:
    """What label rules may read of a file: the tags that are kept, and the ids of patient and study.

    The ids must become pseudonyms. A file that is no DICOM file, or is damaged, says nothing.
    """
    from osteon.images.dicom import read_header

    if content_of(data[:HEAD]).role != "dicom":
        return {}
    try:
        header = read_header(data)
    except UndecodableError:
        return {}
    return kept_tags(header) | {keyword: _identity(header, keyword) for keyword in IDS}


def _identity(header: Dataset, keyword: str) -> str:
    try:
        return str(header.get(keyword) or "").strip()
    except Exception:  # a damaged element names nobody
        return ""


def _cleaned(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
        return "" if value is None else KEPT[keyword](value)
    except Exception:  # a damaged element says nothing
        return ""


def _decade_by_dates(header: Dataset) -> str:
    """The age on the day of the study, where the header does not give it."""
    try:
        born, day = (_date(str(header.get(keyword) or "")) for keyword in ("PatientBirthDate", "StudyDate"))
    except Exception:
        return ""
    if born is None or day is None or day < born:
        return ""
    return _decade(f"{min((day - born).days // 365, 999)}Y")


def _date(text: str) -> date | None:
    found = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", text.strip())
    return date(*map(int, found.groups())) if found else None


def admitted(file: PublishedFile, max_pixels: int, blank_text: bool = False) -> PublishedFile:
    """A file as it may enter the lake: a DICOM file as a PNG of its film, any other one unchanged.

    Args:
        file: As its publisher hands it out.
        max_pixels: Width times height from which on a film is left out.
        blank_text: Whether lines of burnt-in text are blanked.

    Returns:
        A file that has `tags` if it was DICOM. It has a reason instead of bytes where there is no film to keep.
    """
    if file.data is None or not may_be_dicom(file.path, file.data):
        return file
    from osteon.images.dicom import read_film, read_header, to_png, without_text  # most sources need no pydicom

    came = replace(file, data=None, published_sha256=hashlib.sha256(file.data).hexdigest(), tags={})
    try:
        tags = kept_tags(read_header(file.data))
        film = read_film(file.data, max_pixels)
        if blank_text:
            clean = without_text(film, max_pixels)
            tags |= {} if clean is film else {BLANKED: "YES"}
            film = clean
        return replace(came, data=to_png(film), tags=tags)
    except UndecodableError as error:
        directory = file.path.rsplit("/", 1)[-1].upper() == DIRECTORY
        return replace(came, reason=COMPANION if directory else str(error))


def may_be_dicom(path: str, data: bytes) -> bool:
    """Whether a file is DICOM, or may be a damaged one: no image, and named so or with a UID of the standard."""
    role = content_of(data[:HEAD]).role
    return role == "dicom" or (role != "image" and (is_named_as_dicom(path) or UID_ROOT in data[:DAMAGED_HEAD]))


def is_named_as_dicom(path: str) -> bool:
    """Whether a path says that it is one of a DICOM file or of a medium's directory."""
    name = path.rsplit("/", 1)[-1]
    return name.upper() == DIRECTORY or name.lower().endswith(SUFFIXES)
