"""Text burnt into the image: it may name a person, and a model may learn it instead of the bone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.quality.check import Check, Threshold, register
from osteon.sources import defects
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, image_of, with_pixels

WHITE, STROKE, PAPER = 200, 90, 130
"""Grey levels: a character's least, its least step to its side, and the most that surrounds it on average."""
CHARACTER = (4, 24)
"""Height of a character in pixels, where the longer side is at most `osteon.images.decode.DETAILED`."""


def measure(image: Decoded) -> dict[str, object]:
    return {"text": _text(image.detailed)}


WRITING = Family("writing", version=1, columns={"text": "Int64"}, measure=measure, in_catalog=False)
"""`text`: characters of the longest line of burnt-in text, as far as separate bright strokes of one height show it."""


@defects.defect
def burnt_in_text(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = image_of(file)
    line = ("ERECT", "STANDING", "PORTABLE", "WEIGHT BEARING")[number % 4]
    ImageDraw.Draw(image).text((4, 3), line, fill=255, font=ImageFont.load_default(14))
    return with_pixels(file, np.asarray(image)), None


@register
class BurntInText(Check):
    name = "burnt_in_text"
    column = "writing.text"
    rule = "at_most"
    default = Threshold(severity="info", maximum=2)
    title = "No image has text burnt in."
    message = "{count} {image has|images have} text burnt in ({share})."
    remedy = "Make sure that the text names no person. A model may learn a publisher's text instead of the bone."
    unit = "characters"
    measures = WRITING
    defects = (burnt_in_text,)


def _text(grey: NDArray[np.uint8]) -> int:
    low, high = CHARACTER
    # three characters have six sides of strokes in each of their rows, or five at the edge; every second row tells
    right, left = grey[::2, 1:], grey[::2, :-1]
    bright = np.maximum(right, left)
    sides = np.count_nonzero((bright - np.minimum(right, left) > STROKE) & (bright >= WHITE), axis=1)
    written = np.repeat(np.minimum(sides[1:], sides[:-1]) >= 5, 2)
    if not written.any():
        return 0
    near = np.pad(ndimage.maximum_filter1d(written, high), (0, len(grey) - len(written)), "edge")
    marks, _ = ndimage.label((grey >= WHITE) & near[:, None])
    boxes = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(marks), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if low <= height <= high and width <= 1.5 * height:
            around = slice(max(rows.start - 1, 0), rows.stop + 1), slice(max(columns.start - 1, 0), columns.stop + 1)
            if grey[around][marks[around] != number].mean() <= PAPER:
                boxes.append((columns.start, columns.stop, rows.start, rows.stop))
    boxes.sort()
    longest = 0
    for index, (_, right, top, bottom) in enumerate(boxes):
        line, height = 1, bottom - top
        for left, end, upper, lower in boxes[index + 1 :]:
            if left - right > 1.5 * height:
                break
            if max(abs(upper - top), abs(lower - bottom)) <= 0.2 * height and left >= right - 1:
                line, right = line + 1, end
        longest = max(longest, line)
    return longest
