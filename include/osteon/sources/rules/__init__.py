"""Label rules: what a publisher says of a file, by folders, name, header, a CSV table, boxes, or of all alike."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, Tag, model_validator

from osteon.errors import SourceError
from osteon.sources.rules.base import BaseRule, OpenMember, SourceFiles
from osteon.sources.rules.boxes import Boxes
from osteon.sources.rules.dicom import Dicom, DicomId
from osteon.sources.rules.paths import Constant, Folder, Name
from osteon.sources.rules.tables import Csv

__all__ = [
    "Boxes", "Constant", "Csv", "Dicom", "DicomId", "Folder", "IdRule", "LabelRules", "Name", "OpenMember", "Rule",
    "SourceFiles",
]  # fmt: skip


def _kind(value: object) -> str | None:
    names = value.keys() if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseRule) else ()
    return next((name for name in ("constant", "folder", "name", "csv", "boxes", "dicom") if name in names), None)


Rule = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Name, Tag("name")]
    | Annotated[Csv, Tag("csv")]
    | Annotated[Boxes, Tag("boxes")]
    | Annotated[Dicom, Tag("dicom")],
    Discriminator(_kind),
]
IdRule = Annotated[
    Annotated[Folder, Tag("folder")]
    | Annotated[Name, Tag("name")]
    | Annotated[Csv, Tag("csv")]
    | Annotated[DicomId, Tag("dicom")],
    Discriminator(_kind),
]
"""A rule for ids. Neither a constant nor a box names a patient."""


class LabelRules(BaseRule):
    """One rule for the body part, one for the fracture state, one for the patient and one for the study.

    Each may be missing. A study is one examination of a patient. Names of studies repeat across patients (`study1`), so
    `study` needs `patient`.
    """

    part: Rule | None = Field(None)
    fracture: Rule | None = Field(None)
    patient: IdRule | None = Field(None)
    study: IdRule | None = Field(None)

    @model_validator(mode="after")
    def _ids_can_be_told(self) -> LabelRules:
        for name, rule in (("patient", self.patient), ("study", self.study)):
            if isinstance(rule, Csv) and rule.csv.column is None:
                raise ValueError(f"`{name}` is one `column` of its table, not `columns`")
        if self.study and not self.patient:
            raise ValueError("`study` needs a rule for `patient`: names of studies repeat across patients")
        return self

    def read(self, files: SourceFiles) -> dict[str, str | None]:
        """For each image `parts|fracture`, or None where neither is said.

        Raises `SourceError`, also for a rule that says nothing of any image, or finds no box in any: it does not fit
        what is published.
        """
        part = self._words("part", self.part, files)
        fracture = self._words("fracture", self.fracture, files)
        said = zip(files.images, part, fracture, strict=True)
        return {path: "|".join(words) if any(words) else None for path, *words in said}

    def read_ids(self, files: SourceFiles) -> dict[str, tuple[str | None, str | None]]:
        """For each image the publisher's own ids of its patient and its study, None where it names none.

        A study without a patient is none. Raises `SourceError`, also for a rule that says nothing of any image; no
        message holds an id.
        """
        patients = self._words("patient", self.patient, files)
        studies = self._words("study", self.study, files)
        said = zip(files.images, patients, studies, strict=True)
        return {path: (patient or None, (patient and study) or None) for path, patient, study in said}

    def _words(self, name: str, rule: Rule | IdRule | None, files: SourceFiles) -> list[str]:
        if rule is None:
            return [""] * len(files.images)
        words = list(map(rule.compile(files), files.images))
        nothing = {"", rule.none} if isinstance(rule, Boxes) else {""}
        if nothing.issuperset(words):
            raise SourceError(
                f"source {files.source}: its rule for `{name}` says nothing of any of {len(files.images)} images: see "
                "whether names, folders and tables are as it expects, and mend its `labels`"
            )
        return words
