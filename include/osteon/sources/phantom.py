"""A source of generated radiographs, deterministic by seed, with the defects that published data sets have."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field

from osteon.images.radiograph import PARTS, draw
from osteon.settings import Settings
from osteon.sources.base import PublishedFile, SourceConfig

GENERATOR = 4
"""Raise it when the same configuration gives other images."""
SPLITS = ("train", "train", "train", "valid", "test")


Count = Annotated[int, Field(ge=0)]


class Defects(BaseModel):
    """How many files with each defect are added to, or made of, the originals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncated: Count = 0
    exact_copies: Count = 0
    rotated_copies: Count = 0
    reexported_copies: Count = 0
    mirrored_copies: Count = 0
    conflicting_copies: Count = 0
    blank: Count = 0
    not_image: Count = 0
    missing_label: Count = 0
    unknown_label: Count = 0
    ambiguous_label: Count = 0
    wrong_label: Count = 0
    padded: Count = 0
    inverted: Count = 0
    low_contrast: Count = 0
    colour_photo: Count = 0
    several_exposures: Count = 0
    ct_slice: Count = 0
    burnt_in_text: Count = 0


class PhantomConfig(SourceConfig):
    """A `phantom` entry of a sources file."""

    kind: Literal["phantom"]
    seed: int = 0
    images: int = Field(400, ge=1, description="originals, before defects are added")
    parts: tuple[str, ...] = tuple(PARTS)
    published_part: str | None = Field(None, description="the word for every body part; its own name without one")
    fractured_share: float = Field(0.4, ge=0, le=1)
    longer_side: tuple[int, int] = (168, 256)
    defects: Defects = Defects()

    def open(self, settings: Settings, folder: Path) -> PhantomSource:
        return PhantomSource(self)


@dataclass(frozen=True)
class Injected:
    """A defect that was put in: what the pipeline must find."""

    path: str
    defect: str
    original: str | None = None
    """Path of the file that a copy was made of."""


@dataclass(frozen=True)
class PhantomSource:
    """A generator with its configuration."""

    config: PhantomConfig

    def latest_version(self) -> str:
        """16 hex digits over the generator's version and the configuration."""
        return hashlib.sha256(f"{GENERATOR}|{self.config.model_dump_json()}".encode()).hexdigest()[:16]

    def fetch(self, version: str) -> Iterable[PublishedFile]:
        """The files, in the order of their paths."""
        return self._generated[0]

    def truth(self) -> list[Injected]:
        """The injected defects, in the order of their making."""
        return self._generated[1]

    @cached_property
    def _generated(self) -> tuple[list[PublishedFile], list[Injected]]:
        config, rng = self.config, np.random.default_rng(self.config.seed)
        originals: list[PublishedFile] = []
        for number in range(config.images):
            part = config.parts[number % len(config.parts)]
            fractured = bool(rng.random() < config.fractured_share)
            pixels = draw(part, fractured, _size(config, rng), rng)
            state = "fractured" if fractured else "non-fractured"
            split = str(rng.choice(SPLITS))
            path = f"{split}/{part}/{state}/{number:05d}.jpg"
            originals.append(PublishedFile(path, _jpeg(pixels), f"{config.published_part or part}|{state}", split))
        return _inject(originals, config, rng)


def _inject(
    originals: list[PublishedFile], config: PhantomConfig, rng: np.random.Generator
) -> tuple[list[PublishedFile], list[Injected]]:
    """Put the defects in. No original gets two, so each can be found on its own."""
    files = {file.path: file for file in originals}
    truth: list[Injected] = []
    queue = [originals[index].path for index in rng.permutation(len(originals))]
    defects = config.defects.model_dump()
    if sum(defects.values()) > len(queue):
        raise ValueError(f"source {config.name}: more defects than images: lower `defects` or raise `images`")

    for defect, count in defects.items():
        for number in range(count):
            original = files[queue.pop()]
            changed, copy = _DEFECTS[defect](original, number, rng)
            del files[original.path]
            files[changed.path] = changed
            if copy is None:
                truth.append(Injected(changed.path, defect))
            else:
                files[copy.path] = copy
                truth.append(Injected(copy.path, defect, changed.path))
    return [files[path] for path in sorted(files)], truth


Change = tuple[PublishedFile, PublishedFile | None]
"""The original as it is published, and the copy that is added to it."""


