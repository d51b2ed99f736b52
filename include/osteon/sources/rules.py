"""Label rules: how a published file's label is read from its folders, from a CSV table, or is the same for all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from osteon.errors import SourceError

OpenMember = Callable[[str], bytes]
"""Gives the bytes of a file of the source by its path; raises `KeyError` when there is none."""
Read = Callable[[str], str]
"""From a file's path to the publisher's words: `""` where nothing is said."""


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
    values: dict[str, str] = {}

    def compile(self, source: str, read: OpenMember) -> Read:
        def label(path: str) -> str:
            folders = PurePosixPath(path).parts[:-1]
            if not -len(folders) <= self.folder < len(folders):
                return ""
            name = folders[self.folder]
            return self.values.get(name, name)

        return label


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
        rows = csv.DictReader(io.StringIO(text))
        present = list(rows.fieldnames or [])
        wanted = [table.key, *([table.column] if table.column else table.columns)]
        absent = [name for name in wanted if name not in present]
        if absent:
            raise SourceError(
                f"source {source}: {table.file} has no column {', '.join(absent)} (it has {', '.join(present)}): "
                "correct the label rules"
            )
        words: dict[str, str] = {}
        for row in rows:
            name, word = (row[table.key] or "").strip(), self._word(row)
            if words.setdefault(name, word) != word:
                raise SourceError(
                    f"source {source}: {table.file} names {name} twice with labels {words[name]!r} and {word!r}: "
                    "use a key that is unique, or mend the table"
                )
        return lambda path: words.get(path, words.get(PurePosixPath(path).name, ""))

    def _word(self, row: dict[str, str]) -> str:
        table = self.csv
        if table.column is not None:
            word = (row[table.column] or "").strip()
            return table.values.get(word, word)
        marked = [name for name in table.columns if (row[name] or "").strip().lower() in ("1", "1.0", "true", "yes")]
        return "+".join(table.values.get(name, name) for name in marked)


def _kind(value: object) -> str | None:
    names = value.keys() if isinstance(value, dict) else type(value).model_fields if isinstance(value, _Rule) else ()
    return next((name for name in ("constant", "folder", "csv") if name in names), None)


Rule = Annotated[
    Annotated[Constant, Tag("constant")] | Annotated[Folder, Tag("folder")] | Annotated[Csv, Tag("csv")],
    Discriminator(_kind),
]


class LabelRules(_Rule):
    """One rule for the body part, one for the fracture state; either may be missing."""

    part: Rule | None = Field(None)
    fracture: Rule | None = Field(None)

    def compile(self, source: str, read: OpenMember) -> Callable[[str], str | None]:
        """A function from a path to `parts|fracture`, or None where neither is said. Raises `SourceError`."""
        part = self.part.compile(source, read) if self.part else lambda path: ""
        fracture = self.fracture.compile(source, read) if self.fracture else lambda path: ""

        def label(path: str) -> str | None:
            words = part(path), fracture(path)
            return "|".join(words) if any(words) else None

        return label
