"""Pictures for people: thumbnails of offenders and the chart of classes, as PNG without any metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from osteon.images.decode import UndecodableError, decode
from osteon.images.wavelet import letterbox
from osteon.lake import Lake
from osteon.quality.validate import Finding

MOST_THUMBNAILS = 12
SIDE = 128
"""Pixels of a thumbnail."""


@dataclass(frozen=True)
class Picture:
    """A PNG that a mail shows where it says `cid:NAME`."""

    name: str
    png: bytes
    caption: str = ""


def thumbnails(lake: Lake, findings: list[Finding], max_pixels: int) -> dict[str, list[Picture]]:
    """By check, thumbnails of offending images, at most MOST_THUMBNAILS in all and as many of each as of the others.

    What cannot be decoded has none.
    """
    queues = {finding.check: [item for item in finding.offenders if "sha256" in item] for finding in findings}
    shown: dict[str, list[Picture]] = {name: [] for name in queues}
    left = MOST_THUMBNAILS
    while left and any(queues.values()):
        for name in [name for name, queue in queues.items() if queue][:left]:
            item = queues[name].pop(0)
            try:
                pixels = decode(lake.get_image(item["sha256"]), max_pixels).pixels
            except UndecodableError:
                continue
            buffer = io.BytesIO()
            Image.fromarray(letterbox(pixels, SIDE)).save(buffer, format="PNG")
            shown[name].append(Picture(f"{name}-{len(shown[name])}", buffer.getvalue(), item["name"]))
            left -= 1
    return shown


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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
