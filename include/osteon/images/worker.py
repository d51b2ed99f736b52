"""A process that measures strangers' files one by one: `python -m osteon.images.worker FD BYTES`. It may die.

FD is an inherited end of a pipe. BYTES is the memory that it may take beyond what it has at its start; 0 is any.
"""

from __future__ import annotations

import resource
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits

from osteon.images.families import registered
from osteon.images.measure import measure

READY = "ready"


def main(channel: int, most: int) -> None:
    """Answer each request with what was measured, or with the error, until the pipe is closed."""
    cv2.setNumThreads(1)
    registered()
    with Connection(channel) as pipe, threadpool_limits(1):
        pipe.send(READY)
        if most:
            _bound(most)
        while True:
            try:
                request, data, max_pixels = pipe.recv()
            except EOFError:
                return
            try:
                answer: object = measure(request, data, max_pixels)
            except Exception as error:  # it is raised where the request came from
                answer = error
            pipe.send(answer)


def _bound(most: int) -> None:
    """Let the process take so many bytes more than it has."""
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere the system enforces no such limit
        most += int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
