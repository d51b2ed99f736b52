"""What publishers' tools do to a film: Roboflow, Augmentor, Albumentations, Keras, and hands that annotate.

Each alteration takes a film (height, width; 8-bit grey) and a random generator, and returns another film.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Film = NDArray[np.uint8]
Alter = Callable[[Film, np.random.Generator], Film]
BORDERS = {
    "black": (cv2.BORDER_CONSTANT, 0),
    "white": (cv2.BORDER_CONSTANT, 255),
    "grey": (cv2.BORDER_CONSTANT, 114),
    "edge": (cv2.BORDER_REPLICATE, 0),
    "reflected": (cv2.BORDER_REFLECT_101, 0),
}


def _warped(film: Film, matrix: NDArray[np.floating], border: str, size: tuple[int, int] | None = None) -> Film:
    mode, value = BORDERS[border]
    size = size or (film.shape[1], film.shape[0])
    warped = cv2.warpAffine(film, np.asarray(matrix, np.float32), size, borderMode=mode, borderValue=value)
    return np.asarray(warped, np.uint8)


def rotated(degrees: float | None, border: str) -> Alter:
    """By so many degrees to either side (None: by any angle), half the time on a canvas that holds all of it."""

    def alter(film: Film, rng: np.random.Generator) -> Film:
        height, width = film.shape
        by = rng.uniform(0, 360) if degrees is None else degrees * rng.choice([-1, 1])
        matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), float(by), 1.0), np.float64)
        if rng.random() < 0.5:
            return _warped(film, matrix, border)
        cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (int(height * sine + width * cosine), int(height * cosine + width * sine))
        matrix[:, 2] += (np.array(size) - (width, height)) / 2
        return _warped(film, matrix, border, size)

    return alter


def cropped(area: float, zoomed: bool = False) -> Alter:
    """To so much of its area, anywhere; `zoomed` back to the size that it had."""

    def alter(film: Film, rng: np.random.Generator) -> Film:
        height, width = film.shape
        across = rng.uniform(max(area, math.sqrt(area) * 0.9), min(1.0, math.sqrt(area) / 0.9))
        rows, columns = int(height * area / across), int(width * across)
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        part = film[top : top + rows, left : left + columns].copy()
        return np.asarray(cv2.resize(part, (width, height)), np.uint8) if zoomed else part

    return alter


def shifted(share: float, border: str) -> Alter:
    def alter(film: Film, rng: np.random.Generator) -> Film:
        height, width = film.shape
        by = rng.choice([-share, share], 2) * (width, height)
        return _warped(film, np.array([[1, 0, by[0]], [0, 1, by[1]]]), border)

    return alter


def sheared(degrees: float) -> Alter:
    def alter(film: Film, rng: np.random.Generator) -> Film:
        height, width = film.shape
        by = math.tan(math.radians(degrees)) * rng.choice([-1, 1])
        if rng.random() < 0.5:
            return _warped(film, np.array([[1, by, -by * height / 2], [0, 1, 0]]), "black")
        return _warped(film, np.array([[1, 0, 0], [by, 1, -by * width / 2]]), "black")

    return alter


def resized(width: int, height: int, back: bool = False) -> Alter:
    def alter(film: Film, rng: np.random.Generator) -> Film:
        small = cv2.resize(film, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, film.shape[::-1]) if back else small, np.uint8)

    return alter


def half_size(film: Film, rng: np.random.Generator) -> Film:
    return np.asarray(cv2.resize(film, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def letterboxed(value: int) -> Alter:
    """Fitted within a square of one grey."""

    def alter(film: Film, rng: np.random.Generator) -> Film:
        side = int(max(film.shape) * rng.uniform(1, 1.1))
        square = np.full((side, side), value, np.uint8)
        top, left = ((side - length) // 2 for length in film.shape)
        square[top : top + film.shape[0], left : left + film.shape[1]] = film
        return square

    return alter


def framed(film: Film, rng: np.random.Generator) -> Film:
    wide = int(max(film.shape) * 0.05)
    return np.asarray(cv2.copyMakeBorder(film, wide, wide, wide, wide, cv2.BORDER_CONSTANT, value=255), np.uint8)


def saved(quality: int) -> Alter:
    def alter(film: Film, rng: np.random.Generator) -> Film:
        _, data = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    return alter


def _grey(values: NDArray[np.floating]) -> Film:
    grey: Film = np.clip(values, 0, 255).astype(np.uint8)
    return grey


def brighter(factor: float) -> Alter:
    return lambda film, rng: _grey(film * np.float32(factor))


def contrasted(factor: float) -> Alter:
    return lambda film, rng: _grey((film - film.mean()) * np.float32(factor) + film.mean())


def gamma(power: float) -> Alter:
    return lambda film, rng: _grey(255 * (film / np.float32(255)) ** power)


def windowed(low: int, high: int) -> Alter:
    return lambda film, rng: _grey((film.astype(np.float32) - low) * 255 / (high - low))


def clahe(limit: float) -> Alter:
    return lambda film, rng: np.asarray(cv2.createCLAHE(limit, (8, 8)).apply(film), np.uint8)


def equalised(film: Film, rng: np.random.Generator) -> Film:
    return np.asarray(cv2.equalizeHist(film), np.uint8)


def negative(film: Film, rng: np.random.Generator) -> Film:
    return 255 - film


def blurred(sigma: float) -> Alter:
    return lambda film, rng: np.asarray(cv2.GaussianBlur(film, (0, 0), sigma), np.uint8)


def noisy(film: Film, rng: np.random.Generator) -> Film:
    """Gaussian noise of 5 % of the range."""
    return _grey(film + rng.normal(0, 0.05 * 255, film.shape))


def cut_out(holes: int, share: float) -> Alter:
    def alter(film: Film, rng: np.random.Generator) -> Film:
        result = film.copy()
        rows, columns = (int(length * share) for length in film.shape)
        for _ in range(holes):
            top = rng.integers(0, film.shape[0] - rows + 1)
            left = rng.integers(0, film.shape[1] - columns + 1)
            result[top : top + rows, left : left + columns] = 0
        return result

    return alter


def annotated(film: Film, rng: np.random.Generator) -> Film:
    """With a side marker, a date, a word and a box burnt in."""
    result = film.copy()
    height, width = film.shape
    for word in ("L", "AP 12.03.2019", "PORTABLE"):
        at = int(rng.uniform(0, 0.7) * width), int(rng.uniform(0.1, 0.95) * height)
        size = width / 500 * rng.uniform(0.7, 1.8)
        cv2.putText(result, word, at, cv2.FONT_HERSHEY_SIMPLEX, size, (255,), 2)
    left, top = int(rng.uniform(0.1, 0.6) * width), int(rng.uniform(0.1, 0.6) * height)
    cv2.rectangle(result, (left, top), (left + width // 4, top + height // 4), (255,), 2)
    return result


def tinted(film: Film, rng: np.random.Generator) -> Film:
    """In colour, which the decoder makes grey again."""
    channels = np.stack([film * rng.uniform(0.6, 1) for _ in range(3)], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(channels, cv2.COLOR_RGB2GRAY), np.uint8)


def beside(other: Film) -> Alter:
    """The film as one of two exposures: that it was cut out of it is to be found."""

    def alter(film: Film, rng: np.random.Generator) -> Film:
        height = film.shape[0]
        scaled = cv2.resize(other, (max(8, int(other.shape[1] * height / other.shape[0])), height))
        gap = np.zeros((height, max(2, film.shape[1] // 30)), np.uint8)
        parts = [film, gap, scaled] if rng.random() < 0.5 else [scaled, gap, film]
        return np.concatenate(parts, axis=1)

    return alter


def mosaic(films: list[Film], side: int = 640) -> Film:
    """Four films in one, as Roboflow and YOLO make them."""
    cells = [cv2.resize(film, (side // 2, side // 2), interpolation=cv2.INTER_AREA) for film in films]
    return np.concatenate([np.concatenate(cells[:2], axis=1), np.concatenate(cells[2:], axis=1)], axis=0)


def mirrored(film: Film, rng: np.random.Generator) -> Film:
    return np.ascontiguousarray(film[:, ::-1] if rng.random() < 0.5 else film[::-1])


def turned(film: Film, rng: np.random.Generator) -> Film:
    return np.ascontiguousarray(np.rot90(film, int(rng.integers(1, 4))))


KINDS: dict[str, list[Alter]] = {
    "saved anew, quality 30": [saved(30)],
    "half size": [half_size],
    "224 pixels and back": [resized(224, 224, back=True)],
    "mirrored": [mirrored],
    "quarter turns": [turned],
    "rotated 2 degrees": [rotated(2, "black"), rotated(2, "white"), rotated(2, "edge")],
    "rotated 15 degrees": [rotated(15, "black"), rotated(15, "white"), rotated(15, "edge")],
    "rotated by any angle": [rotated(None, border) for border in ("black", "white", "edge")],
    "crop 2 to 10 %": [cropped(0.98), cropped(0.95), cropped(0.9)],
    "crop 25 %": [cropped(0.75)],
    "crop 40 %": [cropped(0.6)],
    "zoom": [cropped(0.9, True), cropped(0.8, True), cropped(0.6, True)],
    "shift 3 to 20 %": [shifted(0.03, "black"), shifted(0.1, "white"), shifted(0.1, "edge"), shifted(0.2, "reflected")],
    "shear 5 to 10 degrees": [sheared(5), sheared(10)],
    "shear 15 degrees": [sheared(15)],
    "stretched to a square": [resized(640, 640), resized(224, 224)],
    "letterbox": [letterboxed(0), letterboxed(255), letterboxed(114)],
    "white frame": [framed],
    "brightness": [brighter(0.67), brighter(1.33)],
    "contrast": [contrasted(0.67), contrasted(1.33)],
    "gamma": [gamma(0.67), gamma(1.5)],
    "gamma 2": [gamma(0.5), gamma(2.0)],
    "window 40 to 200": [windowed(40, 200)],
    "CLAHE": [clahe(2), clahe(4)],
    "equalised": [equalised],
    "negative": [negative],
    "blur 2.5 pixels": [blurred(2.5)],
    "noise 5 %": [noisy],
    "cutout": [cut_out(3, 0.1), cut_out(5, 0.15)],
    "text, markers, boxes": [annotated],
    "colour tint": [tinted],
}
"""One thing that a tool does, in its strengths. Films cut off or put beside others need more than the film."""


BEYOND = ("gamma 2", "window 40 to 200")
"""Kinds that change grey levels more than tools do unless they are asked to."""


def several(count: int, rng: np.random.Generator, beyond: bool = False) -> Alter:
    """So many of KINDS, one after the other; with `beyond` one of BEYOND is among them, and else none."""
    names = rng.choice([name for name in KINDS if name not in BEYOND], count, replace=False).tolist()
    if beyond:
        names[int(rng.integers(count))] = str(rng.choice(BEYOND))
    steps = [KINDS[name][int(rng.integers(len(KINDS[name])))] for name in names]

    def alter(film: Film, rng: np.random.Generator) -> Film:
        for step in steps:
            film = step(film, rng)
        return film

    return alter
