"""Defects of published images, and the registry of those that generated radiographs can have.

A check brings the defect that proves it: a function that spoils one file. `osteon.sources.phantom` puts it into as many
files as its configuration asks for.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from osteon import extensions
from osteon.sources.base import PublishedFile

Change = tuple[PublishedFile, PublishedFile | None]
"""The file as it is published instead, and a copy of it that is published as well."""


@dataclass(frozen=True)
class Defect:
    """A way in which a publisher spoils a file."""

    name: str
    """As `defects` of a phantom's configuration has it."""
    inject: Callable[[PublishedFile, int, np.random.Generator], Change]
    """Takes a good file, how many files got this defect before it, and the generator that all chance comes from."""


def defect(inject: Callable[[PublishedFile, int, np.random.Generator], Change]) -> Defect:
    """A decorator that makes a defect of a function, which gives it the name."""
    return Defect(inject.__name__, inject)


_DEFECTS = extensions.Registry[Defect]("defects", extensions.CHECKS, lambda found: found.inject)


def register(found: Defect) -> None:
    """Make a defect known. Registering the same one again does nothing.

    Raises:
        ExtensionError: Another defect has the name.
    """
    _DEFECTS.add(found.name, found)


def registered() -> dict[str, Defect]:
    """Defects of all checks by name, in the order of their names.

    Raises:
        ExtensionError: A check of another package cannot be loaded.
    """
    return _DEFECTS.all()


# What defects are made with


def bytes_of(file: PublishedFile) -> bytes:
    """Bytes of a file that is handed on. Raises `ValueError` for one that is left out."""
    if file.data is None:
        raise ValueError(f"{file.path} is left out, it has no bytes")
    return file.data


def image_of(file: PublishedFile) -> Image.Image:
    """The image that a file holds."""
    return Image.open(io.BytesIO(bytes_of(file)))


def pixels_of(file: PublishedFile) -> NDArray[np.uint8]:
    """Pixels (height, width) of a generated radiograph: grey levels, 0 is black."""
    return np.array(image_of(file))


def with_pixels(file: PublishedFile, pixels: NDArray[np.number]) -> PublishedFile:
    """The file with other pixels, (height, width) or with 3 channels, which are cut off to 0 to 255."""
    return replace(file, data=jpeg(pixels))


def jpeg(pixels: NDArray[np.number], quality: int = 88) -> bytes:
    """Pixels (height, width), or with 3 channels, as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels).clip(0, 255).astype(np.uint8)).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def copy_of(file: PublishedFile, stem: str, data: bytes, rng: np.random.Generator) -> PublishedFile:
    """A copy under another name, in another of the publisher's splits."""
    split = str(rng.choice([name for name in ("train", "valid", "test") if name != file.raw_split]))
    folders = PurePosixPath(file.path).parts[1:-1]
    return PublishedFile("/".join((split, *folders, f"{stem}.jpg")), data, file.raw_label, split)


def reexport(file: PublishedFile, number: int, rng: np.random.Generator) -> PublishedFile:
    """A copy as an annotation tool exports it: another name, another quality, every second one of another size."""
    image = image_of(file)
    if number % 2:
        image = image.resize((round(image.width * 0.8), round(image.height * 0.8)), Image.Resampling.BICUBIC)
    stem = f"{PurePosixPath(file.path).stem}_jpg.rf.{rng.bytes(16).hex()}"
    return copy_of(file, stem, jpeg(np.asarray(image), quality=60), rng)
