"""Fingerprints: what is kept of a film so that its copies are found, however they were cropped, turned or exposed.

A fingerprint holds local features (SIFT; D. Lowe, IJCV 60, 2004) of the film after its contrast was evened out, and a
small picture of it. Mirror images and negatives need no features of their own: see `osteon.images.descriptors.VIEWS`.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.images.descriptors import COEFFICIENTS, describe

FORMAT = 2
"""Of the bytes and of what they hold. With another number every image ever seen gets a new fingerprint."""
AREA, LONGEST = 50_000, 640
"""Pixels of the working picture that features are found on, and the most of its longer side."""
FEATURES = 300
"""The most features of a film."""
DETECTED = 500
"""Strongest features that are found, before the spread over the picture decides."""
BLUR, CONTRAST, EDGE = 2.0, 0.006, 12.0
"""SIFT's first blur in pixels (with its default of 1.6, noise makes more features), and its thresholds."""
MAX_BYTES = 12_000
"""Of a fingerprint. Features that do not fit are left out, the weakest first."""
SMALL, QUALITY = 7_600, 90
"""Pixels of the small picture, and the quality that it is kept in as a JPEG."""
ELONGATED = 1.8
"""Ratio of sides from which features are also found on the film stretched to a square, as tools stretch it."""
SQUARE = round(math.sqrt(AREA))
"""Side of the working picture that is stretched to a square."""
OWN = 0.6
"""Share of FEATURES that an elongated film has on itself; the others are of the square."""
CELLS = 8
"""The picture is divided into so many rows and columns, so that features spread over it."""
PLAIN = 10
"""Grey levels within a row or column at the border up to which it shows nothing and is cut off."""
WINDOW = 14
"""The side of the picture over the standard deviation of the window that contrast is evened out in."""
EQUALISED = 0.25
"""Weight of the histogram-equalised picture in what features are found on: so that equalised copies are like it, and
noise in dark areas stays small."""
AROUND = 3.0
"""Pixels of the small picture: the deviation of the window that its contrast is evened out in."""
NOISE = 6.0
"""Grey levels that are added to the local deviation, so that noise in flat areas stays small."""

FEATURE = np.dtype([("x", "<u2"), ("y", "<u2"), ("scale", "u1"), ("angle", "u1"), ("descriptor", "i1", COEFFICIENTS)])
"""Position in 1/64 pixel of its picture; log2 of the size in 1/16; angle in 1/256 of a turn; coefficients."""
POSITION = 64
_LENGTH, _HEADER = struct.Struct("<I"), struct.Struct("<4H")


@dataclass(frozen=True)
class Fingerprint:
    """A film's features, in the coordinates of its working picture, and its small picture."""

    positions: NDArray[np.float32]
    """(n, 2): x and y, in pixels of the picture that each was found on; 0 is the centre of the first."""
    scales: NDArray[np.uint8]
    angles: NDArray[np.uint8]
    """(n,) each, as `FEATURE` has them."""
    descriptors: NDArray[np.int8]
    """(n, COEFFICIENTS)."""
    picture: NDArray[np.uint8]
    """(height, width), grey; some SMALL pixels."""
    size: tuple[int, int]
    """Width and height of the working picture."""
    own: int
    """Features that were found on it, the first of all. The others are of a square that it was stretched to."""

    @property
    def frames(self) -> tuple[Fingerprint, ...]:
        """The film with the features that were found on it and, if it is elongated, as a square with those of that."""
        # not cached: a film that holds itself would stay in memory until the garbage collector comes
        return (self,) if self.own == len(self.positions) else self._parts

    @cached_property
    def _parts(self) -> tuple[Fingerprint, Fingerprint]:
        return self._part(slice(self.own), self.size), self._part(slice(self.own, None), (SQUARE, SQUARE))

    def _part(self, some: slice, size: tuple[int, int]) -> Fingerprint:
        positions, descriptors = self.positions[some], self.descriptors[some]
        return Fingerprint(
            positions, self.scales[some], self.angles[some], descriptors, self.picture, size, len(positions)
        )

    @cached_property
    def unit(self) -> NDArray[np.float32]:
        """Descriptors (n, COEFFICIENTS) of norm 1: their products are cosines."""
        values = self.descriptors.astype(np.float32)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6))

    @cached_property
    def grain(self) -> float:
        """Logarithm of how much neighbours differ in the small picture, in grey levels: of its noise, mostly."""
        picture = self.picture.astype(np.float32)
        return float(np.log(np.median(np.abs(picture - cv2.GaussianBlur(picture, (0, 0), 1.0))) + 0.3))

    @cached_property
    def evened(self) -> NDArray[np.float32]:
        """The small picture with its contrast evened out: each pixel less the mean around it, over the deviation."""
        picture = self.picture.astype(np.float32)
        mean = cv2.GaussianBlur(picture, (0, 0), AROUND)
        square = cv2.GaussianBlur(picture * picture, (0, 0), AROUND)
        return np.asarray((picture - mean) / (np.sqrt(np.maximum(square - mean * mean, 0)) + NOISE / 2), np.float32)

    @property
    def shrink(self) -> NDArray[np.float64]:
        """Pixels of the working picture for one of the small picture, across and down."""
        return np.array(self.size) / self.picture.shape[::-1]


