"""Names of files that seem to hold data of a person. They are counted, and shown nowhere."""

from __future__ import annotations

import re
from datetime import date

HIDDEN = "a name that seems to hold data of a person"
AGE = re.compile(r"(?<![a-z0-9])\d{1,3}[\s_-]*(?:yrs?|years?|y[./]?o)(?![a-z])", re.IGNORECASE)
CARET = re.compile(r"[^\W\d_]{2,}\^[^\W\d_]")
"""A name as DICOM writes it: `SMITH^JOHN`."""
TITLE = re.compile(r"(?<![A-Za-z])(?:Mrs?|Ms|Herr|Frau)[._ ]+[A-Z][a-z]{2,}")
BIRTH = re.compile(r"(?<![A-Za-z])(?:dob|geb|born|ssn|mrn)[._ :=-]*\d{4,}", re.IGNORECASE)
DATE = re.compile(r"(?<!\d)(?:(\d{4})[-._]?(\d{2})[-._]?(\d{2})|(\d{1,2})[-._](\d{1,2})[-._](\d{4}))(?!\d)")
WORD = re.compile(r"[^\W\d_]+")
COMMA = re.compile(r"^([A-Z][^\W\d_]+), ?([A-Z][^\W\d_]+)")
SEX_AGE = re.compile(r"(?<![^\W_])(?:[MF][\s,_-]{1,2}\d{1,3}|\d{1,3}[\s,_-]{1,2}[MF])(?![^\W_])")
_WORDS = """
abnormal age ankle ap arm augmented axial back bone bones broken camera case chest clavicle coronal cr data dataset
date digital disease dr dx elbow end exam export femur fibula file film finger fingers foot forearm fracture fractured
hand hands healthy hip hips humerus image images img jpeg jpg knee knees lat lateral left leg legs lumbar medical neck
negative new normal not oblique original pa page part patient patients pelvis photo photograph picture png positive
post pre radiograph radiographs radiology radius report resized right roi rf rotated sagittal sample scan scanned
screen screenshot series shoulder shot side sitting slice snapshot spine standing study test thorax tibia toe train
trauma ulna unknown upper valid validation version view weight whatsapp wri wrist wrists xr xray ray the of and at in
on de da la le von van jan feb mar apr may jun jul aug sep oct nov dec january february march april june july august
september october november december copy final cast implant metal plate screw before after surgery followup follow up
control non no yes true false
"""
COMMON = frozenset(_WORDS.split())
"""Words of radiology, of cameras and of folders, which are no names of people."""


def is_personal(name: str) -> bool:
    """Whether one file's or folder's name seems to hold a person's name with more, a title, or an age."""
    if any(pattern.search(name) for pattern in (AGE, CARET, TITLE, BIRTH)):
        return True
    if (found := COMMA.match(name)) and _are_names(found[1], found[2]):
        return True
    words = WORD.findall(re.sub(r"\.\w{1,5}$", "", name))
    names = [word for word in words if len(word) > 1 and word[0].isupper()]
    has_name = len(names) >= 2 and len(words) <= 4 and _are_names(*names)
    return has_name and (_has_date(name) or SEX_AGE.search(name) is not None)


def shown(path: str) -> str:
    """The path as messages may show it."""
    return HIDDEN if any(map(is_personal, re.split(r"[/\\]", path))) else path


def _are_names(*words: str) -> bool:
    return not any(word.casefold() in COMMON for word in words)


def _has_date(name: str) -> bool:
    for found in DATE.finditer(name):
        year, month, day = (int(text) for text in (found.groups()[:3] if found[1] else found.groups()[:2:-1]))
        try:
            if date(1900, 1, 1) <= date(year, month, day) <= date.today():
                return True
        except ValueError:
            continue
    return False
