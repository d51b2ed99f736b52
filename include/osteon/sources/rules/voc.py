"""Pascal VOC: an XML file for each image, beside it or in a folder `Annotations`."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from xml.etree.ElementTree import Element

from osteon.errors import SourceError
from osteon.sources.base import is_hidden
from osteon.sources.rules.base import SourceFiles
from osteon.sources.rules.matching import (
    WITHOUT_ENDING,
    Names,
    find_members,
    match,
    match_or_refuse,
    plain_path,
)
from osteon.sources.strangers import read_strangers_xml


def classes(files: SourceFiles, file: str | None) -> dict[str, set[str]]:
    """Class names of the objects in each image that has an XML file.

    Args:
        files: The source.
        file: Path, pattern or folder of the XML files; all of the source where it is missing.

    Raises:
        SourceError: There is none, or so many are refused that the rest would mislead.
    """
    paths = find_members(files, file) if file else list(files.members)
    by_folder: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        plain = plain_path(path)
        if plain.lower().endswith(".xml") and not is_hidden(path):
            by_folder[posixpath.dirname(plain)][posixpath.basename(plain)[: -len(".xml")]] = path
    if not by_folder:
        raise SourceError(f"source {files.source}: there is no XML file: are its boxes in the form of Pascal VOC?")
    images, found, refused, read = Names(files.images), dict[str, set[str]](), list[tuple[str, str]](), 0
    problems: list[tuple[str, SourceError]] = []
    for folder, stems in by_folder.items():
        keys = _keys(files, images, stems, folder)
        try:
            matched = match_or_refuse(files, images, list(keys), folder or "/", folder, WITHOUT_ENDING)
        except SourceError as error:
            problems.append((folder or "/", error))
            continue
        for image, meant in matched.keys.items():
            read += 1
            try:
                found[image] = set().union(*(_objects(files, keys[key]) for key in meant))
            except ValueError as error:
                refused.append((keys[meant[0]], str(error)))
    files.refuse(refused, read, "label files")
    files.leave_out(problems, len(by_folder))
    return found


def _keys(files: SourceFiles, images: Names, stems: dict[str, str], folder: str) -> dict[str, str]:
    """What the XML files of a folder call their images: their own names, or else what stands in them."""
    absent = set(match(images, list(stems), folder).absent)
    return {(_file_name(files, path) if stem in absent else "") or stem: path for stem, path in stems.items()}


def _file_name(files: SourceFiles, path: str) -> str:
    """The name of the image that an XML file gives; empty where it gives none."""
    try:
        return (_root(files, path).findtext("filename") or "").strip()
    except ValueError:
        return ""


def _objects(files: SourceFiles, path: str) -> set[str]:
    """Names of the objects in an XML file. Raises `ValueError`, whose message goes on behind the file's name."""
    root = _root(files, path)
    if root.tag != "annotation":
        raise ValueError(f"is no Pascal VOC: its root is <{root.tag}>, not <annotation>")
    names = [(item.findtext("name") or "").strip() for item in root.iter("object")]
    if "" in names:
        raise ValueError("has an <object> without a <name>: export it anew")
    return set(names)


def _root(files: SourceFiles, path: str) -> Element:
    """The root of an XML file. Raises `ValueError`."""
    try:
        return read_strangers_xml(files.read(path))
    except (ValueError, SourceError) as error:
        raise ValueError(f"is no XML file that can be read ({error}): export it anew") from None
