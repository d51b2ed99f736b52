from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from osteon.training.classes import ClassList
from osteon.training.evaluate import Predictions, evaluate, group_bootstrap_indices, metadata_baseline, sensitivity
from osteon.training.promotion import judge

CLASSES = ClassList(("hand/non-fractured", "hand/fractured", "leg/non-fractured", "leg/fractured"))


def images(count: int = 200, seed: int = 0) -> pd.DataFrame:
    """Legs are fractured more often than hands, as in real archives."""
    rng = np.random.default_rng(seed)
    part = rng.choice(["hand", "leg"], count)
    fractured = rng.random(count) < np.where(part == "leg", 0.6, 0.2)
    return pd.DataFrame(
        {
            "body_part": part,
            "fractured": pd.array(fractured, "boolean"),
            "group": [f"g{i // 2}" for i in range(count)],
            "cluster": [f"g{i // 2}" for i in range(count)],
            "source": np.where(np.arange(count) % 4 == 0, "a", "b"),
        }
    )


def truth(frame: pd.DataFrame) -> NDArray[np.float64]:
    return CLASSES.allowed(frame).astype(float)


def blurred(frame: pd.DataFrame, noise: float, seed: int = 1) -> NDArray[np.float64]:
    scores = truth(frame) + np.random.default_rng(seed).random((len(frame), 4)) * noise
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def test_a_perfect_model_gets_perfect_figures() -> None:
    found = Predictions(images(), truth(images()), CLASSES).measure()
    assert [found.pop(name) for name in ("ece", "fracture_ece")] == pytest.approx([0, 0])
    assert set(found.values()) == {1.0}


def test_knowing_the_part_only_earns_nothing_within_a_part() -> None:
    frame = images()
    part = truth(frame) @ np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], float)
    rates = np.array([0.8, 0.2, 0.4, 0.6])
    found = part * rates
    evaluation = evaluate(Predictions(frame, found, CLASSES), 20)
    figures = evaluation.metrics
    assert figures["part_accuracy"] == 1 and figures["fracture_auroc_within_part"] == 0.5
    assert evaluation.fracture_auroc_by_part == {"hand": 0.5, "leg": 0.5}
    floor = metadata_baseline(frame.assign(bytes=1, width=1, height=1, mode="L"),
                           frame.assign(bytes=1, width=1, height=1, mode="L"))  # fmt: skip
    assert figures["fracture_auroc"] == pytest.approx(floor["body part"])
    assert floor["body part"] is not None and floor["body part"] > 0.6 and floor["file size, dimensions, mode"] == 0.5


def test_a_part_whose_state_the_model_cannot_tell_counts_for_part_accuracy_only() -> None:
    frame = images()
    silent = ClassList(("hand/unknown", "leg/non-fractured", "leg/fractured"))
    scored = Predictions(frame, silent.allowed(frame).astype(float), silent)
    legs = frame["body_part"] == "leg"
    assert (scored.known == legs).all() and (scored.judged == legs).all()
    found = scored.measure()
    assert found["part_accuracy"] == found["joint_accuracy"] == found["macro_f1"] == found["fracture_auroc"] == 1
    told = {item.name: item for item in evaluate(scored, 20).slices}["part hand"]
    assert told.n_evaluable == 0 and told.metrics and told.metrics["joint_accuracy"] is None, (
        "their state is known, but the model cannot tell it"
    )

    everywhere = Predictions(frame, blurred(frame, 0.8), CLASSES)
    assert not judge(scored, everywhere, 60).promoted, "it has forgotten hands"
    nowhere = ClassList(("hand/unknown", "leg/unknown"))
    assert judge(everywhere, Predictions(frame, nowhere.allowed(frame).astype(float), nowhere), 60).promoted
    assert judge(Predictions(frame, truth(frame), CLASSES), scored, 60).promoted, "to tell of hands, too, is better"


