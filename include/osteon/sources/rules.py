"""Label rules: what a publisher says of a file, by its folders, its name, a CSV table, its boxes, or of all alike."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from csv import DictReader
from csv import Error as CsvError
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from osteon.errors import SourceError

OpenMember = Callable[[str], bytes]
"""Gives the bytes of a file of the source by its path; raises `KeyError` when there is none."""
Read = Callable[[str], str]
"""From a file's path to the publisher's words: `""` where nothing is said."""


def _has_a_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if not groups:
        raise ValueError(f"{pattern!r} has no group: put the part that counts in parentheses")
    return pattern


Pattern = Annotated[str, AfterValidator(_has_a_group)]
"""Regular expression for a whole name; what its first group matches is looked up in `values`."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constant(_Rule):
    """Every file has the same label."""

    constant: str

    def compile(self, source: str, read: OpenMember) -> Read:
        return lambda path: self.constant


class Folder(_Rule):
    """The label is the name of one of the file's folders: 0 is the outermost, -1 the one the file lies in."""

    folder: int
    pattern: Pattern = "(.*)"
    values: dict[str, str] = {}

    def compile(self, source: str, read: OpenMember) -> Read:
        def label(path: str) -> str:
            folders = PurePosixPath(path).parts[:-1]
            if not -len(folders) <= self.folder < len(folders):
                return ""
            return _matched(self.pattern, folders[self.folder], self.values)

        return label


class FileName(_Rule):
    """How a file's name is read."""

    pattern: Pattern
    values: dict[str, str] = {}


class Name(_Rule):
    """The label is part of the file's own name: with its ending, without its folders."""

    name: FileName

    def compile(self, source: str, read: OpenMember) -> Read:
        return lambda path: _matched(self.name.pattern, PurePosixPath(path).name, self.name.values)


def _matched(pattern: str, name: str, values: dict[str, str]) -> str:
    match = re.fullmatch(pattern, name)
    word = match[1] or "" if match else ""
    return values.get(word, word)


class Table(_Rule):
    """Where the labels stand in a CSV file of the source."""

    file: str
    key: str
    """The column that holds the file's name, or its whole path."""
    column: str | None = None
    """The column that holds the label."""
    columns: tuple[str, ...] = ()
    """Instead: columns that hold 1 where their name is a label of the file; several may."""
    values: dict[str, str] = {}

    @model_validator(mode="after")
    def _one_of(self) -> Table:
        if (self.column is None) == (not self.columns):
            raise ValueError("give either `column` or `columns`")
        return self


class Csv(_Rule):
    """The label stands in a CSV table."""

    csv: Table

    def compile(self, source: str, read: OpenMember) -> Read:
        table = self.csv
        try:
            text = read(table.file).decode("utf-8-sig")
        except KeyError:
            raise SourceError(
                f"source {source}: there is no {table.file}: correct `csv.file` in its label rules"
            ) from None
        except UnicodeDecodeError as error:
            raise SourceError(f"source {source}: {table.file} is not UTF-8 ({error}): convert it") from None
        rows = DictReader(io.StringIO(text))
        present = list(rows.fieldnames or [])
        twice = sorted({name for name in present if present.count(name) > 1})
        if twice:
            raise SourceError(f"source {source}: {table.file} has two columns {', '.join(twice)}: mend its head")
        wanted = [table.key, *([table.column] if table.column else table.columns)]
        absent = [name for name in wanted if name not in present]
        if absent:
            raise SourceError(
                f"source {source}: {table.file} has no column {', '.join(absent)} (it has {', '.join(present)}): "
                "correct the label rules"
            )
        words: dict[str, str] = {}
        for row in self._rows(source, rows, wanted):
            name, word = (row[table.key] or "").strip(), self._word(row)
            if words.setdefault(name, word) != word:
                raise SourceError(
                    f"source {source}: {table.file} names {name} twice and says two things of it: "
                    "use a key that is unique, or mend the table"
                )
        taken: dict[str, str] = {}

        def label(path: str) -> str:
            name = path if path in words else PurePosixPath(path).name
            if name in words and taken.setdefault(name, path) != path:
                raise SourceError(
                    f"source {source}: {table.file} names {name}, which may be {taken[name]} or {path}: "
                    "use whole paths as keys, or leave one out by `images`"
                )
            return words.get(name, "")

        return label

    def _rows(self, source: str, rows: DictReader[str], wanted: list[str]) -> Iterator[dict[str, str]]:
        try:
            for row in rows:
                if None in row or any(row[name] is None for name in wanted):
                    raise SourceError(
                        f"source {source}: {self.csv.file}, line {rows.line_num} has another number of fields than "
                        "the head: mend the table"
                    )
                yield row
        except CsvError as error:
            raise SourceError(f"source {source}: {self.csv.file}, line {rows.line_num}: {error}") from None

    def _word(self, row: dict[str, str]) -> str:
        table = self.csv
        if table.column is not None:
            word = (row[table.column] or "").strip()
            return table.values.get(word, word)
        marked = [name for name in table.columns if (row[name] or "").strip().lower() in ("1", "1.0", "true", "yes")]
        return "+".join(table.values.get(name, name) for name in marked)


