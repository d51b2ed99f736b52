"""Labels and ids by the headers of DICOM files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from osteon.errors import SourceError
from osteon.sources.dicom import header_facts
from osteon.sources.rules.base import BaseRule, Pattern, Read, SourceFiles, Words
from osteon.sources.rules.paths import matched


class Dicom(BaseRule):
    """The label is a tag of the file's DICOM header; an image of another format says nothing."""

    dicom: Literal["BodyPartExamined", "ViewPosition", "Laterality", "Modality"]
    pattern: Pattern = "(.*)"
    values: dict[str, str] = Field(default_factory=dict)

    def compile(self, files: SourceFiles) -> Read:
        return lambda path: matched(self.pattern, _fact(files, path, self.dicom), self.values)


class DicomId(BaseRule):
    """The patient or the study is a tag of the file's DICOM header. It is stored as a pseudonym, and shown nowhere."""

    dicom: Literal["PatientID", "StudyInstanceUID"]

    def compile(self, files: SourceFiles) -> Read:
        def name(path: str) -> Words:
            found = _fact(files, path, self.dicom)
            return (found,) if found else ()

        return name


def _fact(files: SourceFiles, path: str, keyword: str) -> str:
    """What a file's header says; empty where it is no DICOM file, or cannot be read: ingest then says so of it."""
    if path not in files.headers:
        try:
            files.headers[path] = header_facts(files.read(path))
        except (SourceError, OSError):
            files.headers[path] = {}
    return files.headers[path].get(keyword, "")
