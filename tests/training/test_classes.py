from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from osteon.errors import TrainingError
from osteon.training.classes import ClassList
from osteon.training.fit import calibrate, sample_weights
from osteon.training.sampling import sample_clusters


def images(*rows: tuple[str, bool | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["body_part", "fractured"]).astype({"fractured": "boolean"})


def test_classes_are_those_of_the_training_images_in_the_order_of_their_codes() -> None:
    classes = ClassList.of(images(("leg", True), ("leg", False), ("hand", False), ("spine", None), ("leg", None)))
    assert classes.names == ("hand/unknown", "leg/non-fractured", "leg/fractured", "spine/unknown")
    assert classes.parts == ("hand", "leg", "spine") and classes.silent == ("hand", "spine")
    allowed = classes.allowed(images(("hand", False), ("hand", None)))
    assert (allowed == [[1, 0, 0, 0]] * 2).all(), "one state alone teaches the part, and is nobody's fracture state"


def test_one_class_is_not_enough() -> None:
    with pytest.raises(TrainingError, match="two classes are needed"):
        ClassList.of(images(("leg", True), ("leg", True)))


def test_an_unknown_state_allows_both_of_its_part_and_is_never_counted_as_non_fractured() -> None:
    classes = ClassList.of(images(("leg", True), ("leg", False), ("spine", None)))
    allowed = classes.allowed(images(("leg", None), ("leg", True), ("spine", None), ("hip", True)))
    np.testing.assert_array_equal(allowed, [[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_a_fracture_probability_is_given_the_part_and_absent_where_none_was_learnt() -> None:
    classes = ClassList(("leg/non-fractured", "leg/fractured", "spine/unknown"))
    probabilities = np.array([[0.1, 0.3, 0.6], [0.1, 0.3, 0.6]])
    found = classes.fracture_probability(probabilities, ["leg", "spine"])
    assert found[0] == pytest.approx(0.75) and np.isnan(found[1])
    np.testing.assert_allclose(classes.part_probability(probabilities), [[0.4, 0.6]] * 2)


def test_rare_classes_weigh_more_and_weights_average_to_one() -> None:
    weights = sample_weights(np.array([[1, 0]] * 9 + [[0, 1]], np.float32))
    assert weights.mean() == pytest.approx(1, abs=1e-5)
    assert weights[-1] / weights[0] == pytest.approx(3)


def test_calibration_calms_overconfident_logits_takes_back_a_weight_and_leaves_right_ones() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in chances])
    targets = np.eye(3, dtype=np.float32)[truth]
    fractured = np.array([False, True, False])
    assert calibrate(logits, targets, fractured) == pytest.approx((1, 0), abs=0.1)
    assert calibrate(3 * logits, targets, fractured) == pytest.approx((3, 0), abs=0.3)
    assert calibrate(logits + fractured, targets, fractured) == pytest.approx((1, -1), abs=0.1)
    assert calibrate(logits, targets, np.zeros(3, bool))[1] == 0, "no class tells of fractures"


def test_whole_groups_are_sampled() -> None:
    groups = pd.Series([f"g{i // 3}" for i in range(60)])
    rows = sample_clusters(groups, 20, seed=1)
    assert len(rows) == 18
    assert (groups.iloc[rows].value_counts() == 3).all()
    assert len(sample_clusters(groups, 100, seed=1)) == 60
    uneven = pd.Series(["large"] * 30 + [f"g{i}" for i in range(10)])
    assert all(len(sample_clusters(uneven, 10, seed)) == 10 for seed in range(20)), "the large one is left out"
