"""Files that cannot be used, and files that are cut off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, bytes_of, defect, jpeg


@defect
def truncated(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    data = bytes_of(file)
    return replace(file, data=data[: int(len(data) * rng.uniform(0.5, 0.85))]), None


@defect
def blank(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    # every blank image has its own size, or they would be copies of one another
    return replace(file, data=jpeg(np.full((180 + number, 180), 12, np.uint8))), None


@defect
def not_image(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, data=f"<html>download failed, reference {number}</html>".encode()), None


@register
class UnusableImages(Check):
    """The table also has a row for each file that ingest refused, with the reason in this column."""

    name = "unusable_images"
    column = "unusable"
    default = Threshold(severity="warning", critical_share=0.3)
    title = "Every image can be decoded, is large enough and shows something."
    message = "{count} {image|images} cannot be used: unreadable, too small or blank ({share})."
    remedy = "Nothing is lost: they stay in the lake. Ask the publisher for intact files."
    defects = (blank, not_image)

    def values(self, images: Images) -> pd.Series:
        return images.catalog["reason"].where(~images.usable)


@register
class Truncated(Check):
    name = "truncated"
    column = "broken_stream"
    default = Threshold(severity="warning", critical_share=0.2)
    title = "Every image file is complete."
    message = "{count} image {file is|files are} cut off before the end ({share})."
    remedy = "Osteon set the missing part to zero, in a copy. Replace the files by complete ones."
    defects = (truncated,)

    def values(self, images: Images) -> pd.Series:
        cut = images.catalog["mode"].where(images.catalog["truncated"].fillna(False))
        return cut.map(lambda mode: f"truncated {mode} image", na_action="ignore")
