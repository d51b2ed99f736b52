"""Measure how well copies of films are found, and what that costs. It needs the real archives.

- `bench/copies.py recall` measures the share of altered copies that is found, for each alteration and other methods.
- `bench/copies.py joins` lists the copies among the archives' own films, with sheets of pictures to look at.
- `bench/copies.py growth` measures what a fingerprint costs, and a comparison of ever more images.

Without one of these words, all three run. The output folder gets what is printed, too.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pandas as pd
from alterations import KINDS, several
from films import (
    BESIDE,
    BOTH_TRUNCATED,
    MORE,
    MOSAIC,
    SEVERAL,
    TRUNCATED,
    Altered,
    Film,
    alter_film,
    in_processes,
    pixels_of,
    read_films,
)
from numpy.typing import NDArray
from peers import PEERS, Hashes, Peer, components, nearest_different
from report import NO_PATHS, NOTHING, Report, groups_of, look_at, of, step
from rich.table import Table
from threadpoolctl import threadpool_limits

from osteon import history
from osteon.curation import copies
from osteon.curation.candidates import candidate_pairs
from osteon.curation.groups import find_mosaics
from osteon.images import fingerprint
from osteon.images.registration import register

ALL_KINDS = [*KINDS, TRUNCATED, BOTH_TRUNCATED, *SEVERAL, BESIDE, MOSAIC]
OF_ONE_FILM = 22
"""Images of one film where growth is measured: the film and its altered copies."""
LATER = 20
"""One in so many images comes a week later."""
TIMED = 200
"""Films of FracAtlas whose fingerprints are timed."""
CELL, ACROSS, DOWN = 190, 3, 5
"""Of a sheet: side of a film in pixels, pairs in a row, pairs in a column."""


@dataclass
class Costs:
    """What a comparison did, and the CPU seconds that it took."""

    index: float = 0.0
    """Of reading fingerprints, building the index and finding candidates."""
    total: float = 0.0
    proved: int = 0
    """Pairs that were aligned."""
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    """Candidates by their numbers, the known ones first."""


def compare(
    prints: pd.Series, known: Sequence[str], fresh: Sequence[str], proved: pd.DataFrame = NOTHING
) -> tuple[pd.DataFrame, Costs]:
    """Osteon's comparison, and what it cost."""
    costs = Costs()

    def timed(*arguments: Any) -> Any:
        start = time.process_time()
        costs.pairs = candidate_pairs(*arguments)
        costs.index = time.process_time() - start
        return costs.pairs

    def counted(*pair: Any) -> Any:
        costs.proved += 1
        return register(*pair)

    with mock.patch.multiple(copies, candidate_pairs=timed, register=counted):
        start = cpu_seconds()
        rows = copies.compare(prints, known, fresh, NO_PATHS, proved)
        costs.total = cpu_seconds() - start
    return rows, costs


def cpu_seconds() -> float:
    """Of this process and of those that it started, which have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


# recall


@dataclass(frozen=True)
class Known:
    """What altered copies are compared with."""

    keys: dict[str, str]
    """What is known of each film of the archives, by its name: its own name, or the key of a copy in its place."""
    prints: dict[str, bytes]
    hashes: list[Hashes]
    groups: dict[str, int]
    """Set of copies by name, as Osteon finds them among the archives' own films."""
    proved: pd.DataFrame
    """Rows of these."""

    def with_instead(self, cut: list[Altered]) -> Known:
        """With altered copies in the place of their originals."""
        by_name = {one.films[0]: one for one in cut}
        pairs = zip(self.keys, self.hashes, strict=True)
        gone = self.proved["first"].isin(list(by_name)) | self.proved["second"].isin(list(by_name))
        return replace(
            self,
            keys={**self.keys, **{name: one.key for name, one in by_name.items()}},
            prints={**self.prints, **{one.key: one.data for one in cut}},
            hashes=[by_name[name].hashes or had if name in by_name else had for name, had in pairs],
            proved=self.proved[~gone],
        )

    def shown(self, one: Altered) -> set[int]:
        """Sets of copies that an altered film shows."""
        return {self.groups[name] for name in one.films}


