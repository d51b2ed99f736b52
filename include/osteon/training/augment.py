"""Augmentation: what an image could have been, worked out on its square, which the recipe then transforms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon.features import Recipe
from osteon.training.sampling import Rows

Augment = Callable[[Rows], NDArray[np.float32]]
"""From row numbers (n,) to features (n, rows, columns, planes) of what their images could have been, each time anew."""


@dataclass(frozen=True)
class Moves:
    """How far an image is moved, either way. It is mirrored as often as not."""

    degrees: float
    zoom: float = 0.0
    """Share of its size."""
    shift: float = 0.0
    """Share of its side, in whole pixels."""
    gain: float = 0.0
    """Share of the contrast that it has after it was standardised."""
    turned: float = 1.0
    """Share of images that are turned and scaled. The others keep whole pixels: interpolation blurs, and a model that
    saw only blurred images is worse on those that are not (FracAtlas, 64 pixels, two seeds: fracture AUROC 0.78 and
    0.82)."""


MAIN_MOVES = Moves(degrees=10, zoom=0.1, shift=0.06, gain=0.2, turned=0.5)
BASE_MOVES = Moves(degrees=25)


def augmented(squares: NDArray[np.uint8], recipe: Recipe, moves: Moves, seed: int) -> Augment:
    """Features of moved squares (n, side, side): those of a turned image are what a turned image has."""
    random = np.random.default_rng(seed)

    def augment(rows: Rows) -> NDArray[np.float32]:
        moved = np.stack([_moved(squares[row], moves, random) for row in rows])
        gains = 1 + random.uniform(-moves.gain, moves.gain, (len(rows), 1, 1, 1))
        return (recipe.of_squares(moved) * gains).astype(np.float32)

    return augment


def _moved(square: NDArray[np.uint8], moves: Moves, random: np.random.Generator) -> NDArray[np.uint8]:
    side = len(square)

    def drawn(most: float) -> float:
        return random.uniform(-most, most)

    turned = random.random() < moves.turned
    angle, scale = turned * drawn(math.radians(moves.degrees)), 1 + turned * drawn(moves.zoom)
    mirror = random.choice([-1, 1])
    down, right = round(drawn(moves.shift * side)), round(drawn(moves.shift * side))
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    # where in the image each pixel of the new one is found: turned about the middle, then moved
    lines = ((mirror * cos, -sin, right), (mirror * sin, cos, down))
    matrix = [number for x, y, move in lines for number in (x, y, side / 2 * (1 - x - y) + move)]
    image = Image.fromarray(square)
    how = Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    return np.asarray(image.transform(image.size, *how, fillcolor=int(square.min())))
