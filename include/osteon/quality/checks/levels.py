"""Grey levels: images without contrast, and negatives."""

from __future__ import annotations

import numpy as np

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.quality.check import Check, Threshold, register
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, pixels_of, with_pixels


def measure(image: Decoded) -> dict[str, object]:
    ranks = np.array((0.02, 0.5, 0.98)) * image.reduced.size
    low, middle, high = np.searchsorted(image.histogram.cumsum(), ranks)
    return {"contrast": float(high - low), "median": float(middle)}


LEVELS = Family(
    "levels", version=1, columns={"contrast": "Float64", "median": "Float64"}, measure=measure, in_catalog=False
)
"""`contrast`: grey levels between the 2nd and the 98th percentile. `median`: grey level. Air is dark on a radiograph,
and there is much of it: a negative's median is bright. Films that tissue fills, as a spine's, a hip's or a shoulder's,
hold too little air to tell."""


@defect
def low_contrast(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    film = pixels_of(file)
    return with_pixels(file, film / 12 + rng.normal(100, 3, film.shape)), None


@defect
def inverted(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return with_pixels(file, 255 - pixels_of(file)), None


@register
class LowContrast(Check):
    name = "low_contrast"
    column = "levels.contrast"
    rule = "at_least"
    default = Threshold(severity="warning", minimum=40)
    title = "Every image has contrast."
    message = "{count} {image has|images have} almost no contrast ({share})."
    remedy = "Look at them. Leave out failed exposures and exports at the source: they teach nothing."
    unit = "grey levels"
    measures = LEVELS
    defects = (low_contrast,)


@register
class Inverted(Check):
    name = "inverted"
    column = "levels.median"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=165)
    title = "Bones are bright on every image."
    message = "{count} {image looks like a negative|images look like negatives}, with dark bones on white ({share})."
    remedy = "Invert them at the source, or leave them out."
    unit = "median grey level"
    measures = LEVELS
    defects = (inverted,)
