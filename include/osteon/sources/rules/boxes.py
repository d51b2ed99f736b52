"""Labels by the boxes that are drawn in an image, of a YOLO or a COCO export."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from osteon.errors import SourceError
from osteon.sources.rules.base import BaseRule, Read, SourceFiles
from osteon.strict_yaml import read_strangers_yaml


class Boxes(BaseRule):
    """The label is the class names of the boxes drawn in the image, of a YOLO or a COCO export."""

    boxes: Literal["yolo", "coco"]
    values: dict[str, str] = Field(default_factory=dict)
    """Words for class names; `""` for a class that says nothing here."""
    none: str = ""
    """The word for an annotated image without any box."""

    def compile(self, files: SourceFiles) -> Read:
        classes = (_yolo if self.boxes == "yolo" else _coco)(files)

        def label(path: str) -> str:
            found = classes(path)
            if found is None:
                return ""
            if not found:
                return self.none
            words = (self.values.get(name, name) for name in sorted(found))
            return "+".join(dict.fromkeys(word for word in words if word))

        return label


def _yolo(files: SourceFiles) -> Callable[[str], set[str] | None]:
    """Class names in `labels/NAME.txt` beside `images/NAME.jpg`; None where there is no such file.

    A line is `class x y width height`, the class a number into `names` of `data.yaml` (Ultralytics' format).
    """
    try:
        names = read_strangers_yaml(files.read("data.yaml"))["names"]
        by_number = {int(key): names[key] for key in names} if isinstance(names, dict) else dict(enumerate(names))
    except KeyError:
        raise SourceError(f"source {files.source}: there is no data.yaml with `names`: is it a YOLO export?") from None
    except (TypeError, ValueError) as error:
        raise SourceError(f"source {files.source}: data.yaml cannot be read: {error}") from None

    def classes(path: str) -> set[str] | None:
        parts = PurePosixPath(path).with_suffix(".txt").parts
        level = len(parts) - 1 - parts[::-1].index("images") if "images" in parts else None
        if level is None:
            return None
        table = "/".join((*parts[:level], "labels", *parts[level + 1 :]))
        try:
            lines = files.read(table).decode("utf-8").splitlines()
            return {str(by_number[int(line.split()[0])]) for line in lines if line.strip()}
        except KeyError as error:
            if isinstance(error.args[0], int):
                raise SourceError(
                    f"source {files.source}: {table} has class {error}, data.yaml names no such"
                ) from None
            return None
        except ValueError as error:
            raise SourceError(f"source {files.source}: {table} is no YOLO label file: {error}") from None

    return classes


def _coco(files: SourceFiles) -> Callable[[str], set[str] | None]:
    """Class names in `_annotations.coco.json` beside the image; None where there is none, or it does not list it."""

    @cache
    def table(folder: str) -> dict[str, set[str]]:
        file = f"{folder}/_annotations.coco.json" if folder != "." else "_annotations.coco.json"
        try:
            text = files.read(file)
        except KeyError:
            return {}
        try:
            content = json.loads(text)
            category = {item["id"]: str(item["name"]) for item in content["categories"]}
            names = {item["id"]: str(item["file_name"]) for item in content["images"]}
            if len(names) < len(content["images"]):
                raise SourceError(f"source {files.source}: {file} gives an image's id twice: export it anew")
            found: dict[str, set[str]] = {name: set() for name in names.values()}
            for item in content["annotations"]:
                found[names[item["image_id"]]].add(category[item["category_id"]])
        except (ValueError, TypeError, LookupError) as error:
            raise SourceError(f"source {files.source}: {file} is no COCO file ({error!r})") from None
        return found

    return lambda path: table(str(PurePosixPath(path).parent)).get(PurePosixPath(path).name)
