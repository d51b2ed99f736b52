"""Labels by the boxes that are drawn in an image: YOLO, COCO and Pascal VOC."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from osteon.sources.rules import coco, voc, yolo
from osteon.sources.rules.base import BaseRule, Read, SourceFiles, Words, winning
from osteon.sources.rules.reconcile import tell_silent

READERS = {"yolo": yolo.classes, "coco": coco.classes, "voc": voc.classes}
"""For each format, what gives the classes of the boxes in each annotated image."""


class Boxes(BaseRule):
    """The label is the class names of the boxes drawn in the image, of a YOLO, COCO or Pascal VOC export."""

    late: ClassVar = frozenset({"file", "any"})
    boxes: Literal["yolo", "coco", "voc"]
    values: dict[str, str] = Field(default_factory=dict)
    """Words for class names; `""` for a class that says nothing here."""
    none: str = ""
    """The word for an annotated image without a box that says something."""
    file: str | None = None
    """YOLO: the file with the names of classes. COCO and VOC: the annotations, as a path, a pattern or a folder."""
    any: str = ""
    """The word that wins where the boxes of one image say several."""

    def compile(self, files: SourceFiles) -> Read:
        found = READERS[self.boxes](files, self.file)
        tell_silent(files, found)

        def label(path: str) -> Words:
            if path not in found:
                return ()
            words = (self.values.get(name, name) for name in sorted(found[path]))
            said = tuple(dict.fromkeys(word for word in words if word))
            return winning(said, self.any) or ((self.none,) if self.none else ())

        return label
