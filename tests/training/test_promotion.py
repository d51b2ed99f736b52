"""Promotion of a challenger over the champion, on probabilities made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from osteon.training.classes import ClassList
from osteon.training.evaluate import Predictions
from osteon.training.promotion import comparable, judge
from tests.training.test_evaluate import CLASSES, blurred, images, truth


def test_promotion_compares_on_what_people_labelled_and_the_champion_learnt_no_copy_of() -> None:
    """`h` is what was published as `x` when the champion learnt from it."""
    rows = [("a", "g", "test"), ("b", "g", "test"), ("c", "c", "test"), ("d", "d", "train"), ("e", "e", "test")]
    now = pd.DataFrame([*rows, ("f", "f", "test"), ("h", "x", "test")], columns=["sha256", "cluster", "split"])
    now["label_origin"] = ["source"] * len(rows) + ["base-model", "source"]
    learnt = [("a", "a", "train"), ("b", "b", "test"), ("e", "e", "val"), ("x", "x", "train")]
    champions = pd.DataFrame(learnt, columns=now.columns[:3])
    assert comparable(now, champions, pd.Series({"h": "x", "x": "x"}))["sha256"].tolist() == ["c"]


def test_only_what_is_better_with_confidence_is_promoted() -> None:
    frame = images(400)
    good, bad = (Predictions(frame, blurred(frame, noise), CLASSES) for noise in (0.8, 3.0))
    assert judge(good, bad, 60).promoted
    refused = judge(bad, good, 60)
    assert not refused.promoted and "not better with confidence" in refused.reason
    assert not judge(good, good, 60).promoted


def test_promotion_is_refused_to_a_model_that_misses_more_fractures() -> None:
    """Its joint figures are better, but fractured legs look whole to it."""
    frame = images(600)
    champion = Predictions(frame, blurred(frame, 1.6), CLASSES)
    probabilities = truth(frame) * 0.9 + 0.02
    missed = ((frame["body_part"] == "leg") & frame["fractured"]).to_numpy(bool) & (np.arange(600) % 3 == 0)
    probabilities[missed] = [0.02, 0.02, 0.94, 0.02]
    decision = judge(Predictions(frame, probabilities, CLASSES), champion, 60)
    before = champion.measure()["sensitivity_at_90_specificity"]
    assert before is not None and before > 0.9, "the champion of this test finds fractures"
    assert not decision.promoted and "sensitivity" in decision.reason


def test_promotion_is_refused_to_a_model_that_misses_more_fractures_of_one_part() -> None:
    """It finds more of all fractures, for those of legs are more; of hands it misses a third."""
    frame = images(600)
    hand = (frame["body_part"] == "hand").to_numpy()
    probabilities, before = truth(frame) * 0.9 + 0.02, blurred(frame, 2.2)
    before[hand] = blurred(frame, 0.3)[hand]
    missed = hand & frame["fractured"].to_numpy(bool) & (np.arange(600) % 3 == 0)
    probabilities[missed] = [0.94, 0.02, 0.02, 0.02]
    challenger, champion = Predictions(frame, probabilities, CLASSES), Predictions(frame, before, CLASSES)
    ours, theirs = (model.measure()["sensitivity_at_90_specificity"] for model in (challenger, champion))
    assert ours is not None and theirs is not None and ours > theirs
    decision = judge(challenger, champion, 60)
    assert not decision.promoted and "falls within hand, by 0." in decision.reason


def test_promotion_is_refused_to_a_model_that_has_forgotten_the_fractures_of_a_part() -> None:
    frame = images(400)
    told = blurred(frame, 0.5)
    silent = np.hstack([told[:, :2], told[:, 2:].sum(axis=1, keepdims=True)])
    challenger = Predictions(frame, silent, ClassList((*CLASSES.names[:2], "leg/unknown")))
    decision = judge(challenger, Predictions(frame, blurred(frame, 3.0), CLASSES), 60)
    assert decision.reason == "it no longer tells of fractures of: leg"


def test_promotion_is_refused_to_a_model_that_has_forgotten_a_part_that_no_image_shows_this_week() -> None:
    frame = images(400)
    champion = Predictions(
        frame, np.pad(blurred(frame, 3.0), ((0, 0), (0, 1))), ClassList((*CLASSES.names, "spine/unknown"))
    )
    decision = judge(Predictions(frame, blurred(frame, 0.5), CLASSES), champion, 60)
    assert not decision.promoted and decision.reason.startswith("it no longer knows: spine")


def test_promotion_is_refused_where_sensitivity_cannot_be_compared_or_hardly_anything_can() -> None:
    """Who calls everything whole is right about whole images."""
    frame = images(400)
    whole = frame.assign(fractured=pd.array([False] * 400, "boolean"))
    champion, challenger = (Predictions(whole, blurred(whole, noise), CLASSES) for noise in (3.0, 0.5))
    decision = judge(challenger, champion, 60)
    assert not decision.promoted and "not of both states" in decision.reason
    few = frame.head(12)
    champion, challenger = (Predictions(few, blurred(few, noise), CLASSES) for noise in (9.0, 0.1))
    decision = judge(challenger, champion, 60)
    assert not decision.promoted and "originals to compare on, 20 are needed" in decision.reason


def test_who_tries_again_on_the_same_images_needs_more_confidence() -> None:
    frame = images(600)
    challenger, champion = (Predictions(frame, blurred(frame, *how), CLASSES) for how in ((1.5, 5), (1.6, 6)))
    assert judge(challenger, champion, 60).promoted
    again = judge(challenger, champion, 60, tries=20)
    assert not again.promoted and "99.75 %, for this is try 20" in again.reason


def test_promotion_compares_sensitivity_where_both_models_tell_of_fractures() -> None:
    """The champion never learnt the fracture state of legs: the challenger's harder legs are no step back."""
    frame = images(600)
    probabilities = blurred(frame, 1.0)
    probabilities[(frame["body_part"] == "leg").to_numpy()] = truth(frame)[frame["body_part"] == "leg"] * 0.2 + 0.2
    wrong = ((frame["body_part"] == "leg") & (np.arange(600) % 3 == 0)).to_numpy()
    probabilities[wrong] = probabilities[wrong][:, [0, 1, 3, 2]]
    challenger = Predictions(frame, probabilities, CLASSES)
    narrow = ClassList((*CLASSES.names[:2], "leg/unknown"))
    champion = Predictions(
        frame, np.hstack([probabilities[:, :2], probabilities[:, 2:].sum(axis=1, keepdims=True)]), narrow
    )
    ours, theirs = (model.measure()["sensitivity_at_90_specificity"] for model in (challenger, champion))
    assert ours is not None and theirs is not None and ours < theirs - 0.1
    assert judge(challenger, champion, 60).promoted
