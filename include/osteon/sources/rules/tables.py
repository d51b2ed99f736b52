"""Labels in a CSV table of the source."""

from __future__ import annotations

import io
from collections.abc import Iterator
from csv import DictReader
from csv import Error as CsvError
from pathlib import PurePosixPath

from pydantic import Field, model_validator

from osteon.errors import SourceError
from osteon.sources.rules.base import BaseRule, Read, SourceFiles


class Table(BaseRule):
    """Where the labels stand in a CSV file of the source."""

    file: str
    key: str
    """The column that holds the file's name, or its whole path."""
    column: str | None = None
    """The column that holds the label."""
    columns: tuple[str, ...] = ()
    """Instead: columns that hold 1 where their name is a label of the file; several may."""
    values: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of(self) -> Table:
        if (self.column is None) == (not self.columns):
            raise ValueError("give either `column` or `columns`")
        return self


class Csv(BaseRule):
    """The label stands in a CSV table."""

    csv: Table

    def compile(self, files: SourceFiles) -> Read:
        table = self.csv
        try:
            text = files.read(table.file).decode("utf-8-sig")
        except KeyError:
            raise SourceError(
                f"source {files.source}: there is no {table.file}: correct `csv.file` in its label rules"
            ) from None
        except UnicodeDecodeError as error:
            raise SourceError(f"source {files.source}: {table.file} is not UTF-8 ({error}): convert it") from None
        rows = DictReader(io.StringIO(text))
        present = list(rows.fieldnames or [])
        twice = sorted({name for name in present if present.count(name) > 1})
        if twice:
            raise SourceError(f"source {files.source}: {table.file} has two columns {', '.join(twice)}: mend its head")
        wanted = [table.key, *([table.column] if table.column else table.columns)]
        absent = [name for name in wanted if name not in present]
        if absent:
            raise SourceError(
                f"source {files.source}: {table.file} has no column {', '.join(absent)} (it has {', '.join(present)}): "
                "correct the label rules"
            )
        words: dict[str, str] = {}
        for row in self._rows(files.source, rows, wanted):
            name, word = (row[table.key] or "").strip(), self._word(row)
            if words.setdefault(name, word) != word:
                raise SourceError(
                    f"source {files.source}: {table.file} names {name} twice and says two things of it: "
                    "use a key that is unique, or mend the table"
                )
        taken: dict[str, str] = {}

        def label(path: str) -> str:
            name = path if path in words else PurePosixPath(path).name
            if name in words and taken.setdefault(name, path) != path:
                raise SourceError(
                    f"source {files.source}: {table.file} names {name}, which may be {taken[name]} or {path}: "
                    "use whole paths as keys, or leave one out by `images`"
                )
            return words.get(name, "")

        return label

    def _rows(self, source: str, rows: DictReader[str], wanted: list[str]) -> Iterator[dict[str, str]]:
        try:
            for row in rows:
                if None in row or any(row[name] is None for name in wanted):
                    raise SourceError(
                        f"source {source}: {self.csv.file}, line {rows.line_num} has another number of fields "
                        "than the head: mend the table"
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