def fingerprint(grey: NDArray[np.uint8], missing: NDArray[np.bool_] | None = None) -> bytes:
    """The fingerprint of a film (height, width; 8-bit grey), at most MAX_BYTES.

    `missing` (height, width) marks what a truncated stream lacks: only the rows and columns that are there count, and
    keep the scale that the whole film would have. Plain borders are cut off first. A film that shows nothing has a
    fingerprint without features.
    """
    there = 1.0 if missing is None else max(0.05, 1 - float(missing.mean()))
    shown = _within(grey, missing)
    height, width = shown.shape
    scale = min(math.sqrt(AREA * there / (height * width)), LONGEST / max(height, width))
    picture = _scaled(shown, max(16, round(width * scale)), max(16, round(height * scale)))
    if max(height, width) < ELONGATED * min(height, width):
        features = _features(picture, FEATURES)
        own = len(features)
    else:
        features = _features(picture, round(OWN * FEATURES))
        own = len(features)
        features = np.concatenate([features, _features(_scaled(shown, SQUARE, SQUARE), FEATURES - own)])
    shrink = math.sqrt(picture.size / SMALL)
    small = _scaled(picture, max(8, round(picture.shape[1] / shrink)), max(8, round(picture.shape[0] / shrink)))
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    while True:
        header = _HEADER.pack(len(features), min(own, len(features)), *picture.shape[::-1])
        data = zlib.compress(header + features.tobytes(), 6)
        if _LENGTH.size + len(data) + len(jpeg) <= MAX_BYTES:
            return _LENGTH.pack(len(data)) + data + jpeg.tobytes()
        features = features[: len(features) * 9 // 10]


def read_fingerprint(data: bytes) -> Fingerprint:
    """A fingerprint from its bytes. Raises `ValueError` where they are none."""
    try:
        start = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        raw = zlib.decompress(data[_LENGTH.size : start])
        count, own, width, height = _HEADER.unpack_from(raw)
        features = np.frombuffer(raw, FEATURE, count, _HEADER.size)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8, offset=start), cv2.IMREAD_GRAYSCALE)
    except (zlib.error, struct.error, cv2.error) as error:
        raise ValueError(f"these bytes are no fingerprint: {error}") from None
    return Fingerprint(
        np.stack([features["x"], features["y"]], axis=1).astype(np.float32) / np.float32(POSITION),
        features["scale"],
        features["angle"],
        features["descriptor"],
        np.asarray(picture, np.uint8),
        (width, height),
        own,
    )


