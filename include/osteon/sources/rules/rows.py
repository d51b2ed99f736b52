"""Rows of a table, whatever program wrote it: CSV in any dialect, Excel's `.xlsx`, and JSON Lines."""

from __future__ import annotations

import csv
import io
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from osteon.sources.rules.text import LOST, decode
from osteon.sources.strangers import read_strangers_json

DELIMITERS = (",", ";", "\t", "|")
HEAD_WITHIN = 20
"""Rows among which the one with the columns' names is looked for: titles may stand above it."""
MOST_RESTARTS = 1000
"""Times that reading goes on behind a broken row; a file with more is no table."""
MOST_UNPACKED = 256 << 20
"""Bytes that an Excel file may have when it is unpacked."""
ZIP, OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
Numbered = tuple[int, list[str] | None]
"""A line's number, from 1, and its fields; None where it cannot be split into fields."""


class Row(NamedTuple):
    """What a table says in one row."""

    line: int
    """From 1, as a text editor or Excel counts."""
    fields: dict[str, str]
    """By the names that were asked for, without blanks at the ends."""


@dataclass
class Rows:
    """The rows of a table."""

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Lines that are no rows of this table, and why."""
    guess: str = ""
    """What was assumed of the file, if anything."""


class Dialect(NamedTuple):
    """How a rule says that its table is written; None where it has to be found out."""

    delimiter: str | None = None
    encoding: str | None = None


def read_rows(
    data: bytes, path: str, wanted: Sequence[str], dialect: Dialect, names: Callable[[], Iterable[str]]
) -> Rows:
    """Read a table.

    Args:
        data: The file.
        path: Its path, whose ending tells JSON Lines. Excel files are known by their first bytes.
        wanted: Names of columns.
        dialect: What its rule says of it.
        names: Gives names that may stand in it, to find its encoding.

    Raises:
        ValueError: It is no table, or lacks a column. The message goes on behind the file's name.
    """
    if data.startswith(OLD_EXCEL):
        raise ValueError("is an Excel file of the old kind (.xls): save it as .xlsx or CSV")
    if data.startswith(ZIP):
        return _excel(data, wanted)
    data = data.rstrip(b"\0") if data[:4].count(0) == 0 else data
    if not data.strip():
        raise ValueError("is empty: give another `file`")
    text = decode(data, dialect.encoding, [] if data.isascii() else names())
    lines = text.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rows = _json_lines(lines, wanted) if _is_json_lines(path, lines) else _csv(lines, wanted, dialect.delimiter)
    if text.guess:
        rows.guess = f"is read as {text.guess}: set `encoding` in its label rules"
    return rows


def _csv(lines: list[str], wanted: Sequence[str], delimiter: str | None) -> Rows:
    """Rows of a CSV table. Of several delimiters that counts which gives the columns that are asked for."""
    if lines[0].lower().startswith("sep=") and len(lines[0]) == len("sep=") + 1:
        delimiter, lines = delimiter or lines[0][-1], ["", *lines[1:]]
    tried = [delimiter] if delimiter else list(DELIMITERS)
    problems: list[tuple[int, ValueError]] = []
    for sign in tried:
        try:
            return _tabular(_split(lines, sign), wanted)
        except ValueError as error:
            width = max(len(fields or ()) for _, fields in islice(_split(lines, sign), HEAD_WITHIN))
            problems.append((width, error))
    widest, problem = max(problems, key=lambda item: item[0])
    hint = "" if widest > 1 else "; set `delimiter` where it is none of comma, semicolon, tab and |"
    raise ValueError(f"{problem}{hint}")


def _split(lines: list[str], delimiter: str) -> Iterator[Numbered]:
    """The rows of a CSV text. A row that cannot be read costs its first line alone.

    Such is one that goes over several lines and has another number of fields than the row before: a quotation mark is
    missing, or too many.
    """
    start = restarts = width = 0
    while start < len(lines):
        rest = (f"{line}\n" for line in islice(lines, start, None))
        reader = csv.reader(rest, delimiter=delimiter, skipinitialspace=True, strict=True)
        begun = start
        try:
            for fields in reader:
                ended = start + reader.line_num
                if ended - begun > 1 and len(fields) != width:
                    raise csv.Error
                yield begun + 1, fields
                begun, width = ended, len(fields) or width
            return
        except csv.Error:
            yield begun + 1, None
            start = begun + 1
        restarts += 1
        if restarts > MOST_RESTARTS:
            raise ValueError(f"has more than {MOST_RESTARTS} lines that are no rows: write it anew")


def _excel(data: bytes, wanted: Sequence[str]) -> Rows:
    """The rows of the first sheet of an Excel file that has the columns."""
    problems: list[tuple[int, ValueError]] = []
    for sheet in _sheets(data):
        width = max(map(len, sheet), default=0)
        padded = ((number, cells + [""] * (width - len(cells))) for number, cells in enumerate(sheet, 1))
        try:
            return _tabular(padded, wanted)
        except ValueError as error:
            problems.append((width, error))
    raise (
        max(problems, key=lambda item: item[0])[1] if problems else ValueError("has no sheet: save it anew, or as CSV")
    )


def _sheets(data: bytes) -> list[list[list[str]]]:
    """The cells of all sheets."""
    import openpyxl

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > MOST_UNPACKED:
            raise MemoryError(f"{unpacked} bytes unpacked")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        return [[list(map(_cell, cells)) for cells in sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
    except Exception as error:  # openpyxl lets through whatever a broken file makes its parts raise
        raise ValueError(f"is no Excel file that can be read ({error!r}): save it anew, or as CSV") from error


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _tabular(numbered: Iterable[Numbered], wanted: Sequence[str]) -> Rows:
    """Rows below the one that names all columns that are asked for.

    Raises:
        ValueError: No row names them all, or one stands in two columns.
    """
    found, first = Rows(), list[str]()
    places: dict[str, int] = {}
    width = seen = 0
    for line, fields in numbered:
        if fields is not None and not any(text.strip() for text in fields):
            continue
        if not places:
            seen += 1
            head = [_plain(text) for text in fields or ()]
            names = [text.strip() for text in fields or () if text.strip()]
            first = names if len(names) > len(first) else first
            places = _places(head, wanted)
            width = len(head)
            if not places and seen > HEAD_WITHIN:
                break
            continue
        reason = _wrong(fields, width, places)
        if reason or fields is None:
            found.refused.append((line, reason))
        else:
            found.rows.append(Row(line, {name: fields[place].strip() for name, place in places.items()}))
    if not places:
        absent = [name for name in wanted if _plain(name) not in map(_plain, first)]
        there = ", ".join(first)
        raise ValueError(f"has no column {', '.join(absent or wanted)} (it has {there[:500]}): correct the label rules")
    return found


def _places(head: list[str], wanted: Sequence[str]) -> dict[str, int]:
    """Where each column stands; nothing where one is missing. Raises `ValueError` where a column stands twice."""
    if not {_plain(name) for name in wanted}.issubset(head):
        return {}
    twice = sorted({name for name in wanted if head.count(_plain(name)) > 1})
    if twice:
        raise ValueError(f"has two columns {', '.join(twice)}: mend its head")
    return {name: head.index(_plain(name)) for name in wanted}


def _wrong(fields: list[str] | None, width: int, places: dict[str, int]) -> str:
    """Why a line is no row of a table; empty where it is one."""
    if fields is None:
        return "is no row: a quotation mark is missing, or a field is too long"
    if len(fields) < width or any(text.strip() for text in fields[width:]):
        return "has another number of fields than the head: mend the table"
    if any(sign in fields[place] for place in places.values() for sign in ("\0", LOST)):
        return "holds bytes that are no text: mend the table, or set `encoding`"
    return ""


def _plain(name: str) -> str:
    """A column's name without regard to case and to blanks at its ends."""
    return unicodedata.normalize("NFC", name).strip("\ufeff \t\n").casefold()


