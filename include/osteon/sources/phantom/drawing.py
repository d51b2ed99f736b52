"""Drawn radiographs of ten body parts, with or without a fracture: anatomy in tubes, physics in outline.

Bones are tubes of dense cortex around lighter marrow, inside tubes of soft tissue. A pixel's brightness follows from
the length of the X-ray's way through each (Beer and Lambert's law). Noise grows with the square root of the signal.
They teach nothing about patients; they exist so that the pipeline can be run and tested without anybody's data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from osteon.sources.phantom.anatomy import PARTS
from osteon.sources.phantom.rays import Point, Tube, trace

CORTEX, MARROW, TISSUE = 11.0, 2.5, 1.3
"""Attenuation over a way as long as the image's shorter side."""
STRUCTURE = 0.1
"""Deviation of what absorbs, within bone and tissue, as a share of it."""


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
        box, (way, _) = trace(Tube((pose(start), pose(end)), radius), size)
        flesh[box] = np.maximum(flesh[box], way)
    for bone in bones:
        box, (way, inside) = trace(bone, size)
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

    def move(point: Point) -> Point:
        x, y = (point[0] - 0.5) * mirror, point[1] - 0.5
        return 0.5 + cos * x - sin * y + float(shift[0]), 0.5 + sin * x + cos * y + float(shift[1])

    return move


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
    corner = (width * rng.uniform(0.08, 0.14), height * rng.uniform(0.07, 0.12))
    pen.text(corner, str(rng.choice(("L", "R"))), fill=250, font_size=max(10, height // 14))
    return np.asarray(image)
