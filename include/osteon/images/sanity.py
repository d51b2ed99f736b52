"""Simple statistics that tell a radiograph from what is none, or is one no longer: cut, inverted, faint, a collage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 256
"""Pixels; everything is measured on an image reduced by area averaging to at most this."""
DARK = 32
"""Grey level below which a flat band may be collimation."""
PADDED = 2
"""Grey levels that a line of padding spans at most; the quietest air is louder."""
FLAT = 6
"""Grey levels that a line between two exposures spans at most."""


@dataclass(frozen=True)
class Sanity:
    """Measurements of one image."""

    dark_band: float
    """Share of the height or width, 0 to 1, of the widest flat band at an edge that is darker than DARK."""
    bright_band: float
    """The same for flat bands that are not: collimation, and air, leave dark ones only."""
    band_where: str
    """Edge and level of the widest band of all: `bottom, grey level 128`; empty without one."""
    contrast: float
    """Grey levels between the 2nd and the 98th percentile."""
    median: float
    """Grey level. Air is dark on a radiograph, and there is much of it: a negative's median is bright.

    Films that tissue fills, as a spine's, a hip's or a shoulder's, hold too little air to tell."""
    gutter: float
    """Share of the height or width of the widest flat bar with content on both sides: several exposures in one."""


def examine(pixels: NDArray[np.uint8]) -> Sanity:
    """Measure an image (height, width)."""
    image = Image.fromarray(pixels)
    factor = -(-max(image.size) // SIDE)
    grey = np.asarray(image.reduce(factor)) if factor > 1 else pixels
    bands = _edge_bands(grey)
    widest = max(bands, default=None)
    low, middle, high = np.percentile(grey, (2, 50, 98))
    return Sanity(
        dark_band=max((share for share, _, level in bands if level < DARK), default=0.0),
        bright_band=max((share for share, _, level in bands if level >= DARK), default=0.0),
        band_where=f"{widest[1]}, grey level {widest[2]}" if widest else "",
        contrast=float(high - low),
        median=float(middle),
        gutter=max(_gutter(grey), _gutter(grey.T)),
    )


def _edge_bands(grey: NDArray[np.uint8]) -> list[tuple[float, str, int]]:
    """Share, edge and grey level of the flat band at each edge that has one."""
    found = []
    for edge, lines in {"top": grey, "bottom": grey[::-1], "left": grey.T, "right": grey.T[::-1]}.items():
        means = lines.mean(axis=1)
        flat = (np.ptp(lines, axis=1) <= PADDED) & (np.abs(means - means[0]) <= PADDED)
        run = len(flat) if flat.all() else int(np.argmin(flat))
        if run:
            found.append((run / len(flat), edge, round(float(means[0]))))
    return found


def _gutter(grey: NDArray[np.uint8]) -> float:
    """Widest run of flat rows with at least a fifth of the rows, not flat, on either side."""
    flat = np.ptp(grey, axis=1) <= FLAT
    steps = np.flatnonzero(np.diff(np.r_[0, flat, 0]))
    busy = np.r_[0, np.cumsum(~flat)]
    runs = [
        end - start
        for start, end in zip(steps[::2], steps[1::2], strict=True)
        if min(busy[start], busy[-1] - busy[end]) >= len(flat) / 5
    ]
    return max(runs, default=0) / len(flat)