@dataclass
class Row:
    """How many altered copies there were of one kind and strength, and what became of them."""

    count: int = 0
    found: int = 0
    possible: int = 0
    """Not found, but said to be possible."""
    unseen: int = 0
    """Not found, as the index did not make a candidate of it and its original."""
    wrong: int = 0
    """Joined with another film."""
    by_peers: Counter[str] = field(default_factory=Counter)
    of_peers: Counter[str] = field(default_factory=Counter)
    """Found by each peer, of so many that it was given."""

    def __add__(self, other: Row) -> Row:
        return Row(
            self.count + other.count,
            self.found + other.found,
            self.possible + other.possible,
            self.unseen + other.unseen,
            self.wrong + other.wrong,
            self.by_peers + other.by_peers,
            self.of_peers + other.of_peers,
        )


def judge(known: Known, kind: str, fresh: list[Altered], limits: dict[str, float]) -> tuple[dict[str, Row], int]:
    """Rows by strength, and how many of the archives' own films were taken for mosaics."""
    names, altered = list(known.keys.values()), {one.key: one for one in fresh}
    prints = pd.Series({**{key: known.prints[key] for key in names}, **{key: one.data for key, one in altered.items()}})
    rows, costs = compare(prints, names, list(altered), known.proved)
    every_name = [*names, *altered]
    candidates = {(every_name[one], every_name[two]) for one, two, *_ in costs.pairs.tolist()}
    every = pd.concat([known.proved, rows]) if len(rows) and len(known.proved) else rows if len(rows) else known.proved
    joined = groups_of(every_name, every)
    shown = {key: {known.groups[name]} for name, key in known.keys.items()}
    shown |= {key: known.shown(one) for key, one in altered.items()}
    partners: dict[tuple[str, str], list[str]] = {}
    for first, second, said in rows[["first", "second", "verdict"]].itertuples(index=False, name=None):
        partners.setdefault((first, said), []).append(second)
        partners.setdefault((second, said), []).append(first)
    mosaics = find_mosaics(pd.Index(sorted(every_name)), of(every, history.COPY), NO_PATHS)
    result: dict[str, Row] = {}
    for key, one in altered.items():
        own = known.groups[one.films[0]]

        def with_own(said: str, key: str = key, own: int = own) -> bool:
            return any(shown[other] == {own} for other in partners.get((key, said), ()))

        if kind == MOSAIC:
            found = key in mosaics
        elif kind == BESIDE:  # films that show two would connect it with what it was not compared with
            found = with_own(history.COPY)
        else:
            found = bool(joined[key] == joined[known.keys[one.films[0]]])
        row = result.setdefault(one.strength, Row())
        row.count += 1
        row.found += found
        row.possible += not found and with_own(history.POSSIBLE)
        wanted = one.films if kind == MOSAIC else one.films[:1]
        row.unseen += not found and any((known.keys[name], key) not in candidates for name in wanted)
        row.wrong += any(not shown[other] & shown[key] for other in partners.get((key, history.COPY), ()))
    if kind != MOSAIC:
        for peer in PEERS:
            _judge_peer(peer, limits[peer.name], known, fresh, result)
    return result, len(set(mosaics) - set(altered))


def _judge_peer(peer: Peer, limit: float, known: Known, fresh: list[Altered], result: dict[str, Row]) -> None:
    """Count what a peer finds: it, too, may find a copy through another one."""
    both = zip(known.keys, known.hashes, strict=True)
    here = {name: had for name, had in both if had.segments or not peer.slow}
    given = [(one, one.hashes) for one in fresh if one.hashes and (one.hashes.segments or not peer.slow)]
    if not given:
        return
    groups = np.array([known.groups[name] for name in here], np.intp)
    joined = components(peer, limit, list(here.values()), [hashes for _, hashes in given], groups)
    place = dict(zip(here, joined.tolist(), strict=False))
    for (one, _), number in zip(given, joined[len(here) :].tolist(), strict=True):
        result[one.strength].of_peers[peer.name] += 1
        result[one.strength].by_peers[peer.name] += number == place[one.films[0]]