def _is_json_lines(path: str, lines: list[str]) -> bool:
    first = next((line for line in lines if line.strip()), "")
    return path.lower().endswith((".jsonl", ".ndjson")) or first.lstrip().startswith('{"')


def _json_lines(lines: list[str], wanted: Sequence[str]) -> Rows:
    found = Rows()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = read_strangers_json(line.encode())
            if not isinstance(item, dict):
                raise ValueError
            found.rows.append(Row(number, _fields(item, wanted)))
        except KeyError as error:
            found.refused.append((number, f"has no {error.args[0]}: correct the label rules"))
        except ValueError:
            found.refused.append((number, "is no JSON object: mend the file"))
    if not found.rows:
        raise ValueError(f"has no line with {', '.join(wanted)}: correct the label rules")
    return found


def _fields(item: dict[str, Any], wanted: Sequence[str]) -> dict[str, str]:
    plain = {_plain(name): value for name, value in item.items()}
    fields = {}
    for name in wanted:
        if _plain(name) not in plain:
            raise KeyError(name)
        fields[name] = _json_text(plain[_plain(name)])
    return fields


def _json_text(value: object) -> str:
    """A field's text; several values are joined by `+`. Raises `ValueError` for objects."""
    if isinstance(value, list):
        return "+".join(map(_json_text, value))
    if isinstance(value, dict):
        raise ValueError
    return _cell(value).strip()
