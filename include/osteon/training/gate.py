"""Is the challenger better than the champion, on the current test split, with confidence?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.training.classes import ClassList
from osteon.training.evaluate import measure, paired_difference

METRIC = "macro_f1"
SENSITIVITY_MARGIN = 0.02
"""By how much sensitivity at 90 % specificity may fall before promotion is refused."""


@dataclass(frozen=True)
class Decision:
    promoted: bool
    reason: str


@dataclass(frozen=True)
class Scored:
    """A model's calibrated probabilities (n, classes) on the test images, with its own class list."""

    classes: ClassList
    probabilities: NDArray[np.floating]

    def measure(self, images: pd.DataFrame, rows: NDArray[np.intp]) -> dict[str, float | None]:
        return measure(images.iloc[rows], self.probabilities[rows], self.classes)


def comparable(snapshot: pd.DataFrame, champions: pd.DataFrame) -> pd.DataFrame:
    """Test images of `snapshot` with no copy among those that the champion learnt from, in its snapshot `champions`.

    Where groups merge, an image that was in training may stand in test now.
    """
    learnt = champions.loc[champions["split"].isin(["train", "val"]), "sha256"]
    known = snapshot.loc[snapshot["sha256"].isin(learnt), "group"]
    return snapshot[(snapshot["split"] == "test") & ~snapshot["group"].isin(known)].reset_index(drop=True)


def judge(images: pd.DataFrame, challenger: Scored, champion: Scored, rounds: int) -> Decision:
    """Promote only if the 95 % interval of the paired difference in macro-F1 lies above 0 and sensitivity holds.

    `images` is the current test split (`body_part, fractured, group`), the same for both.
    """
    every = np.arange(len(images))
    ours, theirs = challenger.measure(images, every), champion.measure(images, every)
    interval = paired_difference(
        images,
        lambda rows: challenger.measure(images, rows),
        lambda rows: champion.measure(images, rows),
        METRIC,
        rounds,
    )
    if interval is None:
        return Decision(False, f"{METRIC} cannot be compared: the test split has too few images of known state")
    told = f"{METRIC} {ours[METRIC]:.3f} against the champion's {theirs[METRIC]:.3f}"
    told += f", difference {interval[0]:+.3f} to {interval[1]:+.3f}"
    if interval[0] <= 0:
        return Decision(False, f"not better with confidence: {told}")
    new, old = (values["sensitivity_at_90_specificity"] for values in (ours, theirs))
    if old is not None and (new is None or new < old - SENSITIVITY_MARGIN):
        return Decision(
            False, f"fracture sensitivity at 90 % specificity falls from {old:.3f} to {new or 0:.3f}; {told}"
        )
    return Decision(True, f"better with confidence: {told}")
