"""Names of files as bytes: which code page they are in, where the archive does not say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

GIBBERISH = re.compile(r"[\u0370-\u03ff\u2190-\u25ff\u20a7\u0192\u00a0-\u00bf\u00f7\u207f]")
"""Letters that code page 437 gives for bytes of other code pages: frames, blocks, Greek, signs."""
CONFIDENT, AHEAD = 0.85, 0.2
"""Share of usual letters from which a code page is believed, and by how much it must surpass every other."""
RUSSIAN = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфё"
"""Russian letters, the most frequent first."""
DISTINCT_HANGUL = 8
"""Distinct syllables from which on text that may be Korean as well as Chinese is Korean."""


def guess(names: Iterable[bytes]) -> str | None:
    """The code page that names are in, which neither say theirs nor are ASCII.

    Names that are UTF-8 are UTF-8: text of another code page hardly ever is. Else the names have to consist of the
    usual letters of one code page, and not of another one's.

    Args:
        names: Of one archive.

    Returns:
        The name of Python's codec; None where the names fit several, or none.
    """
    raw = b"/".join(sorted(set(names)))
    if not raw or _decoded(raw, "utf-8") is not None:
        return "utf-8"
    shares = sorted(((_share(raw, page, usual), page) for page, usual in _PAGES.items()), reverse=True)
    (best, page), (second, rival) = shares[0], shares[1]
    if best < CONFIDENT:
        return None
    if {page, rival} == {"euc_kr", "gbk"} and best - second < AHEAD:
        syllables = set(_foreign(raw.decode("euc_kr")))
        return "euc_kr" if len(syllables) >= DISTINCT_HANGUL else None
    return page if best - second >= AHEAD else None


def is_gibberish(text: str) -> bool:
    """Whether a name, decoded as code page 437, shows that it is in another one."""
    return bool(GIBBERISH.search(text))


def readable(name: bytes, page: str, separator: str = "/") -> str:
    """A name in a code page.

    Args:
        name: The name.
        page: The name of Python's codec. Bytes that are none of it stand as `%E9`.
        separator: What stands for `/`, too.
    """
    text = name.decode(page, errors="surrogateescape").replace(separator, "/")
    return re.sub("[\udc80-\udcff]", lambda found: f"%{ord(found[0]) - 0xDC00:02X}", text)


def is_utf8(name: bytes) -> bool:
    """Whether a name is UTF-8."""
    return _decoded(name, "utf-8") is not None


def _decoded(raw: bytes, page: str) -> str | None:
    try:
        return raw.decode(page)
    except UnicodeDecodeError:
        return None


def _foreign(text: str) -> list[str]:
    return [letter for letter in text if not letter.isascii()]


def _share(raw: bytes, page: str, usual: Callable[[str], float]) -> float:
    """Share of the letters beyond ASCII that are usual in text of the code page, 0 to 1; 0 where it is none."""
    text = _decoded(raw, page)
    return usual(text) if text else 0.0


def _usual(page: str, *rows: tuple[int, int]) -> Callable[[str], float]:
    """Of double-byte code pages: the share of characters in the rows that the standard orders by use."""

    @cache
    def letters() -> frozenset[str]:
        codes = (bytes((lead, trail)) for first, last in rows for lead in range(first, last + 1)
                 for trail in range(0x40, 0xFF))  # fmt: skip
        return frozenset(letter for code in codes if (letter := _decoded(code, page)) and len(letter) == 1)

    def share(text: str) -> float:
        foreign = _foreign(text)
        return sum(letter in letters() for letter in foreign) / len(foreign)

    return share


def _cyrillic(text: str) -> float:
    """Share of Russian letters, where they are as frequent as they should be and capitals stand first."""
    foreign = _foreign(text)
    words = re.findall(r"[^\W\d_]+", text)
    mixed = sum(1 for word in words if re.search(r"[^\W\d_][А-ЯЁ]", word) and not word.isupper())
    odd = sum(1 for word in words if re.search("[A-Za-z]", word) and not word.isascii())
    frequent = sum(letter in RUSSIAN[:16] for letter in text.lower()) / len(foreign)
    share = sum(letter.lower() in RUSSIAN for letter in foreign) / len(foreign)
    return share if frequent >= 0.6 and not mixed and not odd else 0.0


def _latin(text: str) -> float:
    """Share of accented letters, where most letters of each word have no accent and the case fits."""
    foreign = _foreign(text)
    good = sum("LATIN" in unicodedata.name(letter, "") and letter.isalpha() for letter in foreign)
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    strange = any(map(_is_strange, words))
    return 0.0 if strange else good / len(foreign)


def _is_strange(word: str) -> bool:
    foreign, letters = len(_foreign(word)), len(word)
    is_cased = word[1:].islower() or word.isupper() or letters == 1
    return not is_cased or foreign == letters > 1 or (letters > 3 and 2 * foreign > letters)


_PAGES: dict[str, Callable[[str], float]] = {
    "cp932": _usual("cp932", (0x82, 0x83), (0x88, 0x97)),  # kana; kanji of JIS level 1
    "gbk": _usual("gb2312", (0xB0, 0xD7)),  # level 1 of GB 2312
    "big5": _usual("big5", (0xA4, 0xC6)),  # level 1
    "euc_kr": _usual("euc_kr", (0xB0, 0xC8)),  # syllables
    "cp1251": _cyrillic,
    "cp866": _cyrillic,
    "cp1252": _latin,
    "cp850": _latin,
}
