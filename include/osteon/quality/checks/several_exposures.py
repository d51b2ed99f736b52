"""Several exposures on one film: a flat bar between two contents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.quality.check import Check, Threshold, register
from osteon.sources import defects
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, pixels_of, with_pixels

FLAT = 6
"""Grey levels that a line between two exposures spans at most."""


def measure(image: Decoded) -> dict[str, object]:
    return {"gutter": max(_gutter(image.row_spans), _gutter(image.column_spans))}


EXPOSURES = Family("exposures", version=1, columns={"gutter": "Float64"}, measure=measure, in_catalog=False)
"""`gutter`: share of the height or width, 0 to 1, of the widest flat bar with content on both sides."""


@defects.defect
def several_exposures(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    film = pixels_of(file)
    bar = np.zeros((len(film), max(8, film.shape[1] // 6)), np.uint8)
    return with_pixels(file, np.hstack([film, bar, film[:, ::-1]])), None


@register
class SeveralExposures(Check):
    name = "several_exposures"
    column = "exposures.gutter"
    rule = "at_most"
    default = Threshold(severity="info", maximum=0.03)
    title = "Every film holds one exposure."
    message = "{count} {film shows|films show} several exposures side by side ({share})."
    remedy = "Nothing to do, unless a label is about one of the exposures only."
    unit = "of height or width is the gap"
    measures = EXPOSURES
    defects = (several_exposures,)


def _gutter(spans: NDArray[np.uint8]) -> float:
    """Widest run of flat lines with at least a fifth of the lines, not flat, on either side."""
    flat = spans <= FLAT
    if not flat[len(flat) // 5 : -(len(flat) // 5) or None].any():
        return 0.0
    steps = np.flatnonzero(np.diff(np.r_[0, flat, 0]))
    busy = np.r_[0, np.cumsum(~flat)]
    runs = [
        end - start
        for start, end in zip(steps[::2], steps[1::2], strict=True)
        if min(busy[start], busy[-1] - busy[end]) >= len(flat) / 5
    ]
    return max(runs, default=0) / len(flat)
