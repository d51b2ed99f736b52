"""Labels of a file by its path, or the same one for all files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pydantic import Field

from osteon.sources.rules.base import BaseRule, Pattern, Read, SourceFiles, Words
from osteon.sources.rules.matching import plain_path


class Constant(BaseRule):
    """Every file has the same label."""

    constant: str

    def compile(self, files: SourceFiles) -> Read:
        return lambda path: (self.constant,) if self.constant else ()


class Folder(BaseRule):
    """The label is the name of one of the file's folders: 0 is the outermost, -1 the one the file lies in."""

    folder: int
    pattern: Pattern = "(.*)"
    values: dict[str, str] = Field(default_factory=dict)

    def compile(self, files: SourceFiles) -> Read:
        def label(path: str) -> Words:
            folders = PurePosixPath(plain_path(path)).parts[:-1]
            if not -len(folders) <= self.folder < len(folders):
                return ()
            return _matched(self.pattern, folders[self.folder], self.values)

        return label


class FileName(BaseRule):
    """How a file's name is read."""

    pattern: Pattern
    values: dict[str, str] = Field(default_factory=dict)


class Name(BaseRule):
    """The label is part of the file's own name: with its ending, without its folders."""

    name: FileName

    def compile(self, files: SourceFiles) -> Read:
        return lambda path: _matched(self.name.pattern, PurePosixPath(plain_path(path)).name, self.name.values)


def _matched(pattern: str, name: str, values: dict[str, str]) -> Words:
    match = re.fullmatch(pattern, name)
    word = match[1] or "" if match else ""
    meaning = values.get(word, word)
    return (meaning,) if meaning else ()
