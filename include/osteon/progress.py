"""Work on many items with a bounded number of threads, and progress that suits a terminal and a task log."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
EVERY = 30.0
"""Seconds after which a task log gets a line even if less than a tenth was done."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counted(Generic[Item]):
    """A stream that knows how many items it has: what progress needs to tell the remaining time."""

    items: Iterator[Item]
    count: int

    def __iter__(self) -> Iterator[Item]:
        return self.items

    def __len__(self) -> int:
        return self.count


class Meter:
    """A bar on a terminal; elsewhere a line at each tenth, with rate and remaining time."""

    def __init__(self, title: str, total: int | None, unit: str = "image", done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.bar = tqdm(
            total=total, initial=done, desc=title, unit=unit, unit_scale=unit == "B", disable=not sys.stderr.isatty()
        )
        self.done = self.first = self.told = done
        self.start = self.told_at = time.monotonic()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def add(self, count: int) -> None:
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        tenth = self.total is not None and self.done - self.told >= max(1, self.total // 10)
        if self.bar.disable and (tenth or self.done == self.total or now - self.told_at >= EVERY):
            self.told, self.told_at = self.done, now
            log.info("%s: %s", self.title, self._line(now - self.start))

    def _line(self, seconds: float) -> str:
        rate = (self.done - self.first) / max(seconds, 1e-3)
        scale, unit = (1e6, " MB") if self.unit == "B" else (1.0, "")
        of = f" of {self.total / scale:.0f}" if self.total is not None else ""
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total is not None and rate else ""
        return f"{self.done / scale:.0f}{of}{unit} done, {rate / scale:.1f}{unit}/s{left}"


def parallel(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, title: str) -> list[Result]:
    """`[work(item) for item in items]` on threads, in order; the first error ends it and is raised.

    Never more than `2 * workers` items are held at once, so a stream of large items needs little memory.
    """
    results: list[Result] = []
    waiting: deque[Future[Result]] = deque()
    with (
        ThreadPoolExecutor(workers, thread_name_prefix=title) as pool,
        Meter(title, len(items) if isinstance(items, Sized) else None) as meter,
    ):

        def take() -> None:
            results.append(waiting.popleft().result())
            meter.add(1)

        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while len(waiting) >= 2 * workers:
                    take()
            while waiting:
                take()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
