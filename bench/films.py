"""Films of the real archives, their fingerprints, and what is made of them where copies are measured."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from alterations import KINDS, Alter, beside, mosaic, several
from alterations import Film as Pixels
from numpy.typing import NDArray
from peers import Hashes, hashes_of
from threadpoolctl import threadpool_limits

from osteon.images.decode import decode
from osteon.images.fingerprint import fingerprint
from osteon.settings import ROOT

DATA = ROOT.parent / "shared" / "data"
ARCHIVES = ("fracatlas.zip", "spine-region.v1.yolov5pytorch.zip")
NEIGHBOURS = 20
"""Films of FracAtlas whose numbers follow on each other, and are in one half."""
MAX_PIXELS = 10**8
PROCESSES = 2
KEPT = (0.3, 0.5, 0.75, 0.9)
"""Shares of its rows that a truncated film keeps."""
LESS, MORE = 0.3, 0.6
"""The same of two truncated films that are compared with each other."""
BESIDE, TRUNCATED, BOTH_TRUNCATED, MOSAIC = (
    "one of two exposures",
    "truncated",
    f"truncated at {LESS:.0%} against {MORE:.0%}",
    "mosaic of four films",
)
SEVERAL = {"two at once": (2, False), "three at once": (3, False), "three at once, one beyond": (3, True)}
"""How many of the kinds, and whether one is of `alterations.BEYOND`."""
REPEATED = 2
"""Copies of a film that are altered in several ways, of each."""


@dataclass(frozen=True)
class Film:
    """A file of an archive."""

    name: str
    data: bytes

    @property
    def short(self) -> str:
        return Path(self.name).name

    @property
    def digest(self) -> str:
        return sha256(self.data).hexdigest()

    @property
    def number(self) -> int | None:
        """FracAtlas' number: neighbours are often one patient."""
        found = re.search(r"IMG(\d+)", self.name)
        return int(found[1]) if found else None

    @property
    def fitted(self) -> bool:
        """Whether the film is of the half that weights are fitted on.

        What Roboflow made of one film is in one half; so are films of near numbers, which are often of one patient.
        """
        number = self.number
        name = self.short.partition(".rf.")[0] if number is None else str(number // NEIGHBOURS)
        return zlib.crc32(name.encode()) % 2 == 0


@dataclass(frozen=True)
class Seen:
    """What is known of a film of an archive after its one decode."""

    data: bytes
    """Its fingerprint."""
    hashes: Hashes | None
    truncated: bool


@dataclass(frozen=True)
class Altered:
    """An altered copy: what was done, to which film first (and which others it shows), and its fingerprint."""

    kind: str
    strength: str
    films: tuple[str, ...]
    data: bytes
    hashes: Hashes | None

    @property
    def key(self) -> str:
        return f"{self.films[0]} | {self.kind} | {self.strength}"


def read_films(most: int | None = None) -> list[Film]:
    """Films of both archives in order of their names, or the first `most` of each. Ends the program without them."""
    films: list[Film] = []
    for archive in ARCHIVES:
        if not (DATA / archive).exists():
            raise SystemExit(f"the benchmark of copies was left out: {DATA / archive} is not there")
        with zipfile.ZipFile(DATA / archive) as file:
            names = sorted(name for name in file.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
            films += [Film(name, file.read(name)) for name in names[:most]]
    return films


def in_processes(work: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Results in the order of the tasks."""
    parallel = joblib.Parallel(n_jobs=PROCESSES, return_as="generator")
    yield from parallel(joblib.delayed(_on_one_thread)(work, task) for task in tasks)


def _on_one_thread(work: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        return work(*task)


def pixels_of(film: Film) -> Pixels:
    return decode(film.data, MAX_PIXELS).pixels


def look(film: Film, hashed: bool, slow: bool) -> Seen:
    """Fingerprint of a film and, where they are wanted, the peers' hashes, the slow one of them as well."""
    image = decode(film.data, MAX_PIXELS)
    data = fingerprint(image.pixels, image.missing if image.truncated else None)
    return Seen(data, hashes_of(image.pixels, slow) if hashed else None, image.truncated)


def strength_of(alter: Alter) -> str:
    """What an alteration was given, as text."""
    code, cells = getattr(alter, "__code__", None), getattr(alter, "__closure__", None)
    if code is None or not cells:
        return ""
    given = {name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)}
    return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None and value is not False)


def cut_off(film: Pixels, kept: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """A film of which a stream that ends too early gave but the first rows, and what is missing."""
    cut, missing = film.copy(), np.zeros(film.shape, bool)
    cut[int(len(film) * kept) :] = 0
    rows = np.flatnonzero(cut.any(axis=1))
    missing[rows[-1] + 1 if len(rows) else 0 :] = True
    return cut, missing


def alter_film(film: Film, others: list[Film], seed: int, hashed: bool, slow: bool) -> list[Altered]:
    """Every altered copy of a film that is compared; the first of three `others` stands beside it, all in a mosaic."""
    original = pixels_of(film)
    found: list[Altered] = []

    def random(*of: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(" ".join((film.name, *of)).encode())])

    def add(
        kind: str, strength: str, made: Pixels, missing: NDArray[np.bool_] | None = None, shows: tuple[str, ...] = ()
    ) -> None:
        hashes = hashes_of(made, slow) if hashed and kind != MOSAIC else None
        found.append(Altered(kind, strength, (film.name, *shows), fingerprint(made, missing), hashes))

    for kind, strengths in KINDS.items():
        for alter in strengths:
            strength = strength_of(alter)
            add(kind, strength, alter(original, random(kind, strength)))
    for kept in KEPT:
        add(TRUNCATED, f"at {kept:.0%}", *cut_off(original, kept))
    for kept in (LESS, MORE):
        add(BOTH_TRUNCATED, f"at {kept:.0%}", *cut_off(original, kept))
    for kind, (count, beyond) in SEVERAL.items():
        for number in range(REPEATED):
            rng = random(kind, str(number))
            add(kind, f"draw {number + 1}", several(count, rng, beyond)(original, rng))
    pictures = [pixels_of(other) for other in others]
    add(BESIDE, "", beside(pictures[0])(original, random(BESIDE)), shows=(others[0].name,))
    add(MOSAIC, "", mosaic([original, *pictures]), shows=tuple(other.name for other in others))
    return found
