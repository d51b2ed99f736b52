"""The champion as a reference for labels: which images it is asked about, and what its answers say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from osteon.quality.label_sets import COLUMN, KINDS, Answers, Kind, Reference, moved_labels
from osteon.results import Evaluation
from osteon.training.classes import ClassList

EACH = 250
"""Images of each body part of a source that the champion is asked about, and as many whose label a shift changes."""
MEASURE: dict[Kind, str] = {"body part": "part_accuracy", "fracture state": "fracture_auroc_within_part"}
"""The measure of its evaluation that promises what it can judge."""
LEAST_PARTS = 0.7
"""Lower bound of its accuracy of body parts, from which on it may judge them."""


@dataclass(frozen=True)
class ChampionAnswers:
    """What the champion says of some images."""

    version: str
    promised: dict[Kind, float]
    """Lower bounds of its figures on test images."""
    probabilities: pd.DataFrame
    """A column for each class, by `sha256`."""
    key: str
    """Where the lake keeps them."""

    def reference(self, rows: pd.DataFrame) -> Reference:
        """Its answers about rows of labels, in their order; empty for those that it was not asked about."""
        classes = ClassList(tuple(self.probabilities.columns))
        known = self.probabilities.reindex(rows["sha256"]).to_numpy()
        with np.errstate(divide="ignore"):
            parts = pd.DataFrame(np.log(classes.part_probability(known)).clip(-50), columns=list(classes.parts))
        chances = classes.fracture_probability(known, rows["body_part"].fillna("").tolist()).clip(1e-9, 1 - 1e-9)
        odds = np.log(chances / (1 - chances))
        return Reference(f"the champion, version {self.version},", self.promised, Answers(parts, odds), True)


def promised_by(evaluation: Evaluation) -> dict[Kind, float]:
    """What a model's figures on the test split promise: their lower bounds, for kinds that it may judge."""
    bounds = {kind: evaluation.intervals.get(MEASURE[kind]) for kind in KINDS}
    lower = {kind: bound[0] for kind, bound in bounds.items() if bound is not None}
    if lower.get("body part", 0.0) < LEAST_PARTS:
        lower.pop("body part", None)
    return lower


def images_to_ask(now: pd.DataFrame, same: set[str]) -> list[str]:
    """Digests of the images that the champion is asked about, in order: of sources that are new or have changed.

    Of each source and body part the EACH with the lowest digests, which is chance. The same of images whose label is
    another one in a table that is shifted by one row.
    """
    asked = set[str]()
    for _, rows in now[~now["source"].isin(same)].groupby("source"):
        labelled = rows[rows["body_part"].notna()]
        moves = np.zeros(len(rows), bool)
        for moved in moved_labels(rows).values():
            for column in COLUMN.values():
                moves |= (rows[column].notna() & moved[column].notna() & (rows[column] != moved[column])).to_numpy()
        for chosen in (labelled, labelled[moves[rows.index.get_indexer(labelled.index)]]):
            ordered = chosen.sort_values("sha256").groupby("body_part").head(EACH)
            asked |= set(ordered["sha256"])
    return sorted(asked)
