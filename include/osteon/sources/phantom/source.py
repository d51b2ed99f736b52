"""A source of generated radiographs, deterministic by seed, with the defects that published data sets have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from osteon.extensions import nearest
from osteon.settings import SourceSettings
from osteon.sources import defects
from osteon.sources.base import PublishedFile, SourceConfig
from osteon.sources.phantom.anatomy import PARTS
from osteon.sources.phantom.drawing import draw
from osteon.sources.registry import publisher

GENERATOR = 4
"""Raise it when the same configuration gives other images."""
SPLITS = ("train", "train", "train", "valid", "test")


Count = Annotated[int, Field(ge=0)]


class Defects(BaseModel):
    """How many files with each defect are added to, or made of, the originals.

    The fields are the defects that phantoms had first, in the order in which they are injected: another order would
    give other images for a seed. Defects that other checks register are injected after these.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Count] = Field(init=False)

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

    @model_validator(mode="after")
    def _known(self) -> Defects:
        for name in self.__pydantic_extra__:
            if name not in (known := defects.registered()):
                raise ValueError(f"there is no defect `{name}`: did you mean `{nearest(name, known)}`?")
        return self


@publisher
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

    def open(self, settings: SourceSettings, folder: Path) -> PhantomSource:
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
            path, word = f"{split}/{part}/{state}/{number:05d}.jpg", config.published_part or part
            originals.append(PublishedFile(path, defects.jpeg(pixels), f"{word}|{state}", split))
        return _inject(originals, config, rng)


def _inject(
    originals: list[PublishedFile], config: PhantomConfig, rng: np.random.Generator
) -> tuple[list[PublishedFile], list[Injected]]:
    """Put the defects in. No original gets two, so each can be found on its own."""
    files = {file.path: file for file in originals}
    truth: list[Injected] = []
    queue = [originals[index].path for index in rng.permutation(len(originals))]
    wanted, known = config.defects.model_dump(), defects.registered()
    if sum(wanted.values()) > len(queue):
        raise ValueError(f"source {config.name}: more defects than images: lower `defects` or raise `images`")

    for defect, count in wanted.items():
        for number in range(count):
            original = files[queue.pop()]
            changed, copy = known[defect].inject(original, number, rng)
            del files[original.path]
            files[changed.path] = changed
            if copy is None:
                truth.append(Injected(changed.path, defect))
            else:
                files[copy.path] = copy
                truth.append(Injected(copy.path, defect, changed.path))
    return [files[path] for path in sorted(files)], truth


def _size(config: PhantomConfig, rng: np.random.Generator) -> tuple[int, int]:
    long = int(rng.integers(config.longer_side[0], config.longer_side[1] + 1))
    short = int(long * rng.uniform(0.8, 1.0))
    return (short, long) if rng.random() < 0.7 else (long, short)
