"""The way of X-rays through a tube: how much of it lies behind each pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Field = NDArray[np.float32]

MARROW_SHARE = 0.62
"""Of a bone's radius."""


@dataclass(frozen=True)
class Tube:
    """A tube along `path`, in units of the image's shorter side (0 to 1); `ends` widens the ends that are joints."""

    path: tuple[Point, ...]
    radius: float
    ends: float = 1.0
    breakable: bool = True
    cuts: tuple[float | None, float | None] = (None, None)
    """Slope of the surface where the tube's start and end are broken; None where they are whole, and round."""


def trace(tube: Tube, size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[Field, Field]]:
    """The part of the image that a tube covers, and the X-ray's way through it there: all of it, and its inner part."""
    width, height = size
    scale = min(size)
    offset = ((width - scale) / 2, (height - scale) / 2)
    reach = tube.radius * max(tube.ends, 1.0) + 2 / scale
    spans = []
    for axis, limit in ((0, width), (1, height)):
        values = [point[axis] for point in tube.path]
        low, high = ((edge * scale + offset[axis]) for edge in (min(values) - reach, max(values) + reach))
        spans.append(slice(max(0, math.floor(low)), min(limit, max(0, math.ceil(high)))))
    x = ((np.arange(width)[spans[0]] - offset[0]) / scale).astype(np.float32)[None, :]
    y = ((np.arange(height)[spans[1]] - offset[1]) / scale).astype(np.float32)[:, None]
    legs = [math.dist(a, b) for a, b in zip(tube.path[:-1], tube.path[1:], strict=True)]
    whole, inner = (np.zeros((y.shape[0], x.shape[1]), np.float32) for _ in range(2))
    walked = 0.0
    for number, length in enumerate(legs):
        (x0, y0), (x1, y1) = tube.path[number], tube.path[number + 1]
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        along, aside = (x - x0) * ux + (y - y0) * uy, (y - y0) * ux - (x - x0) * uy
        nearest: Field = along.clip(0, length).astype(np.float32)
        radius = _radius(tube, walked + nearest, sum(legs))
        distance = (along - nearest) ** 2 + aside**2
        for first, cut in zip((True, False), tube.cuts, strict=True):
            if cut is not None and number == (0 if first else len(legs) - 1):
                beyond = along < cut * aside if first else along - length > cut * aside
                distance = np.where(beyond, np.inf, distance)
        whole = np.maximum(whole, 2 * np.sqrt((radius**2 - distance).clip(0)))
        inner = np.maximum(inner, 2 * np.sqrt(((MARROW_SHARE * radius) ** 2 - distance).clip(0)))
        walked += length
    return (spans[1], spans[0]), (whole, inner)


def _radius(tube: Tube, walked: Field, length: float) -> Field:
    """Radius at a way from the tube's start: wider towards whole ends, as at a long bone's joints."""
    swell = np.zeros_like(walked)
    for distance, cut in zip((walked, length - walked), tube.cuts, strict=True):
        if cut is None:
            swell = swell + np.exp(-((distance / (2 * tube.radius)) ** 2))
    return (tube.radius * (1 + (tube.ends - 1) * swell)).astype(np.float32)
