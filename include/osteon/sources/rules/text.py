"""Text of strangers' files: in which encoding it stands."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from typing import NamedTuple

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SINGLE = ("cp1252", "cp932", "gb18030", "big5", "euc_kr", "cp1251", "cp1250", "cp1253", "cp1254", "cp437")
"""Encodings that are tried where a file is no Unicode; the first stands for Western Europe."""
LOST = "\ufffd"
"""What stands for a byte that cannot be read."""


class Text(NamedTuple):
    """A file's text."""

    text: str
    guess: str = ""
    """The encoding, where nothing in the file says it."""


def decode(data: bytes, encoding: str | None = None, names: Iterable[str] = ()) -> Text:
    """The text of a file. It never fails: a byte that cannot be read becomes LOST.

    Args:
        data: The file.
        encoding: Its encoding, where a rule says it.
        names: Names that the text may hold: of several encodings the one that spells most of them counts.
    """
    if encoding:
        return Text(data.decode(encoding, "replace").removeprefix("\ufeff"))
    for mark, name in BOMS:
        if data.startswith(mark):
            return Text(data.decode(name, "replace"))
    if wide := _wide(data):
        return Text(data.decode(wide, "replace"), wide)
    try:
        return Text(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    if text.count(LOST) < sum(letter > "\x7f" for letter in text) / 2:
        return Text(text)  # most of it is UTF-8: a few bytes are damaged
    name = _spelling(data, names)
    try:
        return Text(data.decode(name), name)
    except UnicodeDecodeError:
        return Text(data.decode("latin-1"), "latin-1")


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark: of plain letters every other byte is zero."""
    some = data[:4096]
    even, odd = some[::2].count(0), some[1::2].count(0)
    if odd > 0.4 * len(some) / 2 and odd > 4 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 * len(some) / 2 and even > 4 * odd else None


def _spelling(data: bytes, names: Iterable[str]) -> str:
    """The encoding in which most of some names stand in the data."""
    special = [name for name in names if not name.isascii()][:200]

    def spelt(encoding: str) -> int:
        return sum(coded in data for name in special if (coded := name.encode(encoding, "ignore")) and len(coded) > 1)

    return max(SINGLE, key=spelt)
