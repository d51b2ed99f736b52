"""Damaged image files: what is named, what is not, and whether what is kept is right.

Each format gets each damage 200 times, at a random place of a film of its own. Pillow decodes it, told to go on over
damage. A file is harmed where Pillow gives nothing, or more than 2 % of the area is off by more than 16 grey levels.
"""

from __future__ import annotations

import argparse
import io
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from rich.console import Console
from rich.table import Table

from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.settings import ROOT

sys.path.insert(0, str(ROOT))

from tests.images.streams.files import DAMAGES, FORMATS, drawn

LIMIT = 10**8
LEVELS, AREA = 16, 0.02
SIZES = ((320, 400), (520, 480), (230, 410))


def lenient(data: bytes) -> NDArray[np.uint8] | None:
    """What Pillow gives if it goes on over damage; None for nothing."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("L"))
    except Exception:  # decoders raise whatever comes
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def is_harmed(right: NDArray[np.uint8], found: NDArray[np.uint8] | None) -> bool:
    """Whether pixels are not what they were."""
    if found is None or found.shape != right.shape:
        return True
    return bool((np.abs(right.astype(int) - found) > LEVELS).mean() > AREA)


def tried(name: str, how: str, count: int, seed: int) -> tuple[int, int, int]:
    """Of so many files, how many were harmed, and of these how many named, and how many right in what is kept."""
    harmed = named = kept = 0
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        whole = FORMATS[name](drawn(seed + number, SIZES[number % len(SIZES)]))
        right = decode(whole, LIMIT).pixels
        data = DAMAGES[how](whole, int(rng.integers(len(whole))), rng)
        if not is_harmed(right, lenient(data)):
            continue
        harmed += 1
        try:
            found = decode(data, LIMIT)
        except UndecodableError:
            named, kept = named + 1, kept + 1
            continue
        named += bool(found.damage)
        kept += not is_harmed(np.where(found.missing, found.pixels, right), found.pixels)
    return harmed, named, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=200, help="files of each format and damage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    options = parser.parse_args()
    title = f"{options.each} of each damage: named / harmed, and right in what is kept"
    table = Table("format", "whole", *DAMAGES, title=title)
    for name in options.formats:
        write = FORMATS[name]
        whole = [decode(write(drawn(options.seed + number)), LIMIT) for number in range(options.each)]
        cells = [f"{sum(bool(one.damage) for one in whole)} false"]
        for how in DAMAGES:
            harmed, named, kept = tried(name, how, options.each, options.seed)
            cells.append(f"{named}/{harmed}, {kept}" if harmed else "none harmed")
            print(name, how, f"named {named} of {harmed}, kept right {kept}", file=sys.stderr, flush=True)
        table.add_row(name, *cells)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
