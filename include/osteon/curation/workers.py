"""Measuring in processes that can die: a decoder that crashes, hangs or eats memory costs only the image it was at."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Self

from osteon.errors import OsteonError
from osteon.images.measure import Measured, Request
from osteon.settings import ImageSettings

DECODER = "the decoder "
"""How the reason begins for an image that no process of ours may decode."""
START = 120.0
"""Seconds that a process may take to start."""


def crashed(code: int) -> str:
    """The reason for an image over which a process died."""
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{DECODER}crashed ({name}): open the file in a viewer, and save it anew"


def too_slow(settings: ImageSettings) -> str:
    """The reason for an image that took too long."""
    return f"{DECODER}took longer than {settings.decode_seconds:g} s (OSTEON_DECODE_SECONDS)"


def too_large(settings: ImageSettings) -> str:
    """The reason for an image that needed too much memory."""
    return f"{DECODER}needed more than {settings.decode_megabytes} MB (OSTEON_DECODE_MEGABYTES)"


class Worker:
    """One process, started when it is first needed, and again after it died."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def measure(self, request: Request, data: bytes) -> Measured:
        """Measure an image.

        Args:
            request: The image, and what is wanted of it.
            data: Bytes of its file.

        Returns:
            What was measured. Its `problem` says where the process crashed, took too long or needed too much memory.

        Raises:
            ExtensionError: A check of another package cannot measure the image.
            OsteonError: No process can be started.
        """
        if self._process is None:
            self._start()
        try:
            self._pipe.send((request, data, self._settings.max_pixels))
            if not self._pipe.poll(self._settings.decode_seconds):
                self.stop()
                return Measured(request.sha256, problem=too_slow(self._settings))
            answer = self._pipe.recv()
        except (EOFError, OSError):
            return Measured(request.sha256, problem=crashed(self.stop()))
        if isinstance(answer, MemoryError):
            self.stop()  # what is left of its memory is not known
            return Measured(request.sha256, problem=too_large(self._settings))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Measured)
        return answer

    def _start(self) -> None:
        self._pipe, other = Pipe()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        environment = {**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "osteon.images.worker", str(other.fileno())]
        self._process = subprocess.Popen(  # noqa: S603 - no word of it comes from outside
            [*command, str(self._settings.decode_megabytes << 20)],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        other.close()
        try:
            if self._pipe.poll(START):
                self._pipe.recv()
                return
        except (EOFError, OSError):
            pass  # it died: told below
        code = self.stop()
        raise OsteonError(f"no process for decoding can be started, it ends with code {code}: see its error above")

    def stop(self) -> int:
        """End the process. Returns its exit code, negative for a signal; 0 where there is none."""
        if self._process is None:
            return 0
        self._pipe.close()
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process = None
        return code


class Workers:
    """Several processes; each image goes to one that is idle. Use it with `with`, from as many threads."""

    def __init__(self, count: int, settings: ImageSettings) -> None:
        self._all = [Worker(settings) for _ in range(count)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._idle.put(worker)

    def measure(self, request: Request, data: bytes) -> Measured:
        """See `Worker.measure`. An image over which a process crashed is tried once more: the system may be short."""
        worker = self._idle.get()
        try:
            found = worker.measure(request, data)
            if found.problem is not None and found.problem.startswith(f"{DECODER}crashed"):
                found = worker.measure(request, data)
            return found
        finally:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all:
            worker.stop()
