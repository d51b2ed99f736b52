"""Sets whose labels are wrong as a whole, and which of them stop a run: the label table of docs/checks.md.

FracAtlas is read where it is; phantoms are drawn. Each set stands alone, after an accepted version of itself, and
beside another source. Good sets are drawn again with fewer films, and must raise nothing. Arguments name the sets.
"""

from __future__ import annotations

import csv
import io
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
from films import DATA, MAX_PIXELS
from PIL import Image
from rich.console import Console
from rich.table import Table

from osteon.images.decode import decode
from osteon.images.measure import thumbnail
from osteon.quality.check import registered
from osteon.quality.label_rows import features, label_order
from osteon.quality.label_table import label_table
from osteon.sources.phantom import PhantomConfig, PhantomSource

LABELS = ["body_part", "fractured"]
RESAMPLES = 20
CROPS = 60
PICTURES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png",
            "rocket.jpg", "retina.jpg", "page.png", "brick.png", "gravel.png")  # fmt: skip
"""Photographs that come with scikit-image; those of scikit-learn are added."""
Set = pd.DataFrame
Spoil = Callable[[Set, np.random.Generator], Set]


def fracatlas() -> Iterator[tuple[str, bytes, str | None, bool]]:
    """Path, bytes and labels of FracAtlas' films; of several parts, none."""
    if not (DATA / "fracatlas.zip").exists():
        raise SystemExit(f"the benchmark of labels was left out: {DATA / 'fracatlas.zip'} is not there")
    with zipfile.ZipFile(DATA / "fracatlas.zip") as file:
        paths = {Path(name).name: name for name in file.namelist()}
        for row in csv.DictReader(io.StringIO(file.read("FracAtlas/dataset.csv").decode())):
            parts = [part for part in ("hand", "leg", "hip", "shoulder") if row[part] == "1"]
            if row["image_id"] in paths and len(parts) == 1 and row["mixed"] == "0":
                path = paths[row["image_id"]]
                yield path, file.read(path), parts[0], row["fractured"] == "1"


def phantoms(seed: int, images: int) -> Iterator[tuple[str, bytes, str | None, bool]]:
    """The same of generated films. Their table has them in no order."""
    entry = {"name": "p", "kind": "phantom", "licence": "CC0-1.0", "seed": seed, "images": images}
    config = PhantomConfig.model_validate(entry)
    for file in PhantomSource(config).fetch(""):
        part, state = str(file.raw_label).split("|")
        yield Path(file.path).name, file.data or b"", part, state == "fractured"


def photographs() -> Iterator[tuple[str, Image.Image]]:
    """Grey crops of photographs."""
    rng = np.random.default_rng(0)
    folder = Path(skimage.__file__).parent / "data"
    files = [folder / name for name in PICTURES]
    files += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    for file in files:
        image = Image.open(file).convert("L")
        for number in range(CROPS):
            side = int(min(image.size) * rng.uniform(0.3, 1))
            left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
            yield f"{file.stem}-{number}", image.crop((left, top, left + side, top + side))


def rows_of(source: str, films: Iterator[tuple[str, bytes, str | None, bool]], thumbs: dict[str, bytes]) -> Set:
    """Labels of films, in the order of their table; their thumbnails are put into `thumbs`."""
    rows = []
    for path, data, part, fractured in films:
        digest = f"{source}:{path}"
        thumbs[digest] = thumbnail(decode(data, MAX_PIXELS).grey).tobytes()
        rows.append((source, path, digest, part, fractured, digest))
    table = pd.DataFrame(rows, columns=["source", "path", "sha256", *LABELS, "cluster"]).astype("object")
    return label_order(table)


# What is wrong


def as_it_is(rows: Set, rng: np.random.Generator) -> Set:
    return rows.copy()


def inverted(rows: Set, rng: np.random.Generator) -> Set:
    return rows.assign(fractured=~rows["fractured"].astype(bool)).astype("object")


def shuffled(rows: Set, rng: np.random.Generator) -> Set:
    spoilt = rows.copy()
    spoilt[LABELS] = rows[LABELS].to_numpy()[rng.permutation(len(rows))]
    return spoilt


def states_shuffled(rows: Set, rng: np.random.Generator) -> Set:
    spoilt = rows.copy()
    for _, part in rows.groupby("body_part"):
        spoilt.loc[part.index, "fractured"] = rng.permutation(part["fractured"].to_numpy())
    return spoilt


def shifted(rows: Set, rng: np.random.Generator) -> Set:
    spoilt = rows.copy()
    spoilt[LABELS] = np.roll(rows[LABELS].to_numpy(), 1, axis=0)
    return spoilt


def swapped(rows: Set, rng: np.random.Generator) -> Set:
    return rows.assign(body_part=rows["body_part"].replace({"hand": "leg", "leg": "hand"}))