def limits_of(
    films: Sequence[Film], hashes: list[Hashes], groups: NDArray[np.intp], report: Report
) -> dict[str, float]:
    """The limit of each peer, and what set it."""
    limits = {}
    for peer in PEERS:
        places = [place for place, had in enumerate(hashes) if had.segments or not peer.slow]
        least, pair = nearest_different(peer, [hashes[place] for place in places], groups[places])
        limits[peer.name] = least if peer.fixed is None else peer.fixed
        text = f"{peer.name}: joins what is less than {limits[peer.name]:.4g} apart"
        if pair is not None:
            one, other = (films[places[number]].short for number in pair)
            text += f"; of {len(places)} films the nearest two different ones are {least:.4g} apart: {one}, {other}"
        report(text)
    return limits


def recall(options: argparse.Namespace) -> None:
    """Altered copies of films that the weights were not fitted on, among all films of both archives.

    A copy is found if it is joined with its original, directly or through other films. It is joined wrongly if it is
    joined with a film that is no copy of the original. A peer joins what is nearer than any two different films of the
    archives are.
    """
    report = Report(options.out, "recall")
    films = read_films(options.subset)
    rng = np.random.default_rng(options.seed)
    of_half = [film for film in films if options.half == "all" or film.fitted is (options.half == "fitted")]
    shuffled = [of_half[place] for place in rng.permutation(len(of_half))]
    slow = frozenset(film.name for film in shuffled[: options.slow])
    strangers = frozenset(films[place].name for place in rng.permutation(len(films))[: options.strangers])
    seen = look_at(films, True, slow | strangers)
    drawn = [film for film in shuffled if not seen[film.name].truncated][: options.films]
    names = [film.name for film in films]
    step("comparison of the films with each other")
    prints = {name: one.data for name, one in seen.items()}
    rows, _ = compare(pd.Series(prints), [], names)
    groups, hashes = groups_of(names, rows), [one.hashes for one in seen.values() if one.hashes is not None]
    report(f"{len(films)} films are known, in {groups.nunique()} sets of copies; {len(drawn)} of them are altered")
    step("limits of the peers")
    limits = limits_of(films, hashes, groups.to_numpy(np.intp), report)
    known = Known(
        dict(zip(names, names, strict=True)),
        prints,
        hashes,
        dict(zip(groups.index.tolist(), groups.tolist(), strict=True)),
        of(rows, history.COPY),
    )
    step("altered copies")
    alone = [film for film in drawn if (groups == groups[film.name]).sum() == 1]
    alone = alone if len(alone) > 3 else drawn

    def tasks() -> Iterator[tuple[Any, ...]]:
        for film in drawn:
            others = [other for other in alone if other is not film]
            chosen = [others[place] for place in rng.permutation(len(others))[:3]]
            yield film, chosen, options.seed, True, film.name in slow

    altered = [one for made in in_processes(alter_film, tasks()) for one in made]
    step(f"comparison of {len(altered)} altered copies")
    jobs = []
    for kind in ALL_KINDS:
        fresh, of_kind = [one for one in altered if one.kind == kind], known
        if kind == BOTH_TRUNCATED:
            of_kind = known.with_instead([one for one in fresh if one.strength == f"at {MORE:.0%}"])
            fresh = [one for one in fresh if one.strength != f"at {MORE:.0%}"]
        jobs.append((of_kind, kind, fresh, limits))
    table = Table(
        "kind", "strength", "n", "found %", "possible %", "no candidate %", "wrong", *(peer.name for peer in PEERS)
    )
    single, false_mosaics = Row(), 0
    for (_, kind, _, _), (by_strength, taken) in zip(jobs, in_processes(judge, jobs), strict=True):
        step(kind)
        false_mosaics = max(false_mosaics, taken)
        for strength, row in by_strength.items():
            table.add_row(kind, strength, *_cells(row))
            single = single + row if kind in KINDS else single
    table.add_row("one alteration, all kinds", "", *_cells(single))
    report(table)
    report(
        "No candidate: not found, as the index proposed no comparison with the original (of a mosaic, with all four)."
    )
    report(
        "Of a mosaic, found means that it is named as one; of one of two exposures, that its own film is found in it."
    )
    slowly = sum(film.name in slow for film in drawn)
    report(f"crop-resistant, which is slow: {slowly} of these films, among {len(slow | strangers)} that are known.")
    report(f"Of films that are no mosaics, {false_mosaics} were taken for one, in the worst kind.")


