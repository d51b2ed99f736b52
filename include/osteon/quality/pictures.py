"""Pictures for people: thumbnails of offenders and the chart of classes, as PNG without any metadata."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.curation.workers import DECODER
from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.images.letterbox import letterbox
from osteon.lake import Lake
from osteon.quality.findings import Finding, Offender, Validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_THUMBNAILS = 12
MOST_REPAIRS_SHOWN = 3
SIDE = 128
"""Pixels of a thumbnail."""
GAP = 4
"""Pixels between two thumbnails of a pair."""
MISSING = (200, 60, 50)
"""Red, green and blue of rows that a stream lacks."""


@dataclass(frozen=True)
class Picture:
    """A PNG that a mail shows where it says `cid:NAME`."""

    name: str
    png: bytes
    caption: str = ""
    width: int = SIDE
    """Pixels that it is shown at."""


def scaled(lake: Lake, sha256: str, max_pixels: int, side: int = SIDE) -> NDArray[np.uint8]:
    """An image of the lake letterboxed to (side, side), as people are shown it. Raises `UndecodableError`."""
    return letterbox(decode(lake.get_image(sha256), max_pixels).pixels, side)


def thumbnails(
    lake: Lake, findings: list[Finding], max_pixels: int, most: int = MOST_THUMBNAILS
) -> dict[str, list[Picture]]:
    """By check, thumbnails of offending images, at most `most` in all and as many of each check as of the others.

    A pair is one picture, side by side. What cannot be decoded has none.
    """
    queues = {finding.check: [item for item in finding.offenders if _may_be_shown(item)] for finding in findings}
    shown: dict[str, list[Picture]] = {name: [] for name in queues}
    left = most
    while left and any(queues.values()):
        for name in [name for name, queue in queues.items() if queue][:left]:
            item = queues[name].pop(0)
            try:
                pixels = side_by_side(lake, item.digests, max_pixels)
            except UndecodableError:
                continue
            place = f"{name}-{len(shown[name])}"
            shown[name].append(Picture(place, png(pixels), item.both_names, pixels.shape[1]))
            left -= 1
    return shown


def _may_be_shown(item: Offender) -> bool:
    """Whether it is an image over which no decoder died: it would take this process with it."""
    return item.sha256 is not None and not item.detail.startswith(DECODER)


def side_by_side(lake: Lake, digests: list[str], max_pixels: int, side: int = SIDE) -> NDArray[np.uint8]:
    """Thumbnails of images in one row (side, width), with a white gap between. Raises `UndecodableError`."""
    gap = np.full((side, GAP), 255, np.uint8)
    shown = [part for digest in digests for part in (gap, scaled(lake, digest, max_pixels, side))]
    return np.concatenate(shown[1:], axis=1)


def before_and_after(
    lake: Lake, validation: Validation, max_pixels: int, most: int = MOST_REPAIRS_SHOWN
) -> list[tuple[Picture, Picture]]:
    """Thumbnails of repaired images, the published one with what its stream lacks marked red, and the mended one."""
    shown = []
    for number, item in enumerate(validation.repairs[:most]):
        found = decode(lake.get_image(item.sha256), max_pixels)
        marked = np.stack([found.pixels] * 3, axis=-1)
        marked[found.missing] = MISSING
        before = np.stack([letterbox(np.ascontiguousarray(marked[..., band]), SIDE) for band in range(3)], axis=-1)
        after = scaled(lake, item.repaired, max_pixels)
        pair = (("before", before), ("after", after))
        before_picture, after_picture = (
            Picture(f"repair-{number}-{when}", png(pixels), f"{item.name}, {when}") for when, pixels in pair
        )
        shown.append((before_picture, after_picture))
    return shown


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width), or with 3 channels, as a PNG without metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def data_url(picture: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def class_chart(classes: dict[str, dict[str, int]]) -> bytes:
    """Images per class (one at least), stacked by source, as a PNG."""
    from matplotlib.figure import Figure

    names = sorted(classes)
    sources = sorted({source for counts in classes.values() for source in counts})
    figure = Figure(figsize=(8.5, 0.9 + 0.27 * len(names)), layout="constrained")
    axes = figure.subplots()
    left = [0] * len(names)
    for source in sources:
        widths = [classes[name].get(source, 0) for name in names]
        axes.barh(names, widths, left=left, label=source)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.bar_label(axes.containers[-1], labels=[str(total) for total in left], padding=3, fontsize=8)  # type: ignore[arg-type]
    axes.invert_yaxis()
    axes.set_xlabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure_png(figure)


def figure_png(figure: Figure) -> bytes:
    """A matplotlib figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
