"""Work on many items with a bounded number of threads, and progress that suits a terminal and a task log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Generic, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
LOG_INTERVAL = 30.0
"""Seconds after which a task log gets a line even if less than a tenth was done."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SizedIterator(Generic[Item]):
    """A stream that knows how many items it has: what progress needs to tell the remaining time."""

    items: Iterator[Item]
    count: int

    def __iter__(self) -> Iterator[Item]:
        return self.items

    def __len__(self) -> int:
        return self.count


class ProgressLogger:
    """A bar on a terminal; elsewhere a line at each tenth, with rate and remaining time.

    Args:
        title: What is done.
        total: How much there is; None where nobody knows.
        unit: What is counted; `B` for bytes.
        done: How much was done before.
    """

    def __init__(self, title: str, total: int | None, unit: str = "image", done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, unit_scale=unit == "B", disable=not sys.stderr.isatty()
        )
        self.done = self.first = self.logged = done
        self.start = self.logged_at = time.monotonic()

    def __enter__(self) -> ProgressLogger:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def add(self, count: int) -> None:
        """Count what was done since the last call."""
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        tenth = self.total is not None and self.done - self.logged >= max(1, self.total // 10)
        if self.bar.disable and (tenth or self.done == self.total or now - self.logged_at >= LOG_INTERVAL):
            self.logged, self.logged_at = self.done, now
            log.info("%s: %s", self.title, self._line(now - self.start))

    def _line(self, seconds: float) -> str:
        rate = (self.done - self.first) / max(seconds, 1e-3)
        scale, unit = (1e6, " MB") if self.unit == "B" else (1.0, "")
        of = f" of {self.total / scale:.0f}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total is not None and rate else ""
        return f"{self.done / scale:.0f}{of}{unit} done, {rate / scale:.1f}{unit}/s{left}"


def parallel(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, title: str) -> list[Result]:
    """`[work(item) for item in items]` on threads.

    At most `2 * workers` items are held at once, so a stream of large items needs little memory. Threads draw from the
    stream, one at a time.

    Args:
        work: Called on a thread.
        items: With a length, the log tells the remaining time.
        workers: Number of threads.
        title: What the log calls it.

    Returns:
        Results in the order of items.

    Raises:
        Exception: The first one that `work` or `items` raises; it ends the work.
    """
    from joblib import Parallel, delayed  # the command line starts without it

    pool = Parallel(workers, backend="threading", return_as="generator", pre_dispatch="2 * n_jobs", batch_size=1)
    results: list[Result] = []
    with ProgressLogger(title, len(items) if isinstance(items, Sized) else None) as progress:
        for result in pool(delayed(work)(item) for item in items):
            results.append(result)
            progress.add(1)
    return results