def _within(grey: NDArray[np.uint8], missing: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """What is there of a film, without plain borders; all of it where that leaves next to nothing."""
    if missing is not None and missing.any():
        whole_rows, whole_columns = ~missing.all(axis=1), ~missing.all(axis=0)
        if whole_rows.any() and whole_columns.any():
            grey = grey[whole_rows][:, whole_columns]
    height, width = grey.shape
    look = _scaled(grey, min(width, 256), min(height, 256)).astype(np.int16)
    rows = np.flatnonzero(np.ptp(look, axis=1) > PLAIN)
    columns = np.flatnonzero(np.ptp(look, axis=0) > PLAIN)
    if len(rows) < 8 or len(columns) < 8:
        return grey
    (top, bottom), (left, right) = (
        (int(shown[0]) * full // seen, min(full, -(-(int(shown[-1]) + 1) * full // seen)))
        for shown, full, seen in ((rows, height, look.shape[0]), (columns, width, look.shape[1]))
    )
    return grey[top:bottom, left:right]


def _scaled(grey: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if grey.shape == (height, width):
        return grey
    shrinks = width * height < grey.size
    scaled = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def even_contrast(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel less the mean around it, over the deviation around it (plus NOISE), as 8-bit grey around 128.

    Before, the picture is mixed with its histogram-equalised self.
    """
    height, width = picture.shape
    equalised = cv2.equalizeHist(picture)
    values = cv2.addWeighted(picture, 1 - EQUALISED, equalised, EQUALISED, 0, dtype=cv2.CV_32F)
    few = (max(1, width // 4), max(1, height // 4))
    sigma = math.sqrt(picture.size) / WINDOW / 4
    mean, square = (
        cv2.GaussianBlur(cv2.resize(array, few, interpolation=cv2.INTER_AREA), (0, 0), sigma)
        for array in (values, values * values)
    )
    gain = 48 / (np.sqrt(np.maximum(square - mean * mean, 0)) + NOISE)
    around, factor = (cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR) for array in (mean, gain))
    return np.asarray(np.clip((values - around) * factor + 128, 0, 255).astype(np.uint8))


def _features(picture: NDArray[np.uint8], most: int) -> NDArray[np.void]:
    """Up to `most` features as `FEATURE` has them, the strongest first.

    A feature is as strong as its contrast times its size: large ones outlast noise and blur.
    """
    sift = cv2.SIFT.create(nfeatures=DETECTED, contrastThreshold=CONTRAST, edgeThreshold=EDGE, sigma=BLUR)
    found, raw = sift.detectAndCompute(even_contrast(picture), None)
    if not found:
        return np.zeros(0, FEATURE)
    values = np.array([(*point.pt, point.size, point.angle, point.response) for point in found], np.float32)
    chosen = _spread(values[:, :2], values[:, 4] * values[:, 2], picture.shape, most)
    values, raw = values[chosen], raw[chosen]
    features = np.zeros(len(chosen), FEATURE)
    features["x"], features["y"] = np.clip(values[:, :2] * POSITION, 0, 65535).round().T
    features["scale"] = np.clip(np.log2(np.maximum(values[:, 2], 1)) * 16, 0, 255).round()
    features["angle"] = (values[:, 3] * (256 / 360)).round() % 256
    features["descriptor"] = describe(np.asarray(raw, np.float32))
    return features


def _spread(
    positions: NDArray[np.float32], strengths: NDArray[np.float32], shape: tuple[int, int], most: int
) -> NDArray[np.intp]:
    """Rows of up to `most` features, the strongest first: half for their strength, half for the strongest of cells."""
    order = np.argsort(-strengths, kind="stable")
    if len(order) <= most:
        return order
    height, width = shape
    column, row = (positions[order] * CELLS // (width, height)).astype(int).clip(0, CELLS - 1).T
    cell = row * CELLS + column
    by_cell = np.argsort(cell, kind="stable")
    sizes = np.bincount(cell, minlength=CELLS * CELLS)
    rank = np.empty(len(order), int)
    rank[by_cell] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    best = most // 2
    rest = best + np.argsort(rank[best:], kind="stable")[: most - best]
    return np.asarray(order[np.sort(np.concatenate([np.arange(best), rest]))])
