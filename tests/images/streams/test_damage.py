"""Damage anywhere in a file of any format: never another exception, and right or named where the format can tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from tests.images.streams.files import DAMAGES, FORMATS, SUMMED, Pixels, drawn

LIMIT = 10**7
WHOLE = {name: write(drawn(number, (96, 120))) for number, (name, write) in enumerate(FORMATS.items())}


def differing(whole: Pixels, found: Pixels) -> float:
    """Share of the area that is off by more than 16 grey levels."""
    if whole.shape != found.shape:
        return 1.0
    return float((np.abs(whole.astype(int) - found) > 16).mean())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(FORMATS)),
    how=st.sampled_from(sorted(DAMAGES)),
    place=st.floats(0, 0.999),
    seed=st.integers(0, 999),
)
@example(name="BMP", how="cut off", place=0.001, seed=0)
def test_damage_anywhere_gives_a_picture_or_a_reason(name: str, how: str, place: float, seed: int) -> None:
    whole = WHOLE[name]
    data = DAMAGES[how](whole, int(place * len(whole)), np.random.default_rng(seed))
    try:
        found = decode(data, LIMIT)
    except UndecodableError:  # any other exception fails
        return
    assert not found.pixels[found.missing].any()
    assert found.truncated == bool(found.damage)
    if name in SUMMED and not found.damage:
        assert differing(decode(whole, LIMIT).pixels, found.pixels) == 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_file_is_right_and_no_damage_is_named(name: str) -> None:
    film = drawn(7)
    found = decode(FORMATS[name](film), LIMIT)
    assert not found.damage and not found.remarks and not found.missing.any()
    assert np.abs(found.pixels.astype(int) - film).mean() < 6


@pytest.mark.parametrize("how", ["64 zeroed", "64 overwritten", "64 cut out", "64 repeated", "cut off"])
@pytest.mark.parametrize("name", ["JPEG baseline", "JPEG colour", "JPEG restarts", "PNG", "PNG interlaced"])
def test_damage_within_the_pixels_is_named_and_what_is_kept_is_right(name: str, how: str) -> None:
    named = harmed = kept = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        whole = FORMATS[name](drawn(seed))
        right = decode(whole, LIMIT).pixels
        try:
            found = decode(DAMAGES[how](whole, int(len(whole) * rng.uniform(0.2, 0.9)), rng), LIMIT)
        except UndecodableError:
            continue
        off = np.abs(right.astype(int) - found.pixels) > 16
        if off.mean() > 0.02:
            harmed += 1
            named += bool(found.damage)
            kept += (off & ~found.missing).mean() < 0.02
    assert named == harmed
    assert kept >= 0.6 * harmed, "most of what is kept is right"
