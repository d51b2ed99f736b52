"""Tone curves: how a file wants its stored values shown. They travel with the pixels, in a text chunk of their PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = "Osteon-Tone"
"""Keyword of the text chunk (ISO/IEC 15948, 11.3.4)."""
MOST_POINTS = 1024
"""Points of a curve. Between two of them it is straight, so a window needs two."""


@dataclass(frozen=True)
class Tone:
    """A curve from stored values to brightness: straight between its points, and level beyond them."""

    values: tuple[float, ...]
    """Stored values, ascending."""
    brightness: tuple[float, ...]
    """0 is black, 1 is white; one for each of `values`."""

    def apply(self, stored: NDArray[np.floating[Any] | np.integer[Any]]) -> NDArray[np.float32]:
        """Brightness, 0 to 1, of stored values of any shape."""
        return np.asarray(np.interp(stored, self.values, self.brightness), np.float32)

    @property
    def text(self) -> str:
        """What the chunk holds."""
        return json.dumps([self.values, self.brightness])


def tone_of(info: Mapping[Any, Any]) -> Tone | None:
    """The curve that an image brings.

    Args:
        info: `info` of Pillow's image.

    Returns:
        The curve; None where there is none, or where the chunk is not of Osteon's form.
    """
    try:
        values, brightness = (tuple(map(float, axis)) for axis in json.loads(str(info[CHUNK])))
    except (KeyError, ValueError, TypeError):
        return None
    whole = np.isfinite([*values, *brightness]).all() and 2 <= len(values) == len(brightness) <= MOST_POINTS
    rising = whole and bool((np.diff(values) > 0).all())
    return Tone(values, brightness) if rising and min(brightness) >= 0 and max(brightness) <= 1 else None