def third_photographs(names: list[str]) -> Spoil:
    def spoil(rows: Set, rng: np.random.Generator) -> Set:
        spoilt = rows.copy()
        chosen = rng.choice(rows.index, min(len(rows) // 3, len(names)), replace=False)
        drawn = rng.choice(names, len(chosen), replace=False)
        spoilt.loc[chosen, "sha256"] = drawn
        spoilt.loc[chosen, "cluster"] = [name.rpartition("-")[0] for name in drawn]
        return spoilt

    return spoil


# What is found


def found(now: Set, earlier: Set, same: set[str], thumbs: dict[str, bytes], only: str) -> tuple[list[str], float]:
    """Checks that fail for one source, with what they say first, and the seconds that it took."""
    start = time.process_time()
    wanted = sorted({*now["sha256"], *earlier["sha256"]})
    seen = features(pd.Series({name: thumbs[name] for name in wanted}))
    table, unchecked = label_table(now.reset_index(drop=True), earlier.reset_index(drop=True), same, seen, None)
    own = table[table["source"] == only]
    told = []
    for check in registered().values():
        if check.table != "labels":
            continue
        values, most = own[check.column], check.default.maximum
        failing = own[(values > most).fillna(False) if most is not None else values.notna()]
        kinds = {str(text).partition(":")[0] for text in failing[check.column] if check.column == "contradicted"}
        told += [f"{check.name} ({check.default.severity}) {' '.join(sorted(kinds))}".strip()] if len(failing) else []
    told += (
        ["said: an inversion cannot be seen"] if any("inversion" in text for text in unchecked.get(only, [])) else []
    )
    return told, time.process_time() - start


def main() -> None:
    thumbs: dict[str, bytes] = {}
    names = []
    for name, image in photographs():
        thumbs[name] = thumbnail(image).tobytes()
        names.append(name)
    atlas = rows_of("fracatlas", fracatlas(), thumbs)
    # films of near numbers are often of one patient: they are in one half
    block = atlas["path"].str.extract(r"IMG(\d+)")[0].astype(int) // 20
    half = block.map(lambda number: zlib.crc32(str(number).encode()) % 2 == 0)
    sets = {
        "fracatlas": (atlas[half].assign(source="other"), atlas[~half]),
        "phantoms": (rows_of("other", phantoms(2, 600), thumbs), rows_of("phantoms", phantoms(1, 900), thumbs)),
    }
    spoils: dict[str, Spoil] = {
        "good": as_it_is, "inverted": inverted, "shuffled": shuffled, "fracture states shuffled": states_shuffled,
        "shifted by one row": shifted, "hand and leg swapped": swapped, "a third photographs": third_photographs(names),
    }  # fmt: skip
    none = atlas.iloc[:0]
    table = Table("set", "what is wrong", "reference", "found", "CPU s", title="Labels that are wrong as a whole")
    resampled = Table("set", "reference", "resamples", "with a finding", title="Good sets of 150 to 600 films")
    for name, (other, rows) in sets.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        whole = rows.reset_index(drop=True)
        for wrong, spoil in spoils.items():
            bad = spoil(whole, np.random.default_rng(1))
            for reference, (now, earlier, same) in _references(bad, whole, other, none).items():
                told, seconds = found(now, earlier, same, thumbs, name)
                print(name, wrong, reference, told, file=sys.stderr, flush=True)
                table.add_row(name, wrong, reference, "\n".join(told) or "-", f"{seconds:.0f}")
        alarms: dict[str, list[str]] = {}
        for number in range(RESAMPLES):
            rng = np.random.default_rng(number)
            size = int(rng.choice([150, 200, 300, 600]))
            some = whole.loc[sorted(rng.choice(len(whole), size, replace=False))].reset_index(drop=True)
            for reference, (now, earlier, same) in _references(some, whole, other, none).items():
                told = [text for text in found(now, earlier, same, thumbs, name)[0] if not text.startswith("said")]
                alarms.setdefault(reference, []).extend(f"{size} films: {text}" for text in told)
            print(name, "resample", number, size, alarms, file=sys.stderr, flush=True)
        for reference, texts in alarms.items():
            resampled.add_row(name, reference, str(RESAMPLES), "\n".join(texts) or "0")
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    console.print(resampled)


def _references(rows: Set, good: Set, other: Set, none: Set) -> dict[str, tuple[Set, Set, set[str]]]:
    """What is known beside a set: labels of today, accepted labels, and sources that have not changed."""
    return {
        "alone": (rows, none, set()),
        "an accepted version": (rows, good, set()),
        "an accepted source": (pd.concat([rows, other]), other, {"other"}),
    }


if __name__ == "__main__":
    main()
