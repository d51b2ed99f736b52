"""Is the challenger better than the champion, on the current test split, with confidence?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.training.evaluate import Scored, paired_differences, sensitivity

METRIC = "macro_f1"
SENSITIVITY_MARGIN = 0.02
"""By how much sensitivity at 90 % specificity may fall before promotion is refused."""


MORE = 5
"""Promotion is decided by so many times the resamples of other intervals: their ends are what 1 in 40 of them pass."""


@dataclass(frozen=True)
class Decision:
    promoted: bool
    reason: str


def comparable(snapshot: pd.DataFrame, champions: pd.DataFrame) -> pd.DataFrame:
    """Test images of `snapshot` that people labelled, with no copy among those that the champion learnt from, in its
    snapshot `champions`. Where groups merge, an image that was in training may stand in test now.
    """
    learnt = champions.loc[champions["split"].isin(["train", "val"]), "sha256"]
    known = snapshot.loc[snapshot["sha256"].isin(learnt), "group"]
    judging = (snapshot["split"] == "test") & catalogs.labelled_by_people(snapshot)
    return snapshot[judging & ~snapshot["group"].isin(known)].reset_index(drop=True)


def judge(challenger: Scored, champion: Scored, rounds: int) -> Decision:
    """Promote only if the 95 % interval of the paired difference in macro-F1 lies above 0 and sensitivity holds.

    Both were scored on the same images of the current test split. Sensitivity is compared on those where both tell of
    fractures: a part whose fractures only the challenger has learnt is no step back.
    """
    ours, theirs = challenger.measure(), champion.measure()
    interval = paired_differences(challenger, champion, MORE * rounds)[METRIC]
    if interval is None:
        return Decision(False, f"{METRIC} cannot be compared: the test split has too few images of known state")
    told = f"{METRIC} {ours[METRIC]:.3f} against the champion's {theirs[METRIC]:.3f}"
    told += f", difference {interval[0]:+.3f} to {interval[1]:+.3f}"
    if interval[0] <= 0:
        return Decision(False, f"not better with confidence: {told}")
    both = np.flatnonzero(challenger.judged & champion.judged)
    new, old = (sensitivity(model.fractured[both], model.fracture[both]) for model in (challenger, champion))
    if old is not None and (new is None or new < old - SENSITIVITY_MARGIN):
        return Decision(
            False, f"fracture sensitivity at 90 % specificity falls from {old:.3f} to {new or 0:.3f}; {told}"
        )
    return Decision(True, f"better with confidence: {told}")
