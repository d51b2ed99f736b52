"""Ten body parts as tubes: bones, and the soft tissue around them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from osteon.sources.phantom.rays import Point, Tube


@dataclass(frozen=True)
class Anatomy:
    """A body part, in units of the image's shorter side."""

    bones: tuple[Tube, ...]
    tissue: tuple[tuple[Point, Point, float], ...] = ()
    """Soft tissue: from, to, radius."""


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
"""Makes each body part, a little different each time."""
