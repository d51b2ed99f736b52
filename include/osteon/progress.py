"""Work on many items with a bounded number of threads, and progress that suits a terminal and a task log."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
log = logging.getLogger(__name__)


def parallel(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, title: str, total: int | None = None
) -> list[Result]:
    """`[work(item) for item in items]` on threads, in order; the first error ends it and is raised.

    Never more than `4 * workers` items are held at once, so a stream of large items needs little memory.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    results: list[Result] = []
    waiting: deque[Future[Result]] = deque()
    terminal = sys.stderr.isatty()
    step = max(1, (total or 5000) // 10)
    with (
        ThreadPoolExecutor(workers, thread_name_prefix=title) as pool,
        tqdm(total=total, desc=title, unit="image", disable=not terminal) as bar,
    ):

        def take() -> None:
            results.append(waiting.popleft().result())
            bar.update()
            if not terminal and len(results) % step == 0:
                log.info("%s: %d%s done", title, len(results), f" of {total}" if total else "")

        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                while len(waiting) >= 4 * workers:
                    take()
            while waiting:
                take()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