def _cells(row: Row) -> list[str]:
    def share(part: int, whole: int) -> str:
        return f"{100 * part / whole:.1f}" if whole else "-"

    peers = (share(row.by_peers[peer.name], row.of_peers[peer.name]) for peer in PEERS)
    own = (share(part, row.count) for part in (row.found, row.possible, row.unseen))
    return [str(row.count), *own, str(row.wrong), *peers]


# joins


def joins(options: argparse.Namespace) -> None:
    """All pairs of films of both archives, as they are: candidates, copies, and what is doubtful."""
    report = Report(options.out, "joins")
    films = {film.name: film for film in read_films(options.subset)}
    prints = {name: one.data for name, one in look_at(list(films.values()), False).items()}
    step("comparison")
    rows, costs = compare(pd.Series(prints), [], list(films))
    digests = {name: film.digest for name, film in films.items()}
    same = rows["first"].map(digests) == rows["second"].map(digests)
    groups = groups_of(list(films), rows)
    inside = rows["first"].map(groups) == rows["second"].map(groups)
    found = {"copies": of(rows[~same], history.COPY), "possible": of(rows[~inside], history.POSSIBLE)}
    doubtful = set(found["possible"]["first"]) | set(found["possible"]["second"])
    report(f"{len(films)} films, {len(films) * (len(films) - 1) // 2} pairs, {costs.total:.1f} s of CPU")
    report(f"candidate pairs: {len(costs.pairs)}, of which {costs.proved} were aligned")
    report(f"pairs of copies: {len(of(rows, history.COPY))}, of which {int(same.sum())} are byte-identical")
    report(f"sets of more than one film: {int((groups.value_counts() > 1).sum())}")
    report(f"possible pairs: {len(found['possible'])}")
    report(f"films with a possible copy: {len(doubtful)}, {len(doubtful) / len(films):.2%} (at most 1 % is wanted)")
    for what, pairs in found.items():
        for old in options.out.glob(f"{what}-*.png"):
            old.unlink()
        pairs = pairs.sort_values("score", ascending=False, kind="stable")
        for start in range(0, len(pairs), ACROSS * DOWN):
            path = options.out / f"{what}-{start // (ACROSS * DOWN) + 1:02d}.png"
            cv2.imwrite(str(path), sheet(pairs.iloc[start : start + ACROSS * DOWN], films))
        table = Table("score", "inliers", "first", "second", title=what)
        for row in pairs.to_dict("records"):
            ends = (films[row[end]].short for end in ("first", "second"))
            table.add_row(f"{row['score']:.2f}", str(row["inliers"]), *ends)
        report(table)


