"""Labels: missing, unknown, ambiguous, contradictory, and what a source leaves out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, reexport


def _split(file: PublishedFile) -> tuple[str, str]:
    """Words for part and state of a generated radiograph."""
    part, _, state = str(file.raw_label).partition("|")
    return part, state


@defect
def missing_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=None), None


@defect
def unknown_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=f"mandible|{_split(file)[1]}"), None


@defect
def ambiguous_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=f"hand+shoulder|{_split(file)[1]}"), None


@defect
def conflicting_copies(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    part, state = _split(file)
    other = "non-fractured" if state == "fractured" else "fractured"
    return file, replace(reexport(file, number, rng), raw_label=f"{part}|{other}")


@register
class MissingLabels(Check):
    name = "missing_labels"
    column = "raw_label"
    rule = "filled"
    default = Threshold(severity="warning", critical_share=0.5)
    title = "Every image has a label."
    message = "{count} {image has|images have} no label ({share})."
    remedy = "Correct the source's label rules, or label them by hand."
    defects = (missing_label,)

    def values(self, images: Images) -> pd.Series:
        raw = images.catalog["raw_label"].astype("object")
        return raw.mask(images.labelled_by_curators & raw.isna(), "set by a curator")


@register
class UnknownLabels(Check):
    name = "unknown_labels"
    column = "unknown_label"
    default = Threshold(severity="warning", critical_share=0.2)
    title = "Every label is in the label map."
    message = "{count} {image has a label|images have labels} that the label map does not hold ({share})."
    remedy = "Add the words to the label map as aliases, or correct the source's label rules."
    defects = (unknown_label,)

    def values(self, images: Images) -> pd.Series:
        return images.unknown_words


@register
class AmbiguousLabels(Check):
    name = "ambiguous_labels"
    column = "ambiguous_label"
    default = Threshold(severity="info")
    title = "Every label names one body part."
    message = "{count} {image is|images are} labelled with several body parts, or with none ({share})."
    remedy = "They are left out, unless the base models give them a part. You can also label them by hand."
    defects = (ambiguous_label,)

    def values(self, images: Images) -> pd.Series:
        catalog = images.catalog
        no_part = catalog["raw_label"].notna() & catalog["body_part"].isna()
        return catalog["raw_label"].where(no_part & images.unknown_words.isna() & catalog["conflict"].isna())


@register
class ConflictingLabels(Check):
    name = "conflicting_labels"
    column = "conflict"
    default = Threshold(severity="warning", critical_share=0.1)
    title = "Copies of one film have the same label."
    message = "{count} {image has a copy|images have copies} with another label ({share})."
    remedy = "Decide which label is right. Until then they are left out."
    order = "group"
    defects = (conflicting_copies,)

    def values(self, images: Images) -> pd.Series:
        return images.catalog["conflict"]


@register
class LabelCoverage(Check):
    name = "label_coverage"
    table = "coverage"
    column = "silent"
    rule = "at_most"
    default = Threshold(severity="warning", maximum=0.2)
    title = "A source that labels some of its images labels nearly all."
    message = "Many images lack a label that their source gives to others: {listed}."
    remedy = "Check that label tables and files fit, names and folders above all. Correct the source's label rules."
    unit = "%"