class Boxes(_Rule):
    """The label is the class names of the boxes drawn in the image, of a YOLO or a COCO export."""

    boxes: Literal["yolo", "coco"]
    values: dict[str, str] = {}
    """Words for class names; `""` for a class that says nothing here."""
    none: str = ""
    """The word for an annotated image without any box."""

    def compile(self, source: str, read: OpenMember) -> Read:
        classes = (_yolo if self.boxes == "yolo" else _coco)(source, read)

        def label(path: str) -> str:
            found = classes(path)
            if found is None:
                return ""
            if not found:
                return self.none
            words = (self.values.get(name, name) for name in sorted(found))
            return "+".join(dict.fromkeys(word for word in words if word))

        return label


def _yolo(source: str, read: OpenMember) -> Callable[[str], set[str] | None]:
    """Class names in `labels/NAME.txt` beside `images/NAME.jpg`; None where there is no such file.

    A line is `class x y width height`, the class a number into `names` of `data.yaml` (Ultralytics' format).
    """
    try:
        names = yaml.safe_load(read("data.yaml"))["names"]
        by_number = dict(names) if isinstance(names, dict) else dict(enumerate(names))
    except KeyError:
        raise SourceError(f"source {source}: there is no data.yaml with `names`: is it a YOLO export?") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise SourceError(f"source {source}: data.yaml cannot be read: {error}") from None

    def classes(path: str) -> set[str] | None:
        parts = PurePosixPath(path).with_suffix(".txt").parts
        place = len(parts) - 1 - parts[::-1].index("images") if "images" in parts else None
        if place is None:
            return None
        table = "/".join((*parts[:place], "labels", *parts[place + 1 :]))
        try:
            lines = read(table).decode("utf-8").splitlines()
            return {str(by_number[int(line.split()[0])]) for line in lines if line.strip()}
        except KeyError as error:
            if isinstance(error.args[0], int):
                raise SourceError(f"source {source}: {table} has class {error}, data.yaml names no such") from None
            return None
        except ValueError as error:
            raise SourceError(f"source {source}: {table} is no YOLO label file: {error}") from None

    return classes


def _coco(source: str, read: OpenMember) -> Callable[[str], set[str] | None]:
    """Class names in `_annotations.coco.json` beside the image; None where there is none, or it does not list it."""

    @cache
    def table(folder: str) -> dict[str, set[str]]:
        place = f"{folder}/_annotations.coco.json" if folder != "." else "_annotations.coco.json"
        try:
            text = read(place)
        except KeyError:
            return {}
        try:
            content = json.loads(text)
            category = {item["id"]: str(item["name"]) for item in content["categories"]}
            names = {item["id"]: str(item["file_name"]) for item in content["images"]}
            if len(names) < len(content["images"]):
                raise SourceError(f"source {source}: {place} gives an image's id twice: export it anew")
            found: dict[str, set[str]] = {name: set() for name in names.values()}
            for item in content["annotations"]:
                found[names[item["image_id"]]].add(category[item["category_id"]])
        except (ValueError, TypeError, LookupError) as error:
            raise SourceError(f"source {source}: {place} is no COCO file ({error!r})") from None
        return found

    return lambda path: table(str(PurePosixPath(path).parent)).get(PurePosixPath(path).name)


def _kind(value: object) -> str | None:
    names = value.keys() if isinstance(value, dict) else type(value).model_fields if isinstance(value, _Rule) else ()
    return next((name for name in ("constant", "folder", "name", "csv", "boxes") if name in names), None)


Rule = Annotated[
    Annotated[Constant, Tag("constant")]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Name, Tag("name")]
    | Annotated[Csv, Tag("csv")]
    | Annotated[Boxes, Tag("boxes")],
    Discriminator(_kind),
]
IdRule = Annotated[
    Annotated[Folder, Tag("folder")] | Annotated[Name, Tag("name")] | Annotated[Csv, Tag("csv")],
    Discriminator(_kind),
]
"""A rule for ids. Neither a constant nor a box names a patient."""


class LabelRules(_Rule):
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

    def read(self, source: str, paths: list[str], read: OpenMember) -> dict[str, str | None]:
        """For each image `parts|fracture`, or None where neither is said.

        Raises `SourceError`, also for a rule that says nothing of any image, or finds no box in any: it does not fit
        what is published.
        """
        part = self._words("part", self.part, source, paths, read)
        fracture = self._words("fracture", self.fracture, source, paths, read)
        said = zip(paths, part, fracture, strict=True)
        return {path: "|".join(words) if any(words) else None for path, *words in said}

    def read_ids(self, source: str, paths: list[str], read: OpenMember) -> dict[str, tuple[str | None, str | None]]:
        """For each image the publisher's own ids of its patient and its study, None where it names none.

        A study without a patient is none. Raises `SourceError`, also for a rule that says nothing of any image; no
        message holds an id.
        """
        patients = self._words("patient", self.patient, source, paths, read)
        studies = self._words("study", self.study, source, paths, read)
        said = zip(paths, patients, studies, strict=True)
        return {path: (patient or None, (patient and study) or None) for path, patient, study in said}

    def _words(self, name: str, rule: Rule | None, source: str, paths: list[str], read: OpenMember) -> list[str]:
        if rule is None:
            return [""] * len(paths)
        words = list(map(rule.compile(source, read), paths))
        nothing = {"", rule.none} if isinstance(rule, Boxes) else {""}
        if nothing.issuperset(words):
            raise SourceError(
                f"source {source}: its rule for `{name}` says nothing of any of {len(paths)} images: see whether "
                "names, folders and tables are as it expects, and mend its `labels`"
            )
        return words
