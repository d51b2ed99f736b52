"""A file that kills, hangs or bloats the process that decodes it costs itself alone."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from osteon.curation.inspect import measure_all
from osteon.curation.workers import Worker
from osteon.errors import ExtensionError, OsteonError
from osteon.images.decode import Decoded
from osteon.images.families import Family, Kind
from osteon.images.measure import IMAGE, Request
from osteon.settings import load_settings
from tests.pictures import encode, radiograph

NOTHING: dict[str, Kind] = {"grey": "Int64"}


def crash(image: Decoded) -> dict[str, object]:
    if image.pixels[0, 0] == 255:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"grey": 1}


def hang(image: Decoded) -> dict[str, object]:
    while image.pixels[0, 0] == 255:
        pass
    return {"grey": 1}


def bloat(image: Decoded) -> dict[str, object]:
    if image.pixels[0, 0] == 255:
        return {"grey": int(np.ones(1 << 30).sum())}
    return {"grey": 1}


def fail(image: Decoded) -> dict[str, object]:
    raise ValueError("no such film")


@dataclass(frozen=True)
class Folder:
    """Stands in for the lake: images by name."""

    images: dict[str, bytes]

    def get_image(self, name: str) -> bytes:
        return self.images[name]


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        (crash, r"the decoder crashed \(SIGSEGV\)"),
        (hang, r"the decoder took longer than 3 s \(OSTEON_DECODE_SECONDS\)"),
        (bloat, r"the decoder needed more than 700 MB \(OSTEON_DECODE_MEGABYTES\)"),
    ],
)
def test_a_process_that_dies_costs_one_image(measure: object, reason: str) -> None:
    films = {f"{number}": encode(radiograph(number) // 2, "PNG") for number in range(4)}
    films["2"] = encode(Image.new("L", (64, 64), 255), "PNG")
    family = Family("odd", 1, NOTHING, measure)  # type: ignore[arg-type]
    wanted = [Request(name, (IMAGE, family), fingerprint=False) for name in sorted(films)]
    settings = load_settings(decode_seconds=3, decode_megabytes=700)
    found = list(measure_all(Folder(films), wanted, settings))  # type: ignore[arg-type]
    assert [one.sha256 for one in found] == ["0", "1", "2", "3"]
    assert [one.problem is None for one in found] == [True, True, False, True]
    assert re.match(reason, str(found[2].problem))


def test_the_memory_that_decoding_takes_is_bounded() -> None:
    settings = load_settings(decode_megabytes=60)
    worker = Worker(settings)
    large = encode(Image.new("L", (9000, 9000)), "PNG")
    found = worker.measure(Request("a", (IMAGE,), fingerprint=False), large)
    assert found.problem is not None and "needed more than 60 MB" in found.problem
    small = worker.measure(Request("b", (IMAGE,), fingerprint=False), encode(radiograph(1), "PNG"))
    worker.stop()
    assert small.problem is None and small.values["image"]["width"] == 120


def test_an_error_of_a_check_is_raised_where_it_was_asked_for() -> None:
    worker = Worker(load_settings())
    with pytest.raises(ExtensionError, match="no such film"):
        worker.measure(
            Request("a", (Family("odd", 1, NOTHING, fail),), fingerprint=False), encode(radiograph(1), "PNG")
        )
    worker.stop()


def test_a_process_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(OsteonError, match="ends with code 1"):
        Worker(load_settings()).measure(Request("a", (IMAGE,), fingerprint=False), b"")
