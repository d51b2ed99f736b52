"""Copies: of bytes, of films, across the publisher's own splits, and pairs that a curator had better decide about."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image

from osteon.quality.check import Check, Threshold, register
from osteon.quality.checks.labels import conflicting_copies
from osteon.quality.images import Images
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, bytes_of, copy_of, defect, image_of, jpeg, reexport

DECIDE = "osteon review A --copies B --who NAME --why REASON, or --no-copies B"


@defect
def exact_copies(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return file, copy_of(file, f"copy of {PurePosixPath(file.path).stem}", bytes_of(file), rng)


@defect
def rotated_copies(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    angle = 90 * int(rng.integers(1, 4)) if number % 2 else float(rng.choice((-1, 1)) * rng.uniform(4, 25))
    suffix = "-rotated2-rotated1" if number % 3 == 2 else "-rotated1"
    image = image_of(file).rotate(angle, Image.Resampling.BILINEAR, expand=angle % 90 == 0)
    return file, copy_of(file, PurePosixPath(file.path).stem + suffix, jpeg(np.asarray(image)), rng)


@defect
def reexported_copies(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return file, reexport(file, number, rng)


@defect
def mirrored_copies(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = image_of(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return file, copy_of(file, f"flip_{number}", jpeg(np.asarray(image)), rng)


@register
class ExactCopies(Check):
    name = "exact_copies"
    column = "exact_copies"
    default = Threshold(severity="warning", critical_share=0.5)
    title = "No image is published twice with the same bytes."
    message = "{count} {image was|images were} published several times with the same bytes ({share})."
    remedy = "Nothing to do: Osteon uses each of them once."
    defects = (exact_copies,)

    def values(self, images: Images) -> pd.Series:
        found = [_listing(items[1:]) if len(items) > 1 else None for items in images.catalog["published"]]
        return pd.Series(found, index=images.catalog.index, dtype="object")


@register
class NearCopies(Check):
    name = "near_copies"
    column = "near_copies"
    default = Threshold(severity="warning", critical_share=0.8)
    title = "No image is a re-exported, resized, rotated or mirrored copy of another."
    message = "{count} images are copies of one another, as they are or altered ({share})."
    remedy = "Nothing to do: all copies of one film stand in one split."
    order = "group"
    defects = (rotated_copies, reexported_copies, mirrored_copies, conflicting_copies)

    def values(self, images: Images) -> pd.Series:
        catalog = images.catalog
        size = catalog.groupby("group")["sha256"].transform("size")
        told = "group " + catalog["group"].str[:12] + ", " + size.astype("string") + " images"
        return told.where((size > 1).fillna(False))


@register
class LeakingSplit(Check):
    name = "leaking_split"
    column = "leaking_split"
    default = Threshold(severity="warning")
    title = "No film stands in several of its publisher's splits."
    message = "{count} {image stands|images stand}, as copies, in several of their publisher's own splits ({share})."
    remedy = "Do not trust figures that were measured on the publisher's split. Osteon makes its own."
    order = "group"

    def values(self, images: Images) -> pd.Series:
        return _leaking(images.catalog)


@register
class Mosaics(Check):
    """The table has a row for each mosaic that Osteon left out, with the reason in this column."""

    name = "mosaics"
    column = "mosaic"
    default = Threshold(severity="warning")
    title = "No image shows several films side by side."
    message = "{count} {image shows|images show} several films side by side, and {is|are} left out ({share})."
    remedy = "Nothing to do. If one of them is a single film: osteon review IMAGE --keep --who NAME --why REASON."

    def values(self, images: Images) -> pd.Series:
        return pd.Series(None, index=images.catalog.index, dtype="object")


@register
class PossibleCopies(Check):
    name = "possible_copies"
    table = "pairs"
    column = "possible"
    default = Threshold(severity="warning")
    title = "Any two images are clearly copies, or clearly are not."
    message = "{count} {pair|pairs} of images may show the same film."
    remedy = f"Look at each pair and decide: {DECIDE}. Until then, the two images of a pair stand in one split."


@register
class ContradictingPaths(Check):
    name = "contradicting_paths"
    table = "pairs"
    column = "contradiction"
    default = Threshold(severity="warning")
    title = "A source publishes one film under one path."
    message = "{count} {path has|paths have} shown two different films: a source replaced one by the other."
    remedy = f"Ask the publisher. Osteon counts two films. If they are one: {DECIDE}."


@register
class LargeGroup(Check):
    name = "large_group"
    table = "groups"
    column = "images"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=200)
    title = "No film has very many copies."
    message = "{count} {group of copies is|groups of copies are} very large: {listed}."
    remedy = f"Check that the images of a group show one film. Decide about pairs: {DECIDE}."
    unit = "images"


@register
class DominantGroup(Check):
    name = "dominant_group"
    table = "groups"
    column = "part"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=0.1)
    title = "Copies of one film are a small part of all images."
    message = "{count} {group of copies is|groups of copies are} a large part of all images: {listed}."
    remedy = f"Check that the images of a group show one film. Decide about pairs: {DECIDE}."
    unit = "%"


def _leaking(catalog: pd.DataFrame) -> pd.Series:
    splits: dict[tuple[str, str], set[str]] = {}
    for group, items in zip(catalog["group"], catalog["published"], strict=True):
        for item in items:
            if item["raw_split"] and pd.notna(group):
                splits.setdefault((group, item["source"]), set()).add(item["raw_split"])
    texts = {key: " and ".join(sorted(names)) for key, names in splits.items() if len(names) > 1}

    def told(group: str | None, items: list[dict[str, str]]) -> str | None:
        sources = dict.fromkeys(item["source"] for item in items)
        found = [texts[key] for source in sources if pd.notna(group) and (key := (group, source)) in texts]
        return "; ".join(found) or None

    pairs = zip(catalog["group"], catalog["published"], strict=True)
    return pd.Series([told(group, items) for group, items in pairs], index=catalog.index, dtype="object")


def _listing(items: list[dict[str, str]]) -> str:
    return "also as " + ", ".join(f"{item['source']}:{item['path']}" for item in items)
