"""Images in colour: a radiograph has none."""

from __future__ import annotations

import numpy as np

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.quality.check import Check, Threshold, register
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, pixels_of, with_pixels


def measure(image: Decoded) -> dict[str, object]:
    return {"colour": image.colour}


CHANNELS = Family("channels", version=1, columns={"colour": "Float64"}, measure=measure, in_catalog=False)
"""`colour`: mean difference between the brightest and the darkest channel, in grey levels."""


@defect
def colour_photo(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    tint = np.array(rng.permutation((1.0, 0.7, 0.4)))
    return with_pixels(file, pixels_of(file)[..., None] * tint), None


@register
class ColourImages(Check):
    name = "colour_images"
    column = "channels.colour"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=12)
    title = "No image is in colour."
    message = "{count} {image is|images are} in colour, such as photographs and screenshots ({share})."
    remedy = "Leave them out at the source: a radiograph has no colour."
    unit = "grey levels between channels"
    measures = CHANNELS
    defects = (colour_photo,)
