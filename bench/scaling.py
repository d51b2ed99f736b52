"""Measure each stage as the number of images grows: wall and processor seconds, memory, requests to the lake.

The last stages run a week later, when some images are new.

`bench/scaling.py [IMAGES...]` makes phantoms of 60 to 80 pixels. They are small, so that the cost of an image shows and
not that of its pixels. Growth is the exponent b of `cost = a * images**b`, fitted to the two largest sizes. An exponent
of 1 is linear.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console
from rich.table import Table
from stages import store

from osteon.partitions import HEX_DIGITS
from osteon.pipeline.context import Context
from osteon.pipeline.stages import CATALOGUE, GROUP, INGEST, INSPECT, REPAIR, REVIEW, SPLIT, VALIDATE, Stage, run_stage
from osteon.pipeline.training import cache_partition
from osteon.records import CatalogKey

BUDGET = "standard"
LATER = 20
"""One in so many images is published a week later. These images pass the stages up to grouping."""


def cpu_seconds() -> float:
    """Processor seconds of this process and of those that it started."""
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    running = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(one.ru_utime + one.ru_stime for one in ended) + sum(one.user + one.system for one in running)


class Counted:
    """Counts the requests that a lake's client sends."""

    def __init__(self, lake: Any) -> None:
        self.count = 0
        send = lake.http.urlopen

        def counted(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            return send(*arguments, **keywords)

        lake.http.urlopen = counted


def measure(images: int) -> dict[str, dict[str, float]]:
    """Costs by stage, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        entry = {"kind": "phantom", "licence": "CC0-1.0", "images": images, "longer_side": [60, 80]}
        later = {**entry, "name": "later", "images": images // LATER, "seed": 1}
        sources = Path(folder) / "sources.yaml"
        sources.write_text(yaml.safe_dump({"sources": [{**entry, "name": "clinic"}, later]}))
        context = Context.open(f"scaling-{images}")
        requests = Counted(context.lake)
        costs: dict[str, dict[str, float]] = {}

        def stage(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
            before = time.monotonic(), cpu_seconds(), requests.count
            result = work(*arguments)
            costs[name] = {
                "wall": time.monotonic() - before[0],
                "cpu": cpu_seconds() - before[1],
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "requests": requests.count - before[2],
            }
            return result

        def run(which: Stage[Any], when: str = "", **arguments: Any) -> Any:
            return stage(f"{which.name}{when}", partial(run_stage, which, context, **arguments)).result

        def grouped(manifests: list[str], when: str = "") -> CatalogKey:
            catalog: CatalogKey = run(CATALOGUE, when, manifests=manifests)
            for which in (INSPECT, REPAIR, GROUP):
                catalog = run(which, when, catalog=catalog)
            return catalog

        manifests = [run(INGEST, source="clinic", sources=str(sources))]
        catalog = run(REVIEW, catalog=grouped(manifests))
        run(VALIDATE, catalog=catalog, manifests=manifests, sources=str(sources))
        snapshot = run(SPLIT, catalog=catalog, seed=0)
        stage("resized images", cache_partition, context, snapshot, HEX_DIGITS, BUDGET)
        manifests.append(run(INGEST, ", later", source="later", sources=str(sources)))
        grouped(manifests, ", later")
    return costs


def growth(small: tuple[int, float], large: tuple[int, float]) -> float:
    """Exponent of a power law through two points (images, cost)."""
    return math.log(max(large[1], 1e-9) / max(small[1], 1e-9)) / math.log(large[0] / small[0])


def main(sizes: list[int]) -> None:
    by_size: dict[int, dict[str, dict[str, float]]] = {}
    with store():
        for size in sizes:  # a process each, whose memory is its own
            child = subprocess.run(  # noqa: S603 - this very script
                [sys.executable, __file__, "--measure", str(size)], stdout=subprocess.PIPE, text=True, check=True
            )
            by_size[size] = json.loads(child.stdout.splitlines()[-1])
            print(json.dumps({size: by_size[size]}), flush=True)
    table = Table("stage", *(f"{size:,}" for size in sizes), "growth of CPU", "of memory", "of requests")
    for name in by_size[sizes[0]]:
        cells = [
            "{wall:.1f} s, {cpu:.1f} s CPU, {memory:.0f} MB, {requests} requests".format_map(by_size[size][name])
            for size in sizes
        ]
        two = [[(size, by_size[size][name][what]) for size in sizes[-2:]] for what in ("cpu", "memory", "requests")]
        table.add_row(name, *cells, *(f"{growth(*pair):.2f}" if len(pair) == 2 else "" for pair in two))
    Console(width=None if sys.stdout.isatty() else 220).print(table)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["--measure"]:
        print(json.dumps(measure(int(arguments[1]))))
    else:
        main([int(argument) for argument in arguments] or [1_000, 10_000, 100_000])
