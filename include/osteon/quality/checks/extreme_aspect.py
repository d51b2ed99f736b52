"""Strips: images that are extremely long or wide."""

from __future__ import annotations

import pandas as pd

from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images


@register
class ExtremeAspect(Check):
    name = "extreme_aspect"
    column = "aspect"
    rule = "at_most"
    default = Threshold(severity="info", maximum=3)
    title = "No image is extremely long or wide."
    message = "{count} {image is|images are} extremely long or wide ({share})."
    remedy = "Look at them: little of a strip is left once it is scaled."
    unit = ": 1"

    def values(self, images: Images) -> pd.Series:
        """The longer side over the shorter one."""
        sides = images.catalog[["width", "height"]].astype("Float64")
        return (sides.max(axis=1) / sides.min(axis=1)).where(images.usable)
