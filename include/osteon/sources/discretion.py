"""What may be told of a source whose paths name patients: no message holds a file's or a folder's name of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from osteon.errors import OsteonError, SourceError
from osteon.images.content import HEAD, content_of
from osteon.sources.dicom import is_named_as_dicom
from osteon.sources.rules.personal import is_personal

HIDDEN = "(hidden)"
MOST_READ = 200
"""About so many files, evenly spread, are looked at for what they are."""
PLAIN = re.compile(r"[a-z]+|[A-Z]?[a-z]+-?[a-z]*|OSTEON_[A-Z_]+|UTF-8|CSV|COCO|YOLO|DICOM")
"""Words of a message that are no names, unless a file or a folder is called so."""


def parts_of(path: str) -> list[str]:
    """Names of a file and of its folders."""
    return [part for part in re.split(r"[/\\]", path) if part]


def names_people(paths: Iterable[str], read: Callable[[str], bytes]) -> bool:
    """Whether a source holds DICOM files, so that its paths may name patients.

    Args:
        paths: All its files.
        read: Gives the bytes of one. It may raise. It is asked for some files only, and only where no path is named as
            one of DICOM.
    """
    paths = list(paths)
    some = paths[:: max(len(paths) // MOST_READ, 1)]
    return any(map(is_named_as_dicom, paths)) or any(_is_dicom(path, read) for path in some)


def _is_dicom(path: str, read: Callable[[str], bytes]) -> bool:
    try:
        return content_of(read(path)[:HEAD]).role == "dicom"
    except Exception:  # what cannot be read tells nothing of its kind
        return False


@contextmanager
def discreet(
    source: str, entry: str, hides: bool, paths: Callable[[], list[str]], read: Callable[[str], bytes]
) -> Iterator[None]:
    """Let no error out of the block that shows a name which is to be hidden.

    Args:
        source: Its name.
        entry: The source's entry, whose own words may be shown.
        hides: Whether its paths are hidden anyway.
        paths: Gives all its files, as far as they are known.
        read: Gives the bytes of one; see `names_people`.

    Raises:
        SourceError: An error of the block, without such names.
    """
    try:
        yield
    except Exception as error:
        known = [*paths(), *str(error).split()]  # a message may name a file that is not listed yet
        if hides or names_people(known, read):
            told = without_names(str(error), entry, paths())
        else:
            told = without_personal_names(str(error), paths())
            if told == str(error):
                raise
        prefix = "" if isinstance(error, OsteonError) else f"source {source}: {type(error).__name__}: "
        raise SourceError(prefix + told) from None


def shown(path: str, hides: bool = False) -> str:
    """A path as errors may show it: not one that is to be hidden, is of a DICOM file, or looks like a person's."""
    return HIDDEN if hides or is_named_as_dicom(path) or any(map(is_personal, parts_of(path))) else path


def without_personal_names(text: str, paths: Iterable[str]) -> str:
    """A message without names of files and folders that seem to hold data of a person."""
    for part in sorted({part for path in paths for part in parts_of(path) if is_personal(part)}, key=len, reverse=True):
        text = text.replace(part, HIDDEN)
    return text


def without_names(text: str, entry: str, paths: Iterable[str]) -> str:
    """A message of which only plain words and those of the source's entry are left.

    A name may be written in many ways, and tables hold more of them than paths do. So words are hidden unless they are
    known to be no names.
    """
    named = {word.lower() for path in paths for word in re.findall(r"[^\W\d_]+", path)}
    known = set(re.findall(r"[\w.*/-]+", entry)) - {""}

    def shown(found: re.Match[str]) -> str:
        word = found[0].strip(".,:;()'\"`!?")
        if not word or word in known or (PLAIN.fullmatch(word) and word.lower() not in named):
            return found[0]
        return found[0].replace(word, HIDDEN)

    return re.sub(r"\S+", shown, text)