def _truncated(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    data = _bytes(file)
    return replace(file, data=data[: int(len(data) * rng.uniform(0.5, 0.85))]), None


def _exact_copy(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return file, _elsewhere(file, f"copy of {PurePosixPath(file.path).stem}", _bytes(file), rng)


def _rotated_copy(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    angle = 90 * int(rng.integers(1, 4)) if number % 2 else float(rng.choice((-1, 1)) * rng.uniform(4, 25))
    suffix = "-rotated2-rotated1" if number % 3 == 2 else "-rotated1"
    image = _image(file).rotate(angle, Image.Resampling.BILINEAR, expand=angle % 90 == 0)
    return file, _elsewhere(file, PurePosixPath(file.path).stem + suffix, _jpeg(np.asarray(image)), rng)


def _reexported_copy(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = _image(file)
    if number % 2:
        image = image.resize((round(image.width * 0.8), round(image.height * 0.8)), Image.Resampling.BICUBIC)
    stem = f"{PurePosixPath(file.path).stem}_jpg.rf.{rng.bytes(16).hex()}"
    return file, _elsewhere(file, stem, _jpeg(np.asarray(image), quality=60), rng)


def _mirrored_copy(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = _image(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return file, _elsewhere(file, f"flip_{number}", _jpeg(np.asarray(image)), rng)


def _conflicting_copy(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    _, copy = _reexported_copy(file, number, rng)
    assert copy is not None and file.raw_label is not None
    part, state = file.raw_label.split("|")
    return file, replace(copy, raw_label=f"{part}|{'non-fractured' if state == 'fractured' else 'fractured'}")


def _blank(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    # every blank image has its own size, or they would be copies of one another
    return replace(file, data=_jpeg(np.full((180 + number, 180), 12, np.uint8))), None


def _not_image(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, data=f"<html>download failed, reference {number}</html>".encode()), None


def _missing_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=None), None


def _unknown_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=f"mandible|{str(file.raw_label).split('|')[1]}"), None


def _ambiguous_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, raw_label=f"hand+shoulder|{str(file.raw_label).split('|')[1]}"), None


def _wrong_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    part, state = str(file.raw_label).split("|")
    others = [name for name in PARTS if name != part]
    return replace(file, raw_label=f"{rng.choice(others)}|{state}"), None


def _padded(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    """A part is cut off and filled with black, grey or white, as a viewer pads what did not arrive."""
    pixels = np.array(_image(file))
    edge = int(len(pixels) * rng.uniform(0.6, 0.7))
    pixels[edge:] = (0, 128, 255)[number % 3]
    return replace(file, data=_jpeg(np.rot90(pixels, number % 4))), None


def _inverted(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    return replace(file, data=_jpeg(255 - np.asarray(_image(file)))), None


def _low_contrast(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    film = np.asarray(_image(file))
    return replace(file, data=_jpeg((film / 12 + rng.normal(100, 3, film.shape)).astype(np.uint8))), None


def _colour_photo(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    tint = np.array(rng.permutation((1.0, 0.7, 0.4)))
    return replace(file, data=_jpeg((np.asarray(_image(file))[..., None] * tint).astype(np.uint8))), None


def _several_exposures(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    film = np.asarray(_image(file))
    bar = np.zeros((len(film), max(8, film.shape[1] // 6)), np.uint8)
    return replace(file, data=_jpeg(np.hstack([film, bar, film[:, ::-1]]))), None


def _ct_slice(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    """A limb cut across: an oval of soft tissue, two rings of cortex with marrow inside, air around."""
    side = int(rng.integers(180, 260))
    y, x = (np.indices((side, side)) - side / 2) / side
    film = rng.normal(6, 2, (side, side))

    def oval(centre: tuple[float, float], axes: tuple[float, float]) -> np.ndarray:
        return ((x - centre[0]) / axes[0]) ** 2 + ((y - centre[1]) / axes[1]) ** 2 <= 1

    film[oval((0, 0), (rng.uniform(0.33, 0.45), rng.uniform(0.25, 0.4)))] = rng.uniform(60, 110)
    for side in (-1, 1):
        centre, radius = (side * rng.uniform(0.1, 0.18), rng.uniform(-0.1, 0.1)), rng.uniform(0.04, 0.09)
        film[oval(centre, (radius, radius))] = rng.uniform(200, 240)
        film[oval(centre, (0.6 * radius, 0.6 * radius))] = rng.uniform(110, 150)
    return replace(file, data=_jpeg((film + rng.normal(0, 3, film.shape)).clip(0, 255).astype(np.uint8))), None


def _burnt_in_text(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    image = _image(file)
    line = ("ERECT", "STANDING", "PORTABLE", "WEIGHT BEARING")[number % 4]
    ImageDraw.Draw(image).text((4, 3), line, fill=255, font=ImageFont.load_default(14))
    return replace(file, data=_jpeg(np.asarray(image))), None


_DEFECTS = {
    "truncated": _truncated,
    "exact_copies": _exact_copy,
    "rotated_copies": _rotated_copy,
    "reexported_copies": _reexported_copy,
    "mirrored_copies": _mirrored_copy,
    "conflicting_copies": _conflicting_copy,
    "blank": _blank,
    "not_image": _not_image,
    "missing_label": _missing_label,
    "unknown_label": _unknown_label,
    "ambiguous_label": _ambiguous_label,
    "wrong_label": _wrong_label,
    "padded": _padded,
    "inverted": _inverted,
    "low_contrast": _low_contrast,
    "colour_photo": _colour_photo,
    "several_exposures": _several_exposures,
    "ct_slice": _ct_slice,
    "burnt_in_text": _burnt_in_text,
}


def _elsewhere(file: PublishedFile, stem: str, data: bytes, rng: np.random.Generator) -> PublishedFile:
    """A copy under another name, in another of the publisher's splits."""
    split = str(rng.choice([name for name in ("train", "valid", "test") if name != file.raw_split]))
    folders = PurePosixPath(file.path).parts[1:-1]
    return PublishedFile("/".join((split, *folders, f"{stem}.jpg")), data, file.raw_label, split)


def _size(config: PhantomConfig, rng: np.random.Generator) -> tuple[int, int]:
    long = int(rng.integers(config.longer_side[0], config.longer_side[1] + 1))
    short = int(long * rng.uniform(0.8, 1.0))
    return (short, long) if rng.random() < 0.7 else (long, short)


def _jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def _image(file: PublishedFile) -> Image.Image:
    return Image.open(io.BytesIO(_bytes(file)))


def _bytes(file: PublishedFile) -> bytes:
    assert file.data is not None
    return file.data