def test_the_floor_sees_a_shortcut_in_the_file() -> None:
    frame = images().assign(width=100, height=100, mode="L")
    frame["bytes"] = np.where(frame["fractured"], 5000, 9000)
    assert metadata_baseline(frame, frame)["file size, dimensions, mode"] == 1.0


def test_an_unknown_state_counts_for_the_part_only() -> None:
    frame = images(40).assign(fractured=pd.array([None] * 40, "boolean"))
    found = Predictions(frame, np.tile([0.4, 0.3, 0.2, 0.1], (40, 1)), CLASSES).measure()
    assert found["part_accuracy"] == pytest.approx((frame["body_part"] == "hand").mean())
    assert {name for name, value in found.items() if value is not None} == {"part_accuracy"}


def test_sensitivity_is_taken_at_the_asked_specificity() -> None:
    negatives, positives = np.arange(10), np.array([8.5, 9.5, 3.5, 9.5])
    yes = np.r_[np.zeros(10, bool), np.ones(4, bool)]
    assert sensitivity(yes, np.r_[negatives, positives]) == 0.75


def test_resamples_draw_whole_groups() -> None:
    groups = pd.Series(["a", "b", "a", "c"])
    for rows in group_bootstrap_indices(groups, 20):
        assert np.count_nonzero(rows == 0) == np.count_nonzero(rows == 2)


def test_intervals_hold_the_figure_and_narrow_with_more_images() -> None:
    wide, narrow = (
        Predictions(images(count), blurred(images(count), 2.0), CLASSES).intervals(60)["joint_accuracy"]
        for count in (60, 1500)
    )
    assert wide is not None and narrow is not None
    figure = Predictions(images(1500), blurred(images(1500), 2.0), CLASSES).measure()["joint_accuracy"]
    assert figure is not None and narrow[0] < figure < narrow[1]
    assert narrow[1] - narrow[0] < 0.5 * (wide[1] - wide[0])


def test_an_evaluation_tells_of_every_part_and_source_and_counts_all_images() -> None:
    frame = images(300)
    frame.loc[:4, "fractured"] = pd.NA
    found = evaluate(Predictions(frame, blurred(frame, 1.5), CLASSES), 30)
    rows = {row.name: row for row in found.slices}
    assert set(rows) == {"part hand", "part leg", "source a", "source b", "without a", "without b"}
    assert rows["part hand"].n_images + rows["part leg"].n_images == 300
    assert sum(rows[f"source {name}"].n_images for name in "ab") == 300
    assert rows["without a"].metrics == rows["source b"].metrics
    assert rows["source a"].n_images - rows["source a"].n_evaluable == 2
    interval, area = (rows["part leg"].intervals or {})["fracture_auroc"], found.fracture_auroc_by_part["leg"]
    assert interval is not None and area is not None and interval[0] < area < interval[1]
    assert sum(map(sum, found.confusion["part"].counts)) == 300
    assert sum(map(sum, found.confusion["joint"].counts)) == 295 == sum(row.count for row in found.calibration)
    assert set(found.curves) == {"all", "hand", "leg"}
    few = frame.assign(source=np.where(np.arange(300) < 7, "a", "b"))
    (small,) = (row for row in evaluate(Predictions(few, truth(few), CLASSES), 20).slices if row.name == "source a")
    assert small.n_images == 7 and small.metrics is None
    rare = frame.assign(fractured=pd.array(np.arange(300) == 3, "boolean"))
    found = evaluate(Predictions(rare, blurred(rare, 1.5), CLASSES), 20)
    (part,) = (row for row in found.slices if row.name == f"part {rare['body_part'][3]}")
    assert part.metrics is not None and part.intervals is not None
    assert part.n_fractured == 1 and part.metrics["fracture_auroc"] is None is part.intervals["fracture_auroc"]
    right = part.metrics["part_accuracy"]
    assert right is not None and right > 0.5, "one fracture says nothing about fractures, but all about the part"
    assert found.curves == {} and set(found.fracture_auroc_by_part.values()) == {None}
