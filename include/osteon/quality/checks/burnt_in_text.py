"""Text burnt into the image: it may name a person, and a model may learn it instead of the bone."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from PIL import ImageDraw, ImageFont

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.images.writing import FEWEST, lines
from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.sources import defects
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, image_of, with_pixels
from osteon.sources.dicom import BLANKED

SAID = "its header says so"
"""What the finding on DICOM films says of a film whose `BurnedInAnnotation` is YES."""


def measure(image: Decoded) -> dict[str, object]:
    return {"text": max((line.characters for line in lines(image.detailed)), default=0)}


WRITING = Family("writing", version=1, columns={"text": "Int64"}, measure=measure, in_catalog=False)
"""`text`: characters of the longest line of burnt-in text, as far as separate bright strokes of one height show it."""


@defects.defect
def burnt_in_text(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = image_of(file)
    line = ("ERECT", "STANDING", "PORTABLE", "WEIGHT BEARING")[number % 4]
    ImageDraw.Draw(image).text((4, 3), line, fill=255, font=ImageFont.load_default(14))
    return with_pixels(file, np.asarray(image)), None


@register
class BurntInText(Check):
    name = "burnt_in_text"
    column = "writing.text"
    rule = "at_most"
    default = Threshold(severity="info", maximum=FEWEST - 1)
    title = "No image has text burnt in."
    message = "{count} {image has|images have} text burnt in ({share})."
    remedy = "Make sure that the text names no person. A model may learn a publisher's text instead of the bone."
    unit = "characters"
    measures = WRITING
    defects = (burnt_in_text,)


@register
class BurntInTextOnDicom(Check):
    """A clinic's films name their patients more often than published pictures do."""

    name = "burnt_in_text_on_dicom"
    column = "text_on_dicom"
    default = Threshold(severity="warning")
    title = "No film that came as DICOM has text burnt in."
    message = "{count} {film|films} that came as DICOM {has|have} text burnt in, which may name a person ({share})."
    remedy = "Look at them, and set `blank_text: true` in the entry of their source: lines of text are then blanked."

    def values(self, images: Images) -> pd.Series:
        tags = images.tags.map(json.loads, na_action="ignore")
        found = map(_on_dicom, tags, images.measured["writing.text"].fillna(0))
        return pd.Series(found, images.catalog.index, "string").where(images.usable)


def _on_dicom(tags: object, characters: int) -> str | None:
    """What is found on a film that came as DICOM; None for nothing, and for an image that has no tags."""
    if not isinstance(tags, dict):
        return None
    if characters >= FEWEST:
        return f"a line of {characters} characters"
    return SAID if tags.get("BurnedInAnnotation") == "YES" and BLANKED not in tags else None
