"""YOLO exports: a text file for each image, and a file that names the classes.

A line is `class x y width height`, the class a number into the names. Polygons, key points and a confidence may follow,
and so may the corners of an oriented box. DOTA writes the corners first, then the class by its name.
"""

from __future__ import annotations

import math
import posixpath
from collections import defaultdict
from collections.abc import Iterator

from osteon.errors import SourceError
from osteon.sources.base import is_hidden
from osteon.sources.notes import Note
from osteon.sources.rules.base import SourceFiles, listed
from osteon.sources.rules.matching import (
    LABEL_ENDINGS,
    Names,
    find_members,
    folder_of,
    loose_without_ending,
    match,
    plain_path,
    without_ending,
)
from osteon.sources.rules.personal import shown
from osteon.sources.rules.text import decode
from osteon.sources.strangers import UnreadableError, read_strangers_yaml

USUAL = ("data.yaml", "meta.yaml", "dataset.yaml")
LISTS = ("classes.txt", "obj.names", "_darknet.labels")
"""Files of classes, one a line, that stand in for a YAML file."""
CORNERS = 8
"""Numbers of an oriented box."""


def classes(files: SourceFiles, file: str | None) -> dict[str, set[str]]:
    """Class names of the boxes in each image that has a label file.

    Args:
        files: The source.
        file: The file with the names of the classes, where the rule gives it.

    Raises:
        SourceError: The classes have no names, or so many label files are refused that the rest would mislead.
    """
    names, labels = _ClassNames(files, file), _label_files(files)
    if not labels:
        named = [path for path in files.members if posixpath.basename(path).lower() in USUAL]
        hint = "" if named else ", and there is no data.yaml with `names`"
        raise SourceError(
            f"source {files.source}: no image has a label file (`labels/NAME.txt` for `images/NAME.jpg`){hint}: "
            "is it a YOLO export?"
        )
    found: dict[str, set[str]] = {}
    refused: list[tuple[str, str]] = []
    for image, path in labels.items():
        known, where = names.of(image, path)
        try:
            found[image] = set(_read_boxes(files, path, known, where))
        except ValueError as error:
            refused.append((path, str(error)))
    files.refuse(refused, len(labels), "label files")
    if not refused:
        names.tell_unused(found)
    return found


class _ClassNames:
    """Names of classes by their numbers, from the file nearest to an image: in its folder or above it."""

    def __init__(self, files: SourceFiles, file: str | None) -> None:
        self._files = files
        self._given = find_members(files, file) if file else None
        self._by_folder: dict[tuple[str, str], tuple[dict[str, str], str]] = {}
        self._read: dict[str, dict[str, str]] = {}
        self._in_folder: dict[str, list[str]] = defaultdict(list)
        for path in files.members if self._given is None else self._given:
            if not is_hidden(path):
                self._in_folder[folder_of(path)].append(path)

    def of(self, image: str, label: str) -> tuple[dict[str, str], str]:
        """The names for an image and its label file, and the file that they stand in; none where there is no such.

        Raises:
            SourceError: The file cannot be used, or there are several.
        """
        folders = folder_of(image), folder_of(label)
        if folders not in self._by_folder:
            path = self._find(folders[0]) or self._find(folders[1])
            if path not in self._read:
                self._read[path] = self._names(path) if path else {}
            self._by_folder[folders] = self._read[path], path
        return self._by_folder[folders]

    def tell_unused(self, found: dict[str, set[str]]) -> None:
        """A note on each file that names classes which no label uses."""
        used = set[str]().union(*found.values())
        for path, names in self._read.items():
            if unused := [name for name in names.values() if name not in used]:
                text = f"names classes that no label uses: {listed(unused)}"
                self._files.note(Note(kind="unused_class", subject=path, text=text, count=len(unused)))

    def _find(self, folder: str) -> str:
        """The path of the file with the names; empty where there is none. Labels in DOTA's form need none."""
        if self._given is not None and len(self._given) == 1:
            return self._given[0]
        while True:
            if path := self._in(self._in_folder.get(folder, [])):
                return path
            if not folder:
                return ""
            folder = posixpath.dirname(folder)

    def _in(self, paths: list[str]) -> str | None:
        if self._given is not None:
            return paths[0] if paths else None
        by_name = {posixpath.basename(plain_path(path)).lower(): path for path in paths}
        for name in USUAL:
            if name in by_name:
                return by_name[name]
        others = [path for name, path in by_name.items() if name.endswith((".yaml", ".yml"))]
        named = [path for path in others if "names" in self._content(path)[0]]
        if len(named) > 1:
            raise SourceError(
                f"source {self._files.source}: the names of classes may stand in {listed(named)}: give one as `file`"
            )
        return next(iter(named), next((by_name[name] for name in LISTS if name in by_name), None))

    def _content(self, path: str) -> tuple[dict[str, object], str]:
        """A YAML file's fields, and why there are none. All values are strings: `yes` is a word."""
        try:
            content = read_strangers_yaml(decode(self._files.read(path)).text.encode())
        except UnreadableError as error:
            return {}, f" ({error})"
        return (content, "") if isinstance(content, dict) else ({}, "")

    def _names(self, path: str) -> dict[str, str]:
        if not path.lower().endswith((".yaml", ".yml")):
            lines = decode(self._files.read(path)).text.splitlines()
            return {str(number): line.strip() for number, line in enumerate(filter(str.strip, lines))}
        content, problem = self._content(path)
        names = content.get("names")
        pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
        found = {str(number): name.strip() for number, name in pairs if isinstance(name, str)}
        if not isinstance(names, dict | list) or len(found) < len(names):
            raise SourceError(
                f"source {self._files.source}: {path} has no list of words as `names`{problem}: correct it, "
                "or give another file as `file` in the label rules"
            )
        return found


