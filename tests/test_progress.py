from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from osteon.progress import SizedIterator, parallel


def test_results_keep_the_order_and_few_items_are_held() -> None:
    held, most, lock = 0, 0, threading.Lock()

    def items() -> Iterator[int]:
        nonlocal held, most
        for number in range(200):
            with lock:
                held += 1
                most = max(most, held)
            yield number

    def work(number: int) -> int:
        nonlocal held
        with lock:
            held -= 1
        return number * 2

    assert parallel(work, items(), workers=3, title="t") == [2 * number for number in range(200)]
    assert most <= 2 * 3 + 1


def test_a_log_tells_how_much_is_done_how_fast_and_what_remains(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    parallel(str, SizedIterator(iter(range(50)), 50), workers=2, title="measure")
    assert len(caplog.messages) == 10
    assert caplog.messages[0].startswith("measure: 5 of 50 done, ") and "/s, " in caplog.messages[0]
    assert caplog.messages[0].endswith(" s left") and "50 of 50" in caplog.messages[-1]


def test_the_first_error_ends_it() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    with pytest.raises(ValueError, match="five"):
        parallel(work, range(10_000), workers=2, title="t")
