"""What promotes a model to champion: the rules, in their order, and what a person has to say.

`decide` applies the rules, `ask_people` a person's answer. `judge` compares two models on the same test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.grouping import recall
from osteon.errors import IncompatibleTransformError, ObjectError
from osteon.features import load_features
from osteon.lake import Lake
from osteon.results import Comparison, Metrics, TrainingResult, result_key
from osteon.schemas import Split
from osteon.settings import Settings
from osteon.training.evaluate import SLICE, Predictions, paired_bootstrap, sensitivity, tells
from osteon.training.predictor import Predictor
from osteon.training.sampling import Rows

METRIC, SENSITIVITY = "macro_f1", "sensitivity_at_90_specificity"
SENSITIVITY_MARGIN = 0.02
"""By how much sensitivity at 90 % specificity, over all parts, may fall before promotion is refused."""
MORE = 5
"""Promotion takes so many times the resamples of other intervals: only 1 in 40 of them lies beyond either end."""
CHAMPION, PREVIOUS = "champion", "previous"
"""Aliases in the registry."""
MAKE_PLACE = f"give it the alias `{PREVIOUS}` and take `{CHAMPION}` away to let another be champion"
PROMOTE, KEEP = "promote", "keep the champion"
"""What a person may answer who is asked for approval."""


@dataclass(frozen=True)
class Champion:
    """The version of a model that the alias `champion` names."""

    version: str
    training: str
    """Key of its training in the lake; empty where Osteon did not register it."""
    catalog: str
    """Key of the reviewed catalog of its run; empty where the registry does not say it."""
    restored: str = ""
    """Who brought it back by a rollback, and why; empty where nobody did."""

    def result(self, lake: Lake) -> TrainingResult:
        """How it was trained.

        Raises:
            ObjectError: The lake does not say it.
        """
        if not self.training:
            raise ObjectError(f"Osteon did not register version {self.version}, the champion")
        if not lake.exists(result_key(self.training)):
            raise ObjectError(
                f"the lake holds no {self.training}, the training of version {self.version}, the champion"
            )
        return lake.get_model(TrainingResult, result_key(self.training))


def version_of(champion: Champion | None) -> str:
    """Its version; empty where there is none."""
    return champion.version if champion else ""


@dataclass(frozen=True)
class Approval:
    """What a person who was asked says of a promotion."""

    given: bool
    by: str | None
    """None where nobody answered."""
    champion: str
    """Version of the champion that the person was asked about; empty where there was none."""


@dataclass(frozen=True)
class Decision:
    """Whether a challenger becomes champion, and why."""

    promoted: bool
    reason: str
    test: str = ""
    """Digest of the test images that challenger and champion were compared on; empty where they were not."""


def decide(
    settings: Settings,
    lake: Lake,
    comparison: Comparison,
    champion: Champion | None,
    other_tries: Callable[[str], int],
) -> Decision:
    """Decide whether a model becomes champion, as far as figures say it.

    Args:
        settings: How often to resample, and how to read images.
        lake: Holds both trainings.
        comparison: Of the challenger with its baselines and ablations; it names the challenger's training.
        champion: None where there is none.
        other_tries: How many other models were compared with a champion on the test images of a digest.

    Returns:
        The first rule that refuses it, or why it is promoted.
    """
    training = comparison.rows[0].training
    result = lake.get_model(TrainingResult, result_key(training))
    if refused := _refused_alone(result, comparison):
        return Decision(False, refused)
    if champion is None:
        return Decision(True, "there was no champion")
    if not champion.training:
        return Decision(
            False,
            f"the champion, version {champion.version}, was not registered by Osteon and cannot be compared: "
            f"{MAKE_PLACE}",
        )
    try:
        learnt = catalogs.read(lake, champion.result(lake).snapshot_key, Split)
        theirs = Predictor.from_lake(lake, champion.training)
    except (IncompatibleTransformError, ObjectError, ValueError) as error:  # Keras raises the last for a damaged file
        why = f"the champion, version {champion.version}, cannot be compared, for {error}"
        return Decision(False, f"{why}; {MAKE_PLACE}")
    test = comparable(catalogs.read(lake, result.snapshot_key, Split), learnt, recall(lake).cluster)
    if test.empty:
        return Decision(False, "the champion learnt from every test image, or a copy: there is nothing to compare on")

    def scored(predictor: Predictor) -> Predictions:
        features = load_features(settings, lake, test, predictor.transform)
        return Predictions(test, predictor.from_features(features), predictor.classes)

    digest = hashlib.sha256("".join(test["sha256"]).encode()).hexdigest()[:16]
    ours, tries = Predictor.from_lake(lake, training), 1 + other_tries(digest)
    return replace(judge(scored(ours), scored(theirs), settings.bootstrap_rounds, tries), test=digest)


def ask_people(decision: Decision, champion: Champion | None, approval: Approval | None) -> Decision:
    """The same decision, unless a person refuses the promotion, or has to approve it and did not."""
    refused = refused_by_people(champion, approval)
    if not decision.promoted or not refused:
        return decision
    return replace(decision, promoted=False, reason=f"{refused}; the promotion rules had said: {decision.reason}")


def refused_by_people(champion: Champion | None, approval: Approval | None) -> str:
    """Why people's word stands against a promotion; empty where it does not.

    A champion that a rollback brought back is replaced with approval only. Otherwise the next model would be promoted
    by the same figures, as it is much like the one that was taken back. An approval is of one champion's replacement.
    """
    if approval is not None:
        if not approval.given:
            return f"not approved by {approval.by or 'anybody in time'}"
        if approval.champion == version_of(champion):
            return ""
        asked = f"version {approval.champion}" if approval.champion else "none"
        return f"approved by {approval.by} when {asked} was the champion, which has changed since"
    if champion is not None and champion.restored:
        return f"version {champion.version} was brought back {champion.restored}; what follows it needs approval"
    return ""


def _refused_alone(result: TrainingResult, comparison: Comparison) -> str:
    """Why a model is refused whatever the champion is; empty where it is not."""
    found = result.evaluation.metrics.get("fracture_auroc")
    known = [value for value in result.evaluation.metadata_baseline.values() if value is not None]
    floor = max(known, default=0.0)
    if found is not None and found <= floor:
        return f"fracture AUROC {found:.3f} needs no pixel: the shortcut floor is {floor:.3f}"
    if better := comparison.better_baselines:
        return f"simpler and better with confidence on the same test images: {', '.join(better)}"
    return ""


def comparable(snapshot: pd.DataFrame, champions: pd.DataFrame, clusters: pd.Series) -> pd.DataFrame:
    """Test images of `snapshot` by which a champion can be judged.

    People labelled them, and in their cluster is nothing that the champion learnt from, in its snapshot `champions`.
    `clusters` is the cluster of every image that the lake ever saw, by `sha256`.

    Where clusters merge, an image that was in training may stand in test now. And what the champion learnt from may
    have been published anew, in other files.
    """
    learnt = champions.loc[champions["split"].isin(["train", "val"]), "sha256"]
    now, then = (digests.map(clusters).astype("string").fillna(digests) for digests in (snapshot["sha256"], learnt))
    known = snapshot.loc[now.isin(then), "cluster"]
    judging = (snapshot["split"] == "test") & catalogs.labelled_by_people(snapshot)
    return snapshot[judging & ~snapshot["cluster"].isin(known)].reset_index(drop=True)


def judge(challenger: Predictions, champion: Predictions, rounds: int, tries: int = 1) -> Decision:
    """Promote only if the interval of the paired difference in macro-F1 lies above 0 and sensitivity holds.

    Both were scored on the same images of the current test split. Macro-F1 is of those of known state whose fractures
    the challenger can predict.

    A challenger that has forgotten a part, or its fractures, is refused, whether or not this week's images show it. A
    comparison on few originals is refused, too. So is one on images of one fracture state, where the champion predicts
    fractures.

    The interval is of 95 % on the first try. Whoever tries again on the same test images, for instance with another
    seed, needs more: over all `tries` together, the chance of a mistake stays below 5 % (Bonferroni).

    Sensitivity is compared on images where both predict fractures. A part whose fractures only the challenger has
    learnt is no step back. A part that it has forgotten is one.
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
    found = paired_bootstrap(challenger, champion, MORE * rounds, confidence, _macro_f1, rows) if len(rows) else {}
    if (interval := found.get(METRIC)) is None:
        return Decision(False, f"{METRIC} cannot be compared: the test split has too few images of known state")
    ours, theirs = (model.macro_f1(rows) for model in (challenger, champion))
    figures = f"{METRIC} {ours:.3f} against the champion's {theirs:.3f}"
    figures += f", difference {interval[0]:+.3f} to {interval[1]:+.3f}"
    if tries > 1:
        figures += f" ({100 * confidence:.4g} %, for this is try {tries} on these test images)"
    if interval[0] <= 0:
        return Decision(False, f"not better with confidence: {figures}")
    if fallen := _fallen(challenger, champion, MORE * rounds):
        return Decision(False, f"fracture sensitivity at 90 % specificity falls {fallen}; {figures}")
    return Decision(True, f"better with confidence: {figures}")


def _fallen(challenger: Predictions, champion: Predictions, rounds: int) -> str:
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
            found = paired_bootstrap(challenger, champion, rounds, measure=_sensitivity, rows=rows)[SENSITIVITY]
            if found is not None and found[1] < 0:
                return f"within {part}, by {-found[1]:.3f} to {-found[0]:.3f}"
    return ""


def _macro_f1(model: Predictions, rows: Rows) -> Metrics:
    return {METRIC: model.macro_f1(rows)}


def _sensitivity(model: Predictions, rows: Rows) -> Metrics:
    return {SENSITIVITY: sensitivity(model.fractured[rows], model.fracture[rows])}
