"""Train the network of `osteon.images.polarity`, and measure how often it is right about a film and its negative.

Half of the films of each body part train it, the others are judged as published and altered. `--write` keeps the
weights. With `--without PART`, no film of that part is trained on: what the table says of it holds for parts that
nobody saw. Without `--train`, the weights of the package are judged.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from alterations import Alter, clahe, cropped, equalised, gamma, letterboxed, noisy, rotated
from films import ARCHIVES, DATA, MAX_PIXELS, in_processes
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from osteon.images import polarity
from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.quality.checks.levels import Inverted
from osteon.sources.phantom import PARTS, draw

ALTERATIONS: dict[str, tuple[Alter, ...]] = {
    "as published": (),
    "CLAHE 2": (clahe(2),),
    "CLAHE 6": (clahe(6),),
    "half of it": (cropped(0.5),),
    "half of it, CLAHE 4": (cropped(0.5), clahe(4)),
    "gamma 0.6": (gamma(0.6),),
    "gamma 1.6": (gamma(1.6),),
    "equalised": (equalised,),
    "any angle": (rotated(None, "black"),),
    "letterbox, white": (letterboxed(255),),
    "noise": (noisy,),
}
TRAINED, JUDGED, PHANTOMS = 700, 200, 300
"""Films of a body part at most, and phantoms of all parts."""
VIEWS = 6
"""Of a film that trains: as published, and altered at random."""
EPOCHS, SLOWER_FROM, BATCH = 26, 18, 128
DECAY = 1e-4
FRACATLAS_PARTS = ("hand", "leg", "hip", "shoulder")
Pixels = NDArray[np.uint8]


def films() -> Iterator[tuple[str, bool, Pixels]]:
    """Body part, whether it trains, and pixels of each film and phantom."""
    with zipfile.ZipFile(DATA / ARCHIVES[0]) as archive:
        rows = csv.DictReader(io.StringIO(archive.read("FracAtlas/dataset.csv").decode("utf-8-sig")))
        named = {row["image_id"]: [part for part in FRACATLAS_PARTS if row[part] == "1"] for row in rows}
    counts = Counter[tuple[str, bool]]()
    for name in ARCHIVES:
        with zipfile.ZipFile(DATA / name) as archive:
            for member in sorted(path for path in archive.namelist() if path.endswith(".jpg")):
                parts, trains = named.get(Path(member).name, ["spine"]), zlib.crc32(member[::-1].encode()) % 2 == 0
                part = parts[0] if len(parts) == 1 else "several parts"
                counts[part, trains] += 1
                if counts[part, trains] <= (TRAINED if trains else JUDGED):
                    film = _decoded(archive.read(member))
                    if film is not None:
                        yield part, trains, film
    rng = np.random.default_rng(0)
    for number in range(PHANTOMS):
        size = int(rng.integers(150, 260)), 200
        yield "phantom", number % 2 == 0, draw(list(PARTS)[number % len(PARTS)], number % 3 == 0, size, rng)


def _decoded(data: bytes) -> Pixels | None:
    try:
        film = decode(data, MAX_PIXELS)
    except UndecodableError:
        return None
    return None if film.truncated else film.reduced


def views(film: Pixels, trains: bool, seed: int) -> NDArray[np.float16]:
    """What the network sees (views, CANVAS, CANVAS) of a film that trains, or of one that does not, altered."""
    rng = np.random.default_rng(seed)
    chains = [_random_chain(rng) if number else () for number in range(VIEWS)] if trains else ALTERATIONS.values()
    return np.array([polarity.network_input(_altered(film, chain, rng)) for chain in chains], np.float16)


def _random_chain(rng: np.random.Generator) -> tuple[Alter, ...]:
    tone: Alter = (
        clahe(float(rng.uniform(1.5, 8))),
        equalised,
        gamma(float(np.exp(rng.uniform(-0.7, 0.7)))),
        gamma(1.0),
    )[rng.choice(4, p=(0.4, 0.15, 0.25, 0.2))]
    steps = [cropped(float(rng.uniform(0.35, 0.9)))] * (rng.random() < 0.5) + [tone]
    steps += [rotated(None, "black")] * (rng.random() < 0.2) + [noisy] * (rng.random() < 0.2)
    return tuple(steps)


def _altered(film: Pixels, chain: tuple[Alter, ...], rng: np.random.Generator) -> Pixels:
    for step in chain:
        film = step(film, rng)
    return film


def train(seen: NDArray[np.float32], weights: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Train on views (n, CANVAS, CANVAS) with a weight each; in every epoch half of them are inverted, at random."""
    keras.utils.set_random_seed(0)
    decay, layers = keras.regularizers.l2(DECAY), keras.layers
    model = keras.Sequential([keras.Input((polarity.CANVAS, polarity.CANVAS, 1))])
    for planes, size in ((12, 5), (24, 3), (32, 3)):
        model.add(layers.Conv2D(planes, size, 2, "same", use_bias=False, activation="tanh", kernel_regularizer=decay))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(1, use_bias=False, kernel_regularizer=decay))
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    for epoch in range(EPOCHS):
        signs = rng.choice(np.array([-1, 1], np.float32), len(seen))
        views = seen * signs[:, None, None]
        for axis, share in ((2, 0.5), (1, 0.3)):
            chosen = rng.random(len(views)) < share
            views[chosen] = np.flip(views[chosen], axis)
        chosen = rng.random(len(views)) < 0.3
        views[chosen] = views[chosen].transpose(0, 2, 1)
        if epoch == SLOWER_FROM:
            model.optimizer.learning_rate = 7e-4
        model.fit(views[..., None], (signs + 1) / 2, BATCH, verbose=0, sample_weight=weights)
    return [np.asarray(weight, np.float32) for weight in model.get_weights()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", action="store_true", help="train anew")
    parser.add_argument("--write", action="store_true", help="keep what was trained")
    parser.add_argument("--without", default="", metavar="PART", help="train on no film of this part")
    options = parser.parse_args()
    found = list(films())
    parts, trains = np.array([part for part, _, _ in found]), np.array([fit for _, fit, _ in found])
    tasks = ((film, fit, number) for number, (_, fit, film) in enumerate(found) if options.train or not fit)
    seen = dict(zip(np.flatnonzero(trains <= options.train), in_processes(views, tasks), strict=True))
    if options.train:
        taught = [row for row in seen if trains[row] and parts[row] != options.without]
        counts = Counter(parts[taught])
        each = np.repeat([min(2, PHANTOMS / counts[parts[row]]) for row in taught], VIEWS).astype(np.float32)
        weights = train(np.concatenate([seen[row] for row in taught]).astype(np.float32), each)
        kept = polarity.FILE if options.write else Path("polarity-trial.npz")
        np.savez_compressed(kept, *(weight.astype(np.float16) for weight in weights))
        polarity.FILE = kept
    show(
        parts,
        {row: np.array([polarity.log_odds(view) for view in some]) for row, some in seen.items() if not trains[row]},
    )


def show(parts: NDArray[np.str_], scores: dict[int, NDArray[np.float64]]) -> None:
    """Print false alarms, and negatives that are found, by part and alteration, at the check's default."""
    least = float(Inverted.default.minimum or 0)
    by_part = {
        part: np.array([some for row, some in scores.items() if parts[row] == part]) for part in sorted(set(parts))
    }
    table = Table("alteration", *by_part, title=f"false alarms / negatives found, below {least}")
    for column, alteration in enumerate(ALTERATIONS):
        some = [found[:, column] for found in by_part.values()]
        table.add_row(alteration, *(f"{(one < least).mean():.1%} / {(-one < least).mean():.1%}" for one in some))
    table.add_row("films judged", *(str(len(found)) for found in by_part.values()))
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    main()
