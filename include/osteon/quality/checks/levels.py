"""Grey levels: images without contrast, and negatives."""

from __future__ import annotations

import numpy as np

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.images.polarity import brightness_of_bones
from osteon.quality.check import Check, Threshold, register
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, pixels_of, with_pixels


def measure(image: Decoded) -> dict[str, object]:
    ranks = np.array((0.02, 0.98)) * image.reduced.size
    low, high = np.searchsorted(image.histogram.cumsum(), ranks)
    return {"contrast": float(high - low)}


def measure_polarity(image: Decoded) -> dict[str, object]:
    return {"bright_bones": brightness_of_bones(image.reduced)}


LEVELS = Family("levels", version=1, columns={"contrast": "Float64"}, measure=measure, in_catalog=False)
"""`contrast`: grey levels between the 2nd and the 98th percentile."""
POLARITY = Family(
    "polarity", version=1, columns={"bright_bones": "Float64"}, measure=measure_polarity, in_catalog=False
)
"""`bright_bones`: log odds that bones are bright, see `osteon.images.polarity`."""


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
    column = "polarity.bright_bones"
    rule = "at_least"
    default = Threshold(severity="warning", minimum=-1)
    title = "Bones are bright on every image."
    message = "{count} {image looks like a negative|images look like negatives}, with dark bones on white ({share})."
    remedy = "Invert them at the source, or leave them out."
    unit = "log odds that bones are bright"
    measures = POLARITY
    defects = (inverted,)
