"""Where the rows of MCUs stop fitting together.

Damage shifts what comes behind it and changes its brightness. So the MCUs from the damaged one on fit badly to those
one row above, for one row of MCUs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOST = 48.0
"""Grey levels of a step that count at most."""


def seams(grey: NDArray[np.uint8], mcu: tuple[int, int]) -> NDArray[np.float64]:
    """How badly a row of MCUs that begins at each MCU fits to what is above.

    Args:
        grey: (height, width) of the stored picture.
        mcu: (height, width) of an MCU.

    Returns:
        (rows * columns,): mean step in grey levels over the borders above, less the steps beside the borders.
    """
    high, wide = mcu
    height, width = grey.shape
    rows, columns = -(-height // high), -(-width // wide)
    edges = np.arange(high, height - 1, high)
    steps = np.zeros((rows, columns))
    if len(edges):
        part = grey[(edges[:, None] + np.array([-2, -1, 0, 1])).ravel()].reshape(len(edges), 4, width).astype(np.int16)
        jumps = np.abs(np.diff(part, axis=1))
        over = np.minimum(jumps[:, 1], _MOST) - (jumps[:, 0] + jumps[:, 2]) / 2
        over = np.pad(over, ((0, 0), (0, columns * wide - width)))
        steps[1 : 1 + len(edges)] = over.reshape(len(edges), columns, wide).mean(axis=2)
    total = np.concatenate([[0.0], np.cumsum(steps.ravel())])
    begin = np.arange(rows * columns)
    end = np.minimum(begin + columns, rows * columns)
    begin_with = np.maximum(begin, columns)
    return np.asarray((total[end] - total[np.minimum(begin_with, end)]) / columns)
