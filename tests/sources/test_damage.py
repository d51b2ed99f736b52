"""Bytes of archives are flipped, cut out, zeroed and repeated anywhere: good files are read, others refused by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osteon.errors import OsteonError
from tests.sources.packed import films, read, tarred, zipped

MEMBERS = films("a.jpg", "folder/bé.jpg", "c.png") | {"labels.csv": b"name,part\na.jpg,hand\n"}
ARCHIVES: dict[str, bytes] = {
    "zip": zipped(MEMBERS),
    "tar": tarred(MEMBERS),
    "tar.gz": tarred(MEMBERS, "w:gz"),
    "tar.bz2": tarred(MEMBERS, "w:bz2"),
    "tar.xz": tarred(MEMBERS, "w:xz"),
    "zip in a zip": zipped(films("top.jpg") | {"inner.zip": zipped(MEMBERS)}),
    "tar in a zip": zipped(films("top.jpg") | {"inner.tar": tarred(MEMBERS)}),
}
CHECKED = ("zip", "tar.gz", "tar.bz2", "tar.xz", "zip in a zip", "tar in a zip")
"""Archives with a checksum of each file's bytes."""


def flip(data: bytearray, at: int, length: int) -> bytes:
    data[at] ^= 1 << length % 8
    return bytes(data)


def cut(data: bytearray, at: int, length: int) -> bytes:
    return bytes(data[:at] + data[at + length :])


def zero(data: bytearray, at: int, length: int) -> bytes:
    data[at : at + length] = bytes(len(data[at : at + length]))
    return bytes(data)


def repeat(data: bytearray, at: int, length: int) -> bytes:
    return bytes(data[: at + length] + data[at:])


def truncate(data: bytearray, at: int, length: int) -> bytes:
    return bytes(data[:at])


@pytest.mark.parametrize("kind", ARCHIVES)
@given(
    st.sampled_from([flip, cut, zero, repeat, truncate]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 700),
    st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_damage_is_told_and_never_a_bare_exception(
    kind: str, damage: Callable[[bytearray, int, int], bytes], share: float, length: int, at_end: bool
) -> None:
    whole = ARCHIVES[kind]
    start = max(0, len(whole) - 700) if at_end else 0  # where a zip lists its files
    damaged = damage(bytearray(whole), start + int(share * (len(whole) - start)), length)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = read(damaged, Path(folder))
        except OsteonError as error:
            assert str(error).startswith("source s: ")  # noqa: PT017 - it need not be raised
            return
    for path, file in found.files.items():
        path.encode()  # it can be stored
        assert (file.data is None) != (file.reason is None)
    good = set(MEMBERS.values()) | set(films("top.jpg").values())
    if kind in CHECKED:
        assert set(found.taken.values()) <= good, "no checksum was passed over"
    if kind == "zip" and damage is flip:
        assert len(found.files) == len(MEMBERS), "every file is taken or named"
