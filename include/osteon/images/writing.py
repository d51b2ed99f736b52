"""Lines of burnt-in text, as far as separate bright strokes of one height show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

WHITE, STROKE, PAPER = 200, 90, 130
"""Grey levels: a character's least, its least step to its side, and the most that surrounds it on average."""
CHARACTER = (4, 24)
"""Height of a character in pixels, where the longer side is at most `osteon.images.decode.DETAILED`."""
FEWEST = 3
"""Characters of a line of text. Fewer are a marker, such as `R` or `LT`."""


@dataclass(frozen=True)
class Line:
    """Characters of one height, side by side."""

    characters: int
    left: int
    right: int
    top: int
    bottom: int
    """Pixels; `right` and `bottom` lie behind the last ones."""


def lines(grey: NDArray[np.uint8]) -> list[Line]:
    """The lines that begin at each character, in pixels of grey levels (height, width): see `CHARACTER`."""
    boxes = _characters(grey)
    return [_line(boxes[index:]) for index in range(len(boxes))]


def _line(boxes: list[tuple[int, int, int, int]]) -> Line:
    """The line that begins with the first of some characters (left, right, top, bottom), which are in order."""
    left, right, top, bottom = boxes[0]
    characters, height, highest, lowest = 1, bottom - top, top, bottom
    for start, end, upper, lower in boxes[1:]:
        if start - right > 1.5 * height:
            break
        if max(abs(upper - top), abs(lower - bottom)) <= 0.2 * height and start >= right - 1:
            characters, right = characters + 1, end
            highest, lowest = min(highest, upper), max(lowest, lower)
    return Line(characters, left, right, highest, lowest)


def _characters(grey: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    low, high = CHARACTER
    # three characters have six sides of strokes in each of their rows, or five at the edge; every second row tells
    right, left = grey[::2, 1:], grey[::2, :-1]
    bright = np.maximum(right, left)
    sides = np.count_nonzero((bright - np.minimum(right, left) > STROKE) & (bright >= WHITE), axis=1)
    written = np.repeat(np.minimum(sides[1:], sides[:-1]) >= 5, 2)
    if not written.any():
        return []
    near = np.pad(ndimage.maximum_filter1d(written, high), (0, len(grey) - len(written)), "edge")
    marks, _ = ndimage.label((grey >= WHITE) & near[:, None])
    boxes = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(marks), start=1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if low <= height <= high and width <= 1.5 * height:
            around = slice(max(rows.start - 1, 0), rows.stop + 1), slice(max(columns.start - 1, 0), columns.stop + 1)
            if grey[around][marks[around] != number].mean() <= PAPER:
                boxes.append((columns.start, columns.stop, rows.start, rows.stop))
    return sorted(boxes)
