"""CT slices: ovals with air all around. A limb on a radiograph runs out of its film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.quality.check import Check, Threshold, register
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, with_pixels

BODY = 20
"""Grey levels by which a cross-section's outline is brighter than the air around it."""
LEAST_BODY = 0.1
"""Share of the image that a cross-section fills at least."""


def measure(image: Decoded) -> dict[str, object]:
    return {"oval": _oval(image.reduced)}


OUTLINE = Family("outline", version=1, columns={"oval": "Float64"}, measure=measure, in_catalog=False)
"""`oval`: overlap, 0 to 1, of what is brighter than the corners with the ellipse of its moments; 0 where it meets an
edge."""


@defect
def ct_slice(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    """A limb cut across: an oval of soft tissue, two rings of cortex with marrow inside, air around."""
    side = int(rng.integers(180, 260))
    y, x = (np.indices((side, side)) - side / 2) / side
    film = rng.normal(6, 2, (side, side))

    def oval(centre: tuple[float, float], axes: tuple[float, float]) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 <= 1
        return inside

    film[oval((0, 0), (rng.uniform(0.33, 0.45), rng.uniform(0.25, 0.4)))] = rng.uniform(60, 110)
    for side in (-1, 1):
        centre, radius = (side * rng.uniform(0.1, 0.18), rng.uniform(-0.1, 0.1)), rng.uniform(0.04, 0.09)
        film[oval(centre, (radius, radius))] = rng.uniform(200, 240)
        film[oval(centre, (0.6 * radius, 0.6 * radius))] = rng.uniform(110, 150)
    return with_pixels(file, film + rng.normal(0, 3, film.shape)), None


@register
class CrossSections(Check):
    name = "cross_sections"
    column = "outline.oval"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=0.93)
    title = "No image is a cross-section."
    message = "{count} {image looks like a CT slice|images look like CT slices}, an oval with air all around ({share})."
    remedy = "Leave them out at the source: a cross-section is no radiograph."
    unit = "overlap with an ellipse"
    measures = OUTLINE
    defects = (ct_slice,)


def _oval(grey: NDArray[np.uint8]) -> float:
    air = int(np.median(grey[[0, 0, -1, -1], [0, -1, 0, -1]])) + BODY
    if max((grey[[0, -1]] > air).mean(), (grey[:, [0, -1]] > air).mean()) > 0.02:
        return 0.0
    body = grey[::2, ::2] > air
    # an oval has no gap between the first and the last pixel of a row
    filled = np.logical_or.accumulate(body, axis=1) & np.logical_or.accumulate(body[:, ::-1], axis=1)[:, ::-1]
    points = np.argwhere(filled)
    if len(points) < max(3, LEAST_BODY * body.size):
        return 0.0
    spread = np.cov(points.T)
    if np.linalg.det(spread) < 1:
        return 0.0
    (a, b), (_, c) = np.linalg.inv(spread)
    y, x = (np.arange(size) - middle for size, middle in zip(filled.shape, points.mean(axis=0), strict=True))
    # a full ellipse's half-axes are twice the deviations along them
    ellipse = a * y[:, None] ** 2 + 2 * b * y[:, None] * x + c * x**2 <= 4
    return float((ellipse & filled).sum() / (ellipse | filled).sum())
