"""Is the challenger better than the champion, on the current test split, with confidence?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.training.evaluate import SLICE, Metrics, Scored, paired_differences, sensitivity, tells
from osteon.training.sampling import Rows

METRIC, SENSITIVITY = "macro_f1", "sensitivity_at_90_specificity"
SENSITIVITY_MARGIN = 0.02
"""By how much sensitivity at 90 % specificity, over all parts, may fall before promotion is refused."""
MORE = 5
"""Promotion is decided by so many times the resamples of other intervals: their ends are what 1 in 40 of them pass."""


@dataclass(frozen=True)
class Decision:
    promoted: bool
    reason: str
    test: str = ""
    """Digest of the test images that challenger and champion were compared on; empty where they were not."""


def comparable(snapshot: pd.DataFrame, champions: pd.DataFrame, clusters: pd.Series) -> pd.DataFrame:
    """Test images of `snapshot` that people labelled, in whose cluster is nothing that the champion learnt from, in its
    snapshot `champions`. `clusters` is the cluster of every image that the lake ever saw, by `sha256`.

    Where clusters merge, an image that was in training may stand in test now. And what the champion learnt from may
    have been published anew, in other files.
    """
    learnt = champions.loc[champions["split"].isin(["train", "val"]), "sha256"]
    now, then = (digests.map(clusters).astype("string").fillna(digests) for digests in (snapshot["sha256"], learnt))
    known = snapshot.loc[now.isin(then), "cluster"]
    judging = (snapshot["split"] == "test") & catalogs.labelled_by_people(snapshot)
    return snapshot[judging & ~snapshot["cluster"].isin(known)].reset_index(drop=True)


def judge(challenger: Scored, champion: Scored, rounds: int, tries: int = 1) -> Decision:
    """Promote only if the interval of the paired difference in macro-F1 lies above 0 and sensitivity holds.

    Both were scored on the same images of the current test split; macro-F1 is of those of known state of which the
    challenger tells. To forget a part, or its fractures, is to be refused, whether or not this week's images show it;
    so is a comparison on few originals, or on images of one fracture state where the champion tells of fractures.
    The interval is of 95 % on the first try; whoever tries again
    on the same test images, with another seed say, needs more: with `tries`, the mistakes of all together stay below
    5 % (Bonferroni). Sensitivity is compared on images where both tell of fractures: a part whose fractures
    only the challenger has learnt is no step back, one that it has forgotten is.
    """
    before, now = champion.classes, challenger.classes
    if gone := [part for part in before.parts if part not in now.parts]:
        return Decision(False, f"it no longer knows: {', '.join(gone)}; train with their sources, too")
    if mute := [part for part in before.parts if part in now.silent and part not in before.silent]:
        return Decision(False, f"it no longer tells of fractures of: {', '.join(mute)}")
    confidence = 1 - 0.05 / tries
    rows = np.flatnonzero(challenger.known)
    originals = challenger.images["group"].iloc[rows].nunique()
    if originals < SLICE:
        return Decision(False, f"the test split has {originals} originals to compare on, {SLICE} are needed")
    found = paired_differences(challenger, champion, MORE * rounds, confidence, _macro_f1, rows) if len(rows) else {}
    if (interval := found.get(METRIC)) is None:
        return Decision(False, f"{METRIC} cannot be compared: the test split has too few images of known state")
    ours, theirs = (model.macro_f1(rows) for model in (challenger, champion))
    told = f"{METRIC} {ours:.3f} against the champion's {theirs:.3f}"
    told += f", difference {interval[0]:+.3f} to {interval[1]:+.3f}"
    if tries > 1:
        told += f" ({100 * confidence:.4g} %, for this is try {tries} on these test images)"
    if interval[0] <= 0:
        return Decision(False, f"not better with confidence: {told}")
    if fallen := _fallen(challenger, champion, MORE * rounds):
        return Decision(False, f"fracture sensitivity at 90 % specificity falls {fallen}; {told}")
    return Decision(True, f"better with confidence: {told}")


def _fallen(challenger: Scored, champion: Scored, rounds: int) -> str:
    """Where sensitivity falls: over all parts by more than the margin, or within one with confidence; empty if not."""
    judged = np.flatnonzero(champion.judged)
    new, old = (_sensitivity(model, judged)[SENSITIVITY] for model in (challenger, champion))
    if old is None and len(set(champion.classes.parts) - set(champion.classes.silent)):
        return "or not, nobody can say: the test images that both may judge are not of both states"
    if old is not None and (new is None or new < old - SENSITIVITY_MARGIN):
        return f"from {old:.3f} to {new or 0:.3f}"
    for part in sorted(set(champion.parts[judged])):
        rows = judged[champion.parts[judged] == part]
        if tells(champion, rows):
            found = paired_differences(challenger, champion, rounds, measure=_sensitivity, rows=rows)[SENSITIVITY]
            if found is not None and found[1] < 0:
                return f"within {part}, by {-found[1]:.3f} to {-found[0]:.3f}"
    return ""


def _macro_f1(model: Scored, rows: Rows) -> Metrics:
    return {METRIC: model.macro_f1(rows)}


def _sensitivity(model: Scored, rows: Rows) -> Metrics:
    return {SENSITIVITY: sensitivity(model.fractured[rows], model.fracture[rows])}
