"""Drawn radiographs of ten body parts, with or without a fracture: anatomy in tubes, physics in outline.

Bones are tubes of dense cortex around lighter marrow inside tubes of soft tissue; a pixel's brightness follows from the
length of the X-ray's way through each (Beer and Lambert's law). Noise grows with the square root of the signal. They
teach nothing about patients; they exist so that the pipeline can be run and tested without anybody's data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Field = NDArray[np.float32]

CORTEX, MARROW, TISSUE = 11.0, 2.5, 1.3
"""Attenuation over a way as long as the image's shorter side."""
STRUCTURE = 0.1
"""Deviation of what absorbs, within bone and tissue, as a share of it."""
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


@dataclass(frozen=True)
class Anatomy:
    bones: tuple[Tube, ...]
    tissue: tuple[tuple[Point, Point, float], ...] = ()
    """Soft tissue: from, to, radius."""


def draw(part: str, fractured: bool, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One radiograph as (height, width) grey levels, bones bright. Raises `KeyError` for an unknown part."""
    width, height = size
    anatomy = PARTS[part](rng)
    pose = _pose(rng)
    bones = [replace(bone, path=tuple(pose(point) for point in bone.path)) for bone in anatomy.bones]
    if fractured:
        bones = _break(bones, rng)
    flesh = np.zeros((height, width), np.float32)
    attenuation = np.zeros_like(flesh)
    for start, end, radius in anatomy.tissue:
        box, (way, _) = _through(Tube((pose(start), pose(end)), radius), size)
        flesh[box] = np.maximum(flesh[box], way)
    for bone in bones:
        box, (way, inside) = _through(bone, size)
        attenuation[box] += CORTEX * (way - inside) + MARROW * inside
    attenuation += TISSUE * flesh
    attenuation *= 1 + STRUCTURE * _structure(size, rng)
    contrast = rng.uniform(0.8, 1.2)
    heel = 1 + rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, height)[:, None]  # the tube's two sides do not shine alike
    signal = (1 - np.exp(-contrast * attenuation)) * rng.uniform(0.8, 1.05) * heel
    signal = signal + rng.normal(0, 0.025, signal.shape) * np.sqrt(signal + 0.15)
    grey = (240 * signal.clip(0, 1) + 8).clip(0, 255).astype(np.uint8)
    return _burn_in(grey, rng)


def _structure(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Trabeculae and the unevenness of tissue, which no two films share: (height, width), deviation 1, at most 3."""
    width, height = size
    result = np.zeros((height, width), np.float32)
    for cells in (24, 48):
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        result += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray((result / max(float(result.std()), 1e-6)).clip(-3, 3), np.float32)


def _pose(rng: np.random.Generator) -> Callable[[Point], Point]:
    angle, zoom = math.radians(rng.uniform(-12, 12)), rng.uniform(0.85, 1.08)
    shift = rng.uniform(-0.04, 0.04, 2)
    mirror = rng.choice((-1, 1))
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom

    def place(point: Point) -> Point:
        x, y = (point[0] - 0.5) * mirror, point[1] - 0.5
        return 0.5 + cos * x - sin * y + float(shift[0]), 0.5 + sin * x + cos * y + float(shift[1])

    return place


def _break(bones: list[Tube], rng: np.random.Generator) -> list[Tube]:
    """Cut one long bone in two: a gap, a step aside and an angle."""
    lengths = [math.dist(bone.path[0], bone.path[-1]) if bone.breakable else 0.0 for bone in bones]
    longest = [index for index, length in enumerate(lengths) if length > 0.5 * max(lengths)]
    which = int(rng.choice(longest))
    bone = bones[which]
    (x0, y0), (x1, y1) = bone.path[0], bone.path[-1]
    cut, length = rng.uniform(0.35, 0.65), math.dist(bone.path[0], bone.path[-1])
    along = ((x1 - x0) / length, (y1 - y0) / length)
    aside = rng.choice((-1, 1)) * bone.radius * rng.uniform(0.8, 1.6)
    gap = bone.radius * rng.uniform(0.5, 1.1)
    turn = math.radians(rng.choice((-1, 1)) * rng.uniform(8, 22))
    knee = (x0 + cut * (x1 - x0), y0 + cut * (y1 - y0))
    start = (knee[0] + along[0] * gap - along[1] * aside, knee[1] + along[1] * gap + along[0] * aside)
    rest = (1 - cut) * length - gap
    heading = (
        along[0] * math.cos(turn) - along[1] * math.sin(turn),
        along[0] * math.sin(turn) + along[1] * math.cos(turn),
    )
    far = (start[0] + heading[0] * rest, start[1] + heading[1] * rest)
    slope = rng.uniform(-0.8, 0.8)
    pieces = [
        replace(bone, path=(bone.path[0], knee), cuts=(bone.cuts[0], slope)),
        replace(bone, path=(start, far), cuts=(slope, bone.cuts[1])),
    ]
    return [*bones[:which], *pieces, *bones[which + 1 :]]


def _through(tube: Tube, size: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[Field, Field]]:
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


def _burn_in(grey: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Collimation at the edges and the side's letter, as on film."""
    image = Image.fromarray(grey)
    width, height = image.size
    pen = ImageDraw.Draw(image)
    margin = [int(rng.uniform(0, 0.05) * width), int(rng.uniform(0, 0.05) * height)]
    for box in (
        (0, 0, margin[0], height),
        (width - margin[0], 0, width, height),
        (0, 0, width, margin[1]),
        (0, height - margin[1], width, height),
    ):
        if box[2] - box[0] > 0 and box[3] - box[1] > 0 and min(margin) > 0:
            pen.rectangle(box, fill=0)
    place = (width * rng.uniform(0.08, 0.14), height * rng.uniform(0.07, 0.12))
    pen.text(place, str(rng.choice(("L", "R"))), fill=250, font_size=max(10, height // 14))
    return np.asarray(image)


def _hand(rng: np.random.Generator) -> Anatomy:
    bones = []
    for finger, (spread, length) in enumerate(
        zip((-0.34, -0.16, 0.0, 0.15, 0.31), (0.24, 0.36, 0.4, 0.37, 0.28), strict=True)
    ):
        angle = spread * rng.uniform(0.8, 1.2)
        root = (0.5 + spread * 0.38, 0.7 - 0.03 * (finger % 2))
        heading = (math.sin(angle), -math.cos(angle))
        at = 0.0
        for share in (0.4, 0.27, 0.18, 0.13):
            begin, end = at + 0.02, at + share * length * 1.5 - 0.01
            bones.append(
                Tube((_along(root, heading, begin), _along(root, heading, end)), 0.022 - 0.003 * (share < 0.2), 1.25)
            )
            at += share * length * 1.5
    bones += [
        Tube(((0.4 + 0.05 * i, 0.76 + 0.02 * (i % 2)), (0.42 + 0.05 * i, 0.77)), 0.024, 1.0, False) for i in range(5)
    ]
    fingers = tuple((bone.path[0], bone.path[1], 0.045) for bone in bones[:20])
    return Anatomy(tuple(bones), (*fingers, ((0.4, 0.72), (0.6, 0.72), 0.12), ((0.5, 0.75), (0.5, 1.0), 0.13)))


def _wrist(rng: np.random.Generator) -> Anatomy:
    carpals = [
        Tube(((0.36 + 0.09 * i, y), (0.38 + 0.09 * i, y + 0.01)), 0.042, 1.0, False)
        for y in (0.37, 0.47)
        for i in range(4)
    ]
    metacarpals = [Tube(((0.32 + 0.09 * i, 0.3), (0.22 + 0.14 * i, 0.02)), 0.028, 1.3, False) for i in range(5)]
    arm = [Tube(((0.42, 0.56), (0.43, 1.05)), 0.06, 1.35), Tube(((0.61, 0.58), (0.59, 1.05)), 0.042, 1.2)]
    return Anatomy((*arm, *carpals, *metacarpals), (((0.5, 0.1), (0.5, 0.4), 0.27), ((0.5, 0.4), (0.5, 1.05), 0.22)))


def _forearm(rng: np.random.Generator) -> Anatomy:
    bend = rng.uniform(0.0, 0.04)
    bones = (
        Tube(((0.4, 0.04), (0.37 - bend, 0.5), (0.42, 0.97)), 0.045, 1.2),
        Tube(((0.6, 0.02), (0.6, 0.96)), 0.036, 1.25),
    )
    return Anatomy(bones, (((0.5, 0.0), (0.5, 1.0), 0.24),))


def _humerus(rng: np.random.Generator) -> Anatomy:
    bone = Tube(((0.5, 0.1), (0.5 + rng.uniform(-0.03, 0.03), 0.95)), 0.07, 1.5)
    return Anatomy((bone,), (((0.5, 0.0), (0.5, 1.0), 0.27),))


def _elbow(rng: np.random.Generator) -> Anatomy:
    angle = math.radians(rng.uniform(70, 100))
    joint = (0.42, 0.55)
    heading = (math.sin(angle), math.cos(angle))
    lower = (-heading[1], heading[0])
    shift = (joint[0] + 0.07 * heading[0], joint[1] + 0.07 * heading[1])
    second = (shift[0] + 0.1 * lower[0], shift[1] + 0.1 * lower[1])
    bones = (
        Tube(((0.42, -0.02), (0.42, 0.47)), 0.065, 1.35),
        Tube((shift, _along(shift, heading, 0.6)), 0.05, 1.3),
        Tube((second, _along(second, heading, 0.55)), 0.04, 1.2),
    )
    return Anatomy(bones, (((0.42, 0.0), (0.42, 0.55), 0.18), (joint, _along(joint, heading, 0.6), 0.18)))


def _shoulder(rng: np.random.Generator) -> Anatomy:
    ribs = [
        Tube(((0.62, 0.35 + 0.1 * i), (0.82, 0.4 + 0.1 * i), (1.02, 0.52 + 0.1 * i)), 0.016, 1.0, False)
        for i in range(5)
    ]
    bones = (
        Tube(((0.33, 0.36), (0.24, 1.02)), 0.062, 1.0),
        Tube(((0.34, 0.32), (0.35, 0.33)), 0.115, 1.0, False),
        Tube(((0.42, 0.16), (0.7, 0.13), (0.98, 0.18)), 0.03, 1.3),
        Tube(((0.5, 0.3), (0.62, 0.62)), 0.05, 1.2, False),
    )
    return Anatomy(
        (*bones, *ribs),
        (((0.35, 0.3), (0.25, 1.0), 0.2), ((0.4, 0.3), (1.0, 0.3), 0.22), ((0.8, 0.3), (0.8, 1.0), 0.3)),
    )


def _leg(rng: np.random.Generator) -> Anatomy:
    bones = (Tube(((0.45, 0.03), (0.46, 0.95)), 0.075, 1.45), Tube(((0.64, 0.08), (0.63, 0.97)), 0.03, 1.5))
    return Anatomy(bones, (((0.52, 0.0), (0.51, 1.0), 0.29),))


def _knee(rng: np.random.Generator) -> Anatomy:
    bones = (
        Tube(((0.5, -0.05), (0.5, 0.34)), 0.085, 1.0),
        Tube(((0.42, 0.4), (0.58, 0.4)), 0.1, 1.0, False),
        Tube(((0.4, 0.61), (0.6, 0.61)), 0.085, 1.0, False),
        Tube(((0.5, 0.64), (0.5, 1.05)), 0.08, 1.0),
        Tube(((0.69, 0.68), (0.67, 1.05)), 0.03, 1.5),
        Tube(((0.5, 0.3), (0.51, 0.32)), 0.07, 1.0, False),
    )
    return Anatomy(bones, (((0.5, -0.05), (0.5, 1.05), 0.3),))


def _hip(rng: np.random.Generator) -> Anatomy:
    bones = []
    for side in (-1, 1):
        bones += [
            Tube(((0.5 + side * 0.12, 0.28), (0.5 + side * 0.3, 0.2), (0.5 + side * 0.36, 0.4)), 0.045, 1.3, False),
            Tube(((0.5 + side * 0.27, 0.53), (0.5 + side * 0.28, 0.54)), 0.075, 1.0, False),
            Tube(((0.5 + side * 0.28, 0.54), (0.5 + side * 0.38, 0.66)), 0.045, 1.0),
            Tube(((0.5 + side * 0.38, 0.66), (0.5 + side * 0.35, 1.02)), 0.055, 1.1),
            Tube(((0.5 + side * 0.24, 0.5), (0.5 + side * 0.07, 0.64), (0.5 + side * 0.14, 0.78)), 0.032, 1.0, False),
        ]
    sacrum = Tube(((0.5, 0.1), (0.5, 0.42)), 0.08, 1.0, False)
    return Anatomy(
        (*bones, sacrum),
        (((0.3, 0.4), (0.7, 0.4), 0.34), ((0.2, 0.6), (0.18, 1.0), 0.2), ((0.8, 0.6), (0.82, 1.0), 0.2)),
    )


def _spine(rng: np.random.Generator) -> Anatomy:
    curve = rng.uniform(-0.08, 0.08)
    bones = []
    for level in range(7):
        y = 0.06 + level * 0.145
        x = 0.5 + curve * math.sin(level / 6 * math.pi)
        bones += [
            Tube(((x - 0.08, y), (x + 0.08, y)), 0.052, 1.0, level in (2, 3, 4)),
            Tube(((x - 0.2, y + 0.01), (x + 0.2, y + 0.01)), 0.014, 1.0, False),
        ]
    return Anatomy(tuple(bones), (((0.5, 0.0), (0.5, 1.0), 0.36),))


def _along(origin: Point, heading: Point, distance: float) -> Point:
    return origin[0] + heading[0] * distance, origin[1] + heading[1] * distance


PARTS: dict[str, Callable[[np.random.Generator], Anatomy]] = {
    "hand": _hand,
    "elbow": _elbow,
    "humerus": _humerus,
    "shoulder": _shoulder,
    "leg": _leg,
    "hip": _hip,
    "wrist": _wrist,
    "knee": _knee,
    "spine": _spine,
    "forearm": _forearm,
}
