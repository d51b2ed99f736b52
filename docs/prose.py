"""Measure the prose of Markdown files: the length of sentences, and words that the documents avoid.

`python docs/prose.py README.md docs/*.md` prints a line for each file. A file fails for any of these reasons:

- its sentences have more than AVERAGE words on average;
- a sentence has more than LONGEST words;
- a line does not hold exactly one sentence;
- it uses a word of `old_words.txt`.

Code, headings and HTML are not measured. Cells of tables must keep to LONGEST and avoid the words.

`python docs/prose.py --python include` measures docstrings and messages of Python files in the same way. It reports
them, and never fails. Each entry below `Args:`, `Returns:` or `Raises:` is a sentence of its own.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

AVERAGE, LONGEST = 15.0, 35
"""Words of a sentence: on average in a file, and of any one."""
MESSAGE = 4
"""A string of at least so many words in Python code counts as a message to a person."""
OLD_WORDS = Path(__file__).with_name("old_words.txt")
CODE = "CODE"
"""Stands for a piece of code, which counts as one word."""
ABBREVIATIONS = re.compile(r"\b(et al|e\.g|i\.e|vs|cf|approx|etc)\.")
BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]*]*(\s+)(?=[\"'(\[*]*[A-Z0-9])")
SECTION = re.compile(r"^(Args|Returns|Raises|Yields):\n((?:.+(?:\n|\Z))*)", re.MULTILINE)
"""A section of a Google-style docstring, up to an empty line."""
ENTRY = re.compile(r"\n(?=\w+: )")
MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass
class Measured:
    """What was measured in one file."""

    lengths: list[int] = field(default_factory=list)
    """Words of each sentence, cells of tables left out."""
    problems: list[str] = field(default_factory=list)

    @property
    def average(self) -> float:
        return sum(self.lengths) / len(self.lengths) if self.lengths else 0.0

    def line(self, name: str) -> str:
        longest = max(self.lengths, default=0)
        return f"{name:34} {len(self.lengths):5} sentences {self.average:6.1f} words each {longest:4} the longest"


def read_old_words(path: Path) -> dict[str, str]:
    """Words and their replacements, from lines such as `taught: trained`; lines that begin with # are comments."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {word.strip().lower(): instead.strip() for word, _, instead in pairs}


def measure(text: str, old_words: dict[str, str]) -> Measured:
    """Measure a Markdown text."""
    found = Measured()
    for line, block, is_cell in _blocks(text):
        for sentence in sentences(block):
            count = len(words(sentence))
            if not is_cell and count:
                found.lengths.append(count)
            if count > LONGEST:
                found.problems.append(f"line {line}: {count} words, at most {LONGEST}: {_begin(sentence)}")
        if not is_cell:
            found.problems += [f"line {line}: {problem}" for problem in _lines_that_are_not_sentences(block)]
        for word in re.findall(r"[\w-]+", block.lower()):
            if word in old_words:
                found.problems.append(f"line {line}: not `{word}`, but {old_words[word]}")
    if found.average > AVERAGE:
        found.problems.append(f"{found.average:.1f} words a sentence on average, at most {AVERAGE:g}")
    return found


def measure_python(source: str) -> Measured:
    """Measure docstrings and messages of a Python module; nothing of them is a problem yet."""
    found = Measured()
    for text in _texts(ast.parse(source)):
        found.lengths += measure(text, {}).lengths
    return found


def sentences(block: str) -> list[str]:
    """The sentences of a paragraph."""
    plain = ABBREVIATIONS.sub(lambda match: match[1], block)
    cuts = [0, *(match.end() for match in BOUNDARY.finditer(plain)), len(plain)]
    return [" ".join(plain[start:end].split()) for start, end in pairwise(cuts)]


def words(sentence: str) -> list[str]:
    """What counts as a word: anything between spaces that holds a letter or a digit."""
    return [word for word in sentence.split() if re.search(r"\w", word)]


def _lines_that_are_not_sentences(block: str) -> Iterator[str]:
    """What is wrong with a paragraph of which each line should be one sentence."""
    plain = ABBREVIATIONS.sub(lambda match: match[1], block)
    ends = {match.start(1): match[1] for match in BOUNDARY.finditer(plain)}
    for place, space in ends.items():
        if "\n" not in space:
            yield f"a line holds two sentences: {_begin(plain[place:].strip())}"
    for match in re.finditer(r"\n", plain):
        if match.start() not in ends:
            yield f"a sentence goes on in the next line: {_begin(plain[match.end() :])}"


def _begin(text: str) -> str:
    return " ".join(text.split()[:8])


def _blocks(text: str) -> Iterator[tuple[int, str, bool]]:
    """Line, text and whether it is a cell of a table, for each paragraph and each cell."""
    heading, cell, line = False, False, 0
    for token in MARKDOWN.parse(text):
        if token.type in ("heading_open", "heading_close"):
            heading = token.type == "heading_open"
        if token.type in ("td_open", "th_open", "td_close", "th_close"):
            cell = token.type.endswith("_open")
        line = token.map[0] + 1 if token.map else line
        if token.type == "inline" and not heading and not token.content.startswith(("--8<--", ":::")):
            yield line, _plain(token.children or []), cell


def _plain(tokens: Iterable[Token]) -> str:
    """The text of a paragraph, without markup."""
    text = ""
    for token in tokens:
        if token.type == "code_inline":
            text += CODE
        elif token.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif token.type == "text":
            text += token.content
    return text


def _texts(tree: ast.Module) -> Iterator[str]:
    """Docstrings, and strings of several words, of a module."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else CODE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        if len(words(text)) >= MESSAGE:
            yield SECTION.sub(_apart, "\n".join(line.strip() for line in text.splitlines()))


def _apart(section: re.Match[str]) -> str:
    """A section of a Google-style docstring, with a paragraph for each entry."""
    return f"{section[1]}\n\n" + ENTRY.sub("\n\n", section[2])


def main(arguments: list[str] | None = None) -> int:
    """Print what was measured. Returns the exit status: 1 where a Markdown file has a problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="Markdown files; with --python files or folders")
    parser.add_argument("--python", action="store_true", help="measure Python docstrings and messages, and only report")
    options = parser.parse_args(arguments)
    if options.python:
        files = [file for path in options.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
        results = {file: measure_python(file.read_text(encoding="utf-8")) for file in files}
    else:
        old_words = read_old_words(OLD_WORDS)
        results = {file: measure(file.read_text(encoding="utf-8"), old_words) for file in options.paths}
    for file, found in results.items():
        print(found.line(str(file)))
    print(Measured([count for found in results.values() for count in found.lengths]).line("all"))
    problems = (
        [] if options.python else [f"{file}: {text}" for file, found in results.items() for text in found.problems]
    )
    print("\n".join(problems), file=sys.stderr, end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
