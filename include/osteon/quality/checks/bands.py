"""Flat bands at an edge: what a viewer pads an image with when a part of it did not arrive."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.images.measure import PADDED
from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect, pixels_of, with_pixels

DARK = 32
"""Grey level below which a flat band may be collimation."""
WHERE = "bands.band_where"


def measure(image: Decoded) -> dict[str, object]:
    bands = _edge_bands(image)
    widest = max(bands, default=None)
    return {
        "dark_band": max((share for share, _, level in bands if level < DARK), default=0.0),
        "bright_band": max((share for share, _, level in bands if level >= DARK), default=0.0),
        "band_where": f"{widest[1]}, grey level {widest[2]}" if widest else "",
    }


BANDS = Family(
    "bands",
    version=1,
    columns={"dark_band": "Float64", "bright_band": "Float64", "band_where": "string"},
    measure=measure,
    in_catalog=False,
)
"""`dark_band`: share of the height or width, 0 to 1, of the widest flat band at an edge that is darker than DARK.
`bright_band`: the same for flat bands that are not; collimation, and air, leave dark ones only. `band_where`: edge and
level of the widest band of all, `bottom, grey level 128`; empty without one."""


@defect
def padded(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    """A part is cut off and filled with black, grey or white, as a viewer pads what did not arrive."""
    pixels = pixels_of(file)
    edge = int(len(pixels) * rng.uniform(0.6, 0.7))
    pixels[edge:] = (0, 128, 255)[number % 3]
    return with_pixels(file, np.rot90(pixels, number % 4)), None


class _BandCheck(Check):
    rule = "at_most"
    detail = WHERE
    measures = BANDS
    remedy = "Look at them. The missing part cannot be restored: ask the publisher for the originals."
    defects = (padded,)

    def values(self, images: Images) -> pd.DataFrame:
        """Only of whole files: a truncated one ends in a band, and is a finding of its own."""
        shares = images.measured[self.column].where(images.whole)
        return pd.DataFrame({self.column: shares, WHERE: images.measured[WHERE]})


@register
class DarkBands(_BandCheck):
    name = "dark_bands"
    column = "bands.dark_band"
    default = Threshold(severity="warning", critical_share=0.2, maximum=0.25)
    title = "No image has a wide flat black band at an edge."
    message = (
        "{count} {image has|images have} a wide black band at an edge ({share}), "
        "as if {it was|they were} cut and padded before publication."
    )


@register
class BrightBands(_BandCheck):
    name = "bright_bands"
    column = "bands.bright_band"
    default = Threshold(severity="warning", critical_share=0.2, maximum=0.15)
    title = "No image has a wide flat grey or white band at an edge."
    message = (
        "{count} {image has|images have} a wide grey or white band at an edge ({share}): "
        "{it was|they were} cut and padded, or {has|have} an unexposed margin."
    )


def _edge_bands(image: Decoded) -> list[tuple[float, str, int]]:
    """Share, edge and grey level of the flat band at each edge that has one."""
    grey, rows, columns = image.reduced, image.row_spans, image.column_spans
    edges: tuple[tuple[str, NDArray[np.uint8], NDArray[np.uint8]], ...] = (
        ("top", grey, rows),
        ("bottom", grey[::-1], rows[::-1]),
        ("left", grey.T, columns),
        ("right", grey.T[::-1], columns[::-1]),
    )
    found = []
    for edge, lines, spans in edges:
        quiet = spans <= PADDED
        run = len(quiet) if quiet.all() else int(np.argmin(quiet))
        if run:
            means = lines[:run].mean(axis=1)
            same = np.abs(means - means[0]) <= PADDED
            run = run if same.all() else int(np.argmin(same))
            found.append((run / len(quiet), edge, round(float(means[0]))))
    return found