def sheet(pairs: pd.DataFrame, films: dict[str, Film]) -> NDArray[np.uint8]:
    """Pairs side by side, with names and scores under them."""
    text, gap = 34, 14
    page = np.full((-(-len(pairs) // ACROSS) * (CELL + text), ACROSS * (2 * CELL + gap)), 255, np.uint8)
    for number, row in enumerate(pairs.to_dict("records")):
        top, left = number // ACROSS * (CELL + text), number % ACROSS * (2 * CELL + gap)
        for side, name in enumerate((row["first"], row["second"])):
            grey = pixels_of(films[name])
            scale = (CELL - 4) / max(grey.shape)
            size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
            small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
            at = left + side * CELL
            page[top : top + size[1], at : at + size[0]] = small
            _write(page, films[name].short[:26], (at, top + CELL + 9))
        _write(page, f"score {row['score']:.2f}, {row['inliers']} inliers, {row['verdict']}", (left, top + CELL + 23))
    return page


def _write(page: NDArray[np.uint8], text: str, at: tuple[int, int]) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0,), 1, cv2.LINE_AA)


# growth


def growth(options: argparse.Namespace) -> None:
    """Measure a fingerprint, and a first comparison of ever more images, and another one a week later.

    Each film has many copies, altered twice each. So candidates and joins grow as in a lake that holds many copies.
    Exponents are those of a power law through two sizes: 1 is linear.
    """
    report = Report(options.out, "growth")
    films = read_films(options.subset)
    timed_films = [film for film in films if film.number is not None][:: max(1, len(films) // TIMED)][:TIMED]
    cost = fingerprint_cost(timed_films)
    text = "a fingerprint, of {films} films of FracAtlas: {ms:.1f} ms of CPU, {bytes:.0f} bytes, {most} at most"
    report(text.format_map(cost))
    cache = options.cache or options.out / "growth.prints"
    fill(cache, films, max(options.sizes) + max(options.sizes) // LATER, options.seed)
    measured: list[dict[str, float]] = []
    for size in options.sizes:  # a process each, whose memory is its own
        step(f"comparison of {size} fingerprints")
        command = [sys.executable, __file__, "measure", "--cache", str(cache), "--size", str(size)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this very script
        measured.append(json.loads(child.stdout.splitlines()[-1]))
    counts = {
        "candidates": "candidate pairs",
        "proved": "pairs aligned",
        "copies": "rows of copies",
        "later candidates": "candidate pairs, a week later",
        "later proved": "pairs aligned, a week later",
    }
    table = Table("", *(f"{size:,}" for size in options.sizes), *(["exponents"] if len(measured) > 1 else []))
    seconds = {f"{when}{what}": f"{what}, s of CPU{after}" for when, after in (("", ""), ("later ", ", a week later"))
               for what in ("index", "proof", "total")}  # fmt: skip
    memory = {"memory": "peak memory, MB", "later memory": "peak memory with a week later, MB"}
    for key, title in {**seconds, **counts, **memory}.items():
        values = [one[key] for one in measured]
        form = "{:.1f}" if key in seconds else "{:,.0f}"
        points = list(zip(options.sizes, values, strict=True))
        exponents = [exponent(*pair) for pair in pairwise(points)]
        last = [", ".join(f"{one:.2f}" for one in exponents)] if exponents else []
        table.add_row(title, *map(form.format, values), *last)
    report(table)
    report(f"A week later, one in {LATER} more is compared with all that is known.")


def exponent(small: tuple[int, float], large: tuple[int, float]) -> float:
    return math.log(max(large[1], 1e-9) / max(small[1], 1e-9)) / math.log(large[0] / small[0])


def fingerprint_cost(films: Sequence[Film]) -> dict[str, float]:
    """CPU milliseconds and bytes of a fingerprint on one thread, decoding left out."""
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        pictures = [pixels_of(film) for film in films]
        fingerprint.fingerprint(pictures[0])  # what is loaded once
        start = time.process_time()
        sizes = [len(fingerprint.fingerprint(picture)) for picture in pictures]
        seconds = time.process_time() - start
    return {
        "films": len(films),
        "ms": 1000 * seconds / len(films),
        "bytes": float(np.mean(sizes)),
        "most": max(sizes),
    }


_LENGTH = struct.Struct("<I")


def fill(cache: Path, films: list[Film], count: int, seed: int) -> None:
    """Write fingerprints to a file. After a run that was killed, write those that are missing.

    The file begins with a digest of all films, and of the fingerprints of two films and their copies. If that digest
    has changed, the file is made anew.
    """
    samples = [data for place in (0, len(films) - 1) for data in family(films[place], place, False, seed)]
    head = sha256(b"".join([*samples, *(film.digest.encode() for film in films)])).digest()
    cache.parent.mkdir(parents=True, exist_ok=True)
    had = 0
    if cache.exists() and cache.stat().st_size > len(head):
        with cache.open("r+b") as file:
            if file.read(len(head)) == head:
                ends = _ends(file)
                had = len(ends) // OF_ONE_FILM * OF_ONE_FILM
                if len(ends) >= count:
                    return
                file.truncate(ends[had - 1] if had else len(head))
    if not had:
        cache.write_bytes(head)
    step(f"{count - had} fingerprints for {cache}, {had} are there")
    order = np.random.default_rng(seed).permutation(len(films))
    numbers = range(had, count, OF_ONE_FILM)
    tasks = ((films[order[first // OF_ONE_FILM % len(films)]], first, first >= OF_ONE_FILM * len(films), seed)
             for first in numbers)  # fmt: skip
    with cache.open("ab") as file:
        for number, prints in enumerate(in_processes(family, tasks)):
            for data in prints:
                file.write(_LENGTH.pack(len(data)) + data)
            if number % 100 == 99:
                step(f"{had + (number + 1) * OF_ONE_FILM} of {count}")


def family(film: Film, first: int, again: bool, seed: int) -> list[bytes]:
    """Fingerprints of a film and of its altered copies; of copies alone, where the film was there before."""
    original = pixels_of(film)
    prints = [] if again else [fingerprint.fingerprint(original)]
    for number in range(len(prints), OF_ONE_FILM):
        rng = np.random.default_rng([seed, first + number])
        prints.append(fingerprint.fingerprint(several(2, rng)(original, rng)))
    return prints


def _ends(file: Any) -> list[int]:
    """Where each whole record ends, from the place where the file stands."""
    size, ends = Path(file.name).stat().st_size, []
    while len(length := file.read(_LENGTH.size)) == _LENGTH.size:
        end = file.tell() + _LENGTH.unpack(length)[0]
        if end > size:
            break
        file.seek(end)
        ends.append(end)
    return ends


def read_prints(cache: Path, count: int) -> dict[str, bytes]:
    """The first fingerprints of a file, by names in the order of numbers."""
    prints = {}
    with cache.open("rb") as file:
        file.seek(32)
        for number in range(count):
            prints[f"{number:08d}"] = file.read(_LENGTH.unpack(file.read(_LENGTH.size))[0])
    return prints


def measure(options: argparse.Namespace) -> None:
    """The costs of one size, as JSON."""
    cv2.setNumThreads(1)
    size = options.size
    prints = read_prints(options.cache, size + size // LATER)
    names, series = list(prints), pd.Series(prints)
    rows, first = compare(series, [], names[:size])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _, later = compare(series, names[:size], names[size:], of(rows, history.COPY))
    figures: dict[str, float] = {"memory": memory, "copies": len(of(rows, history.COPY))}
    figures["later memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for when, costs in (("", first), ("later ", later)):
        figures |= {f"{when}index": costs.index, f"{when}proof": costs.total - costs.index, f"{when}total": costs.total}
        figures |= {f"{when}candidates": len(costs.pairs), f"{when}proved": costs.proved}
    print(json.dumps(figures))


WHAT = ("all", "recall", "joins", "growth", "measure")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=WHAT)
    parser.add_argument("--out", type=Path, default=Path("bench-copies"), help="folder of tables and sheets")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--subset", type=int, help="the first so many films of each archive, to try things out")
    parser.add_argument("--films", type=int, default=300, help="originals that are altered")
    parser.add_argument("--half", choices=("other", "fitted", "all"), default="other", help="films that are altered")
    parser.add_argument("--slow", type=int, default=30, help="films that crop-resistant hashes are measured on")
    parser.add_argument("--strangers", type=int, default=300, help="films that these are compared with, too")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--cache", type=Path, help="file that the fingerprints of growth are kept in")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    stages = {"recall": recall, "joins": joins, "growth": growth, "measure": measure}
    for name in ("recall", "joins", "growth") if options.what == "all" else (options.what,):
        stages[name](options)


if __name__ == "__main__":
    main()
