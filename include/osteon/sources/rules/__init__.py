"""Label rules: what a publisher says of a file, by its folders, its name, a table, its boxes, or of all alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag, model_validator

from osteon.errors import SourceError
from osteon.sources.notes import Note
from osteon.sources.rules.base import BaseRule, OpenMember, SourceFiles, Words
from osteon.sources.rules.boxes import Boxes
from osteon.sources.rules.paths import Constant, Folder, Name
from osteon.sources.rules.personal import shown
from osteon.sources.rules.reconcile import Statement, by_folders, tell_counts, tell_personal, united
from osteon.sources.rules.tables import Csv

__all__ = [
    "Boxes",
    "Constant",
    "Csv",
    "Folder",
    "IdRule",
    "LabelRules",
    "Name",
    "OpenMember",
    "Rule",
    "SourceFiles",
    "tell_counts",
    "tell_personal",
]


def _kind(value: object) -> str | None:
    names = value.keys() if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseRule) else ()
    return next((name for name in ("constant", "folder", "name", "csv", "boxes") if name in names), None)


Rule = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Name, Tag("name")]
    | Annotated[Csv, Tag("csv")]
    | Annotated[Boxes, Tag("boxes")],
    Discriminator(_kind),
]
Rules = Rule | Annotated[list[Rule], Field(min_length=1)]
"""One rule, or several that must agree."""
IdRule = Annotated[
    Annotated[Folder, Tag("folder")] | Annotated[Name, Tag("name")] | Annotated[Csv, Tag("csv")],
    Discriminator(_kind),
]
"""A rule for ids. Neither a constant nor a box names a patient."""
REASONS_SHOWN = 3
"""Notes that the error of a rule without any label repeats."""


class LabelRules(BaseRule):
    """Rules for the body part and for the fracture state, and one each for the patient and the study.

    Each may be missing. `part` and `fracture` may be several rules that must agree. A study is one examination of a
    patient. Names of studies repeat across patients (`study1`), so `study` needs `patient`.
    """

    late: ClassVar = frozenset({"patient", "study"})
    part: Rules | None = Field(None)
    fracture: Rules | None = Field(None)
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

        An image of which rules say two fracture states gets both: `hand|fractured+non-fractured`.

        Raises:
            SourceError: A table or label file cannot be used, or a rule says nothing of any image or finds no box in
                any: it does not fit what is published.
        """
        part, fracture = self._label("part", self.part, files), self._label("fracture", self.fracture, files)
        said = {image: (_joined(part[image]), _joined(sorted(fracture[image]))) for image in files.images}
        return {image: "|".join(words) if any(words) else None for image, words in said.items()}

    def read_ids(self, files: SourceFiles) -> dict[str, tuple[str | None, str | None]]:
        """For each image the publisher's own ids of its patient and its study, None where it names none.

        A study without a patient is none, and neither are several patients of one image. No message holds an id.

        Raises:
            SourceError: As `read`.
        """
        patients, studies = self._id("patient", self.patient, files), self._id("study", self.study, files)
        return {image: (patients[image], patients[image] and studies[image]) for image in files.images}

    def _label(self, question: str, rules: Rules | None, files: SourceFiles) -> dict[str, Words]:
        """The words of each image by all rules for one question, and notes where they contradict each other."""
        several = rules if isinstance(rules, list) else [rules] if rules is not None else []
        statements = [Statement(_by(rule), _words(question, rule, files)) for rule in several]
        if question == "fracture" and several and not any(isinstance(rule, Folder) for rule in several):
            quiet = replace(files, note=lambda note: None)
            if by_folder := by_folders(files, united(quiet, question, statements)):
                statements.append(by_folder)
        return united(files, question, statements)

    def _id(self, question: str, rule: IdRule | None, files: SourceFiles) -> dict[str, str | None]:
        if rule is None:
            return dict.fromkeys(files.images)
        said = _words(question, rule, files)
        for image in (image for image, words in said.items() if len(words) > 1):
            text = f"has several {question} ids by {_by(rule)}: it gets none"
            files.note(Note(kind="contradiction", subject=shown(image), text=text))
        return {image: words[0] if len(words) == 1 else None for image, words in said.items()}


def _words(question: str, rule: Rule, files: SourceFiles) -> dict[str, Words]:
    """What one rule says. Raises `SourceError` where that is nothing at all."""
    notes: list[Note] = []

    def note(item: Note) -> None:
        notes.append(item)
        files.note(item)

    read = rule.compile(replace(files, note=note))
    said = {image: read(image) for image in files.images}
    nothing = {(), (rule.none,)} if isinstance(rule, Boxes) else {()}
    if nothing.issuperset(said.values()):
        reasons = "".join(f"; {item.subject} {item.text}" for item in notes[:REASONS_SHOWN])
        raise SourceError(
            f"source {files.source}: its rule for `{question}` says nothing of any of {len(files.images)} images: see "
            f"whether names, folders and tables are as it expects, and mend its `labels`{reasons}"
        )
    return said


def _by(rule: Rule) -> str:
    """Who says what a rule reads, for messages."""
    if isinstance(rule, Csv):
        return rule.csv.file
    if isinstance(rule, Boxes):
        return f"its {rule.boxes} boxes"
    if isinstance(rule, Folder):
        return "its folder"
    return "its name" if isinstance(rule, Name) else "the entry's constant"


def _joined(words: Sequence[str]) -> str:
    """Words with `+` between them, each once. A publisher's own `|` is between words, too."""
    return "+".join(dict.fromkeys(word for text in words for word in text.replace("|", "+").split("+") if word))