def _label_files(files: SourceFiles) -> dict[str, str]:
    """The label file of each image: in `labels` where the image lies in `images`, or beside it."""
    exact, alike = dict[str, str](), dict[str, str]()
    for path in files.members:
        if path.lower().endswith(".txt") and not is_hidden(path):
            for place in _places(plain_path(path)):
                exact.setdefault(without_ending(place), path)
                alike.setdefault(loose_without_ending(place), path)
    found = {}
    for image in files.images:
        place = _in_images(plain_path(image))
        label = exact.get(without_ending(place)) or alike.get(loose_without_ending(place))
        if label:
            found[image] = label
    found = found or _elsewhere(files)
    _tell_absent(files, set(found.values()))
    return found


def _elsewhere(files: SourceFiles) -> dict[str, str]:
    """The label file of each image by its name alone, from where none lies where YOLO has them."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for path in files.members:
        plain = plain_path(path)
        if plain.lower().endswith(".txt") and not is_hidden(path) and not _is_list(plain):
            folders[posixpath.dirname(plain)][without_ending(posixpath.basename(plain))] = path
    found, names = dict[str, str](), Names(files.images)
    for folder, stems in folders.items():
        matched = match(names, list(stems), folder)
        if matched.keys:
            text = "is taken for the folder of label files: YOLO has them in `labels`"
            files.note(Note(kind="guess", subject=folder or "/", text=text, count=len(matched.keys)))
        found |= {image: stems[keys[0]] for image, keys in matched.keys.items() if len(keys) == 1}
    return found


def _tell_absent(files: SourceFiles, used: set[str]) -> None:
    """Notes on label files whose image is not there."""
    others = {
        loose_without_ending(_in_images(plain_path(path)))
        for path in files.members
        if not path.lower().endswith(LABEL_ENDINGS)
    }
    folders: dict[str, list[str]] = defaultdict(list)
    for path in files.members:
        plain = plain_path(path)
        folders_of = [part.casefold() for part in plain.split("/")[:-1]]
        if path in used or not plain.lower().endswith(".txt") or "labels" not in folders_of or is_hidden(path):
            continue
        if not others.intersection(map(loose_without_ending, _places(plain))) and not _is_list(plain):
            folders[folder_of(path)].append(path)
    for folder, paths in folders.items():
        text = f"has label files of images that are not there: {listed(map(posixpath.basename, paths))}"
        files.note(Note(kind="absent_file", subject=folder, text=text, count=len(paths)))


def _is_list(path: str) -> bool:
    return posixpath.basename(path).lower() in LISTS


def _places(path: str) -> Iterator[str]:
    """Where the image of a label file may lie: `labels` is `images` there, or it lies beside the label file."""
    parts = path.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].casefold() == "labels":
            yield _in_images("/".join([*parts[:place], "images", *parts[place + 1 :]]))
    yield _in_images(path)


def _in_images(path: str) -> str:
    """A path in which a folder `Images` is `images`."""
    return "/".join("images" if part.casefold() == "images" else part for part in path.split("/"))


def _read_boxes(files: SourceFiles, path: str, names: dict[str, str], where: str) -> Iterator[str]:
    """Class names in a label file. Raises `ValueError`, whose message goes on behind the file's name."""
    try:
        text = files.read(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8: save it anew") from None
    except SourceError as error:
        raise ValueError(f"cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lower().startswith(("imagesource:", "gsd:")):
            try:
                yield _class_of(line.split(), names, where)
            except ValueError as error:
                raise ValueError(f"{error} (line {number})") from None


def _class_of(words: list[str], names: dict[str, str], where: str) -> str:
    """The class of one line. Raises `ValueError` where the line is none of a label file, or its class has no name."""
    if len(words) > CORNERS and _are_numbers(words[:CORNERS]) and not _are_numbers(words[CORNERS : CORNERS + 1]):
        rest = words[CORNERS:]
        name = " ".join(rest[:-1] if len(rest) > 1 and rest[-1].isdecimal() else rest)
        return name if not names or name in names.values() else _unknown(name, where)
    if not _are_numbers(words[1:]) or not _is_shape(len(words) - 1):
        raise ValueError("is no YOLO label file: it wants `class x y width height`, found another form")
    word = words[0]
    if not _are_numbers([word]):
        return word if word in names.values() else _unknown(word, where)
    number = _number(word)
    if not number.is_integer():
        return _unknown(word, where)
    return names.get(str(int(number))) or _unknown(str(int(number)), where)


def _unknown(name: str, where: str) -> str:
    source = f"which {where} does not name" if where else "and there is no data.yaml with `names`: is it a YOLO export?"
    raise ValueError(f"has class {shown(name)}, {source}")


def _is_shape(numbers: int) -> bool:
    """Whether so many numbers are a box, one with a confidence or key points, or a polygon."""
    box, point, visible = 4, 2, 3
    polygon = numbers >= 3 * point and numbers % point == 0
    return numbers in (box, box + 1) or polygon or (numbers > box and (numbers - box) % visible == 0)


def _number(word: str) -> float:
    return float(word.replace(",", "."))


def _are_numbers(words: list[str]) -> bool:
    try:
        return all(math.isfinite(_number(word)) and "_" not in word for word in words)
    except ValueError:
        return False
