"""COCO: one JSON file for many images, with boxes, polygons or key points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from osteon.errors import SourceError
from osteon.sources.notes import Note
from osteon.sources.rules.base import SourceFiles, listed
from osteon.sources.rules.matching import Names, find_members, home_of, match_or_refuse, plain_path
from osteon.sources.rules.text import decode
from osteon.sources.strangers import read_strangers_json

USUAL = "_annotations.coco.json"


def classes(files: SourceFiles, file: str | None) -> dict[str, set[str]]:
    """Class names of the annotations in each image that a COCO file lists.

    Args:
        files: The source.
        file: Path, pattern or folder of the JSON files; all files USUAL where it is missing.

    Raises:
        SourceError: There is no COCO file that can be read.
    """
    if file:
        paths = [path for path in find_members(files, file) if path.lower().endswith(".json")]
    else:
        paths = [path for path in files.members if plain_path(path).rpartition("/")[2].lower() == USUAL]
    images, found, problems = Names(files.images), dict[str, set[str]](), list[tuple[str, SourceError]]()
    for path in paths:
        try:
            table = _Table(files, path)
            matched = match_or_refuse(files, images, list(table.classes), path, home_of(path, images))
        except SourceError as error:
            problems.append((path, error))
            continue
        table.tell(files)
        for image, keys in matched.keys.items():
            found.setdefault(image, set()).update(*(table.classes[key] for key in keys))
    if not paths:
        raise SourceError(
            f"source {files.source}: there is no {file or USUAL}: give the COCO file as `file` in its label rules"
        )
    files.leave_out(problems, len(paths))
    return found


class _Table:
    """What one COCO file says."""

    def __init__(self, files: SourceFiles, path: str) -> None:
        self.path = path
        self.classes: dict[str, set[str]] = {}
        """Class names by the file name that it gives an image."""
        self._strangers: dict[str, int] = {}
        self._broken: dict[str, str] = {}
        where = f"source {files.source}: {path}"
        try:
            content = read_strangers_json(decode(files.read(path)).text.encode())
            self._categories = {str(item["id"]): str(item["name"]).strip() for item in content["categories"]}
            groups = {str(item.get("supercategory", "")).strip() for item in content["categories"]}
            images, annotations = list(content["images"]), list(content["annotations"])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise SourceError(f"{where} is no COCO file ({error!r}): export it anew") from None
        self._unused = {name for name in self._categories.values() if name not in groups}
        names = self._names(where, images)
        for item in annotations:
            self._annotate(item, names)
        for name in self._broken:
            self.classes.pop(name, None)
        if not self.classes:
            raise SourceError(f"{where} lists no image that can be used: export it anew")

    def tell(self, files: SourceFiles) -> None:
        """Notes on what is odd about it."""
        for name, text in self._broken.items():
            files.note(Note(kind="unreadable_label", subject=self.path, text=f"{text}: {name} gets no label"))
        if self._strangers:
            text = f"has annotations of an image_id that it does not list: {listed(self._strangers)}"
            count = sum(self._strangers.values())
            files.note(Note(kind="absent_file", subject=self.path, text=text, count=count))
        if self._unused:
            text = f"names classes that no label uses: {listed(sorted(self._unused))}"
            files.note(Note(kind="unused_class", subject=self.path, text=text, count=len(self._unused)))

    def _names(self, where: str, images: Iterable[Any]) -> dict[str, str]:
        """File names by id, of all images that have both."""
        names: dict[str, str] = {}
        for item in images:
            known = item if isinstance(item, dict) else {}
            if "id" not in known or not isinstance(known.get("file_name"), str):
                self._broken[f"image {known.get('id')}"] = "lists an image without id or file_name"
                continue
            if names.setdefault(str(item["id"]), item["file_name"]) != item["file_name"]:
                raise SourceError(f"{where} gives an image's id twice: export it anew")
            self.classes.setdefault(item["file_name"], set())
        return names

    def _annotate(self, item: Any, names: dict[str, str]) -> None:
        known = item if isinstance(item, dict) else {}
        image, category = str(known.get("image_id")), str(known.get("category_id"))
        if image not in names:
            self._strangers[image] = self._strangers.get(image, 0) + 1
        elif category not in self._categories:
            self._broken[names[image]] = f"has an annotation of category {category}, which it does not name"
        else:
            self.classes[names[image]].add(self._categories[category])
            self._unused.discard(self._categories[category])
