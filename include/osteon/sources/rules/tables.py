"""Labels in tables of the source: CSV in any dialect, Excel, and JSON Lines."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from osteon.errors import SourceError
from osteon.sources.notes import Note
from osteon.sources.rules.base import BaseRule, Read, SourceFiles, Words, winning
from osteon.sources.rules.matching import Names, find_members, home_of, match_or_refuse
from osteon.sources.rules.reconcile import tell_silent
from osteon.sources.rules.rows import Dialect, Rows, read_rows

YES = frozenset({"1", "true", "t", "yes", "y", "x"})
NO = frozenset({"0", "false", "f", "no", "n", "-"})
"""Words of a column that says yes or no, in lower case. Numbers may have decimals: `1.0` and `1,0` are 1."""


def _known_encoding(name: str) -> str:
    try:
        "a".encode(name)
    except (LookupError, ValueError):
        raise ValueError(f"{name!r} is no encoding: use utf-8, latin-1, cp1252, utf-16, ...") from None
    return name


class Table(BaseRule):
    """Where the labels stand in a table of the source."""

    late: ClassVar = frozenset({"delimiter", "encoding", "counts", "any"})
    file: str
    """Its path, or a pattern for several tables (`*/_classes.csv`): each speaks of the files near it first."""
    key: str
    """The column that holds the file's name, or its whole path."""
    column: str | None = None
    """The column that holds the label."""
    columns: tuple[str, ...] = ()
    """Instead: columns that say yes where their name is a label of the file; several may."""
    values: dict[str, str] = Field(default_factory=dict)
    """Words for what stands in the table; `""` is a blank field."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """What stands between fields; found out where it is missing."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = None
    """Of its text; found out where it is missing."""
    counts: bool = False
    """Whether `columns` hold counts: a whole number above 0 is then a yes."""
    any: str = ""
    """The word that wins where the rows of one file say several."""

    @model_validator(mode="after")
    def _one_of(self) -> Table:
        if (self.column is None) == (not self.columns):
            raise ValueError("give either `column` or `columns`")
        if self.counts and not self.columns:
            raise ValueError("`counts` is about `columns`; use `values` for one `column`")
        return self

    def words(self, row: dict[str, str]) -> Words:
        """What a row says. Raises `ValueError` where a field of `columns` is neither yes nor no."""
        if self.column is not None:
            word = self.meaning(row[self.column])
            return (word,) if word else ()
        marked = [name for name in self.columns if self._is_marked(name, row[name])]
        words = (self.values.get(name, self.values.get(name.strip(), name.strip())) for name in marked)
        return tuple(dict.fromkeys(word for word in words if word))

    def meaning(self, text: str) -> str:
        """The word for what stands in a field; `1.0` is looked up as 1, and letters may be large or small."""
        for word in (text, _number(text)):
            if word in self.values:
                return self.values[word]
        alike = {meaning for word, meaning in self.values.items() if word.casefold() == text.casefold()}
        return alike.pop() if len(alike) == 1 else text

    def _is_marked(self, name: str, text: str) -> bool:
        word = _number(text).casefold()
        if word in YES or (self.counts and word.isdecimal() and int(word) > 0):
            return True
        if word in NO or not word or (self.counts and word.isdecimal()):
            return False
        remedy = "set `counts: true` if it counts" if word.isdecimal() else "correct the table"
        raise ValueError(f"has {text!r} in column {name.strip()}, which is neither yes nor no: {remedy}")


class Csv(BaseRule):
    """The label stands in a table."""

    csv: Table

    def compile(self, files: SourceFiles) -> Read:
        table, names = self.csv, Names(files.images)
        paths = find_members(files, table.file)
        said: dict[str, dict[str, None]] = {}
        problems: list[tuple[str, SourceError]] = []
        for path in paths:
            try:
                for image, words in self._table(files, path, names).items():
                    said.setdefault(image, {}).update(dict.fromkeys(words))
            except SourceError as error:
                problems.append((path, error))
        files.leave_out(problems, len(paths))
        tell_silent(files, said, table.file)
        return lambda path: winning(tuple(said.get(path, ())), table.any)

    def _table(self, files: SourceFiles, path: str, names: Names) -> dict[str, Words]:
        """What one table says of images. Raises `SourceError` where it cannot be read, or fits nothing."""
        table = self.csv
        wanted = [table.key, *([table.column] if table.column is not None else table.columns)]
        rows = self._rows(files, path, wanted)
        words, lines, refused = defaultdict[str, dict[str, None]](dict), 0, list(rows.refused)
        for row in rows.rows:
            lines += 1
            key = row.fields[table.key]
            try:
                if not key:
                    raise ValueError("names no file")
                words[key].update(dict.fromkeys(table.words(row.fields)))
            except ValueError as error:
                refused.append((row.line, str(error)))
        numbered = [(path, f"line {line} {text}") for line, text in sorted(refused)]
        files.refuse(numbered, lines + len(rows.refused), "rows")
        if not words:
            raise SourceError(f"source {files.source}: {path} has no row that names a file: give another `file`")
        found = match_or_refuse(files, names, list(words), path, home_of(path, names))
        said: dict[str, Words] = {}
        for image, keys in found.keys.items():
            if len({tuple(words[key]) for key in keys}) > 1:
                text = f"names {image} as {' and as '.join(keys)}, and says two things of it: correct the table"
                files.note(Note(kind="unreadable_label", subject=path, text=text))
                continue
            said[image] = tuple(words[keys[0]])
        return said

    def _rows(self, files: SourceFiles, path: str, wanted: Sequence[str]) -> Rows:
        dialect = Dialect(self.csv.delimiter, self.csv.encoding)
        try:
            rows = read_rows(files.read(path), path, wanted, dialect, lambda: _spellings(files))
        except ValueError as error:
            raise SourceError(f"source {files.source}: {path} {error}") from None
        if rows.guess:
            files.note(Note(kind="guess", subject=path, text=rows.guess))
        return rows


def _number(text: str) -> str:
    """A whole number as digits alone: `1.0` and `1,0` are `1`; any other text as it is."""
    found = re.fullmatch(r"(-?\d+)[.,]0*", text)
    return found[1] if found else text


def _spellings(files: SourceFiles) -> Iterator[str]:
    return (PurePosixPath(path).stem for path in files.members)
