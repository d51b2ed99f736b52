"""What the benchmarks of copies share: printing, fingerprints of films, and the sets that copies make."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from films import Film, Seen, in_processes, look
from rich.console import Console
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon import history

NO_PATHS = pd.DataFrame(columns=["first", "second"])
"""Pairs that one source published under one path: none."""
NOTHING = pd.DataFrame(columns=list(history.COPIES.columns))
"""Copies that were proved before: none."""


class Report:
    """Prints, and keeps what was printed in the output folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.path = folder, folder / f"{name}.txt"
        folder.mkdir(parents=True, exist_ok=True)
        self.console = Console(width=None if sys.stdout.isatty() else 220, record=True)

    def __call__(self, what: Any) -> None:
        self.console.print(what, markup=False, highlight=False)
        self.path.write_text(self.console.export_text(clear=False))


def step(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def look_at(films: Sequence[Film], hashed: bool, slow: frozenset[str] = frozenset()) -> dict[str, Seen]:
    """Fingerprints and hashes of films by name."""
    step(f"fingerprints of {len(films)} films")
    seen = in_processes(look, ((film, hashed, film.name in slow) for film in films))
    return dict(zip((film.name for film in films), seen, strict=True))


def of(rows: pd.DataFrame, verdict: str) -> pd.DataFrame:
    return rows[rows["verdict"] == verdict]


def groups_of(names: Sequence[str], rows: pd.DataFrame) -> pd.Series:
    """Number of the set that copies make, by name."""
    index, found = pd.Index(names), of(rows, history.COPY)
    ends = index.get_indexer(pd.Index(found["first"])), index.get_indexer(pd.Index(found["second"]))
    graph = coo_array((np.ones(len(found), bool), ends), shape=(len(index),) * 2)
    return pd.Series(connected_components(graph, directed=False)[1], index=index)
