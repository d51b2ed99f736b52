"""Files that cannot be used, and streams that are cut off, broken or oddly packed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.images.streams.base import BROKEN
from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, bytes_of, defect, jpeg


def measure(image: Decoded) -> dict[str, object]:
    return {"damage": image.damage or None, "remarks": "; ".join(image.remarks) or None}


STREAM = Family(
    "stream", version=1, columns={"damage": "string", "remarks": "string"}, measure=measure, in_catalog=False
)
"""`damage`: what the stream lacks, see `osteon.images.streams.base`. `remarks`: damage that touches no pixel."""


@defect
def truncated(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    data = bytes_of(file)
    return replace(file, data=data[: int(len(data) * rng.uniform(0.5, 0.85))]), None


@defect
def broken_stream(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    data = bytes_of(file)
    at = int(len(data) * rng.uniform(0.5, 0.8))
    return replace(file, data=data[:at] + bytes(256) + data[at + 256 :]), None


@defect
def harmless_damage(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, data=b"\r\n" + bytes_of(file)), None


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
        found = images.catalog["truncated"].fillna(False).astype(bool) & ~_is_broken(images)
        words = images.measured["stream.damage"].fillna("truncated " + images.catalog["mode"] + " image")
        return words.where(found)


@register
class BrokenStream(Check):
    name = "broken_stream"
    column = "damaged_within"
    default = Threshold(severity="warning", critical_share=0.2)
    title = "No image file is damaged before its end."
    message = "{count} image {file is|files are} damaged within {its|their} pixels ({share})."
    remedy = "Osteon set what is lost to zero, in a copy. Fetch the files again, or replace them."
    measures = STREAM
    defects = (broken_stream,)

    def values(self, images: Images) -> pd.Series:
        return images.measured["stream.damage"].where(_is_broken(images))


@register
class HarmlessDamage(Check):
    name = "harmless_damage"
    column = "stream.remarks"
    default = Threshold(severity="info")
    title = "Every image file is as its format asks."
    message = "{count} image {file has|files have} damage that touches no pixel ({share})."
    remedy = "Nothing is lost. Whoever packed the files may have lost other things."
    measures = STREAM
    defects = (harmless_damage,)

    def values(self, images: Images) -> pd.Series:
        is_whole = images.measured["stream.damage"].fillna("") == ""  # of others it is told what they lack
        return images.measured["stream.remarks"].where(is_whole)


def _is_broken(images: Images) -> pd.Series:
    return images.measured["stream.damage"].fillna("").str.startswith(BROKEN)
