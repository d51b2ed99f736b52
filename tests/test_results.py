"""Results of this version come back as they were; those of version 0.1.0 are read by their old names."""

from __future__ import annotations

from typing import Any

import pytest

from osteon.errors import ObjectError
from osteon.lake import Lake
from osteon.results import BaseModelResult, Comparison, TrainingResult, result_key

METRICS = {"macro_f1": 0.5, "fracture_auroc": None}
FIRST_TRAINING: dict[str, Any] = {
    "key": "models/m/a",
    "model": "cnn_bilstm",
    "snapshot": "s",
    "snapshot_key": "split/s.parquet",
    "budget": "smoke",
    "seed": 0,
    "code": "0.1.0+a",
    "classes": ["hand/fractured", "hand/non-fractured"],
    "design": {"blocks": 3},
    "parameters": 9,
    "members": 2,
    "trials": [{"trial": "0", "score": 0.5, "seconds": 2.0, "worker": "tuner0"}],
    "search_started_with": {"blocks": 2},
    "images": {"train": 60, "val": 20, "test": 20},
    "not_judging": 4,
    "learnt_from": 50,
    "images_by_class": {"hand/fractured": 50},
    "published_by_class": {"hand/fractured": 40},
    "judged": 18,
    "metrics": {**METRICS, "fracture_auroc_by_part": {"hand": 0.75, "leg": None}, "seconds": 12.5},
    "intervals": {"macro_f1": [0.4, 0.6], "fracture_auroc": None},
    "slices": [{"slice": "part hand", "images": 9, "judged": 8, "fractured": 3, "metrics": None, "intervals": None}],
    "curves": {"all": {"roc": [[0, 1], [0, 1]], "precision_recall": [[1, 0], [0.5, 1]]}},
    "confusion": {"part": {"labels": ["hand"], "counts": [[9]]}},
    "calibration": [{"from": 0.1, "count": 3, "mean": 0.15, "share": 0.25}],
    "shortcut_floor": {"body part": 0.5},
    "steadiness": [{"change": "turned", "part_kept": 0.9, "fracture_moved": 0.05, "fracture_auroc": 0.7}],
}
FIRST_COMPARISON: list[dict[str, Any]] = [
    {
        "model": "cnn_bilstm",
        "training": "models/m/a",
        "learnt_from": 50,
        "of": 50,
        "metrics": FIRST_TRAINING["metrics"],
    },
    {
        "model": "forest",
        "training": "models/f/b",
        "learnt_from": 20,
        "of": 50,
        "metrics": METRICS,
        "intervals": {},
        "difference": {"macro_f1": [-0.3, -0.1]},
        "verdict": "worse",
        "same_data": {"difference": {"macro_f1": None}, "verdict": "no difference with confidence"},
    },
]


def test_a_training_of_the_first_form_is_read_by_its_old_names(lake: Lake) -> None:
    lake.put_json("models/m/a/result.json", FIRST_TRAINING)
    result = lake.get_model(TrainingResult, result_key("models/m/a"))
    assert (result.n_train, result.n_excluded_from_evaluation, result.warm_start) == (50, 4, {"blocks": 2})
    found = result.evaluation
    assert found.metrics == METRICS and found.fracture_auroc_by_part == {"hand": 0.75, "leg": None}
    assert result.figures == {"macro_f1": 0.5, "seconds": 12.5, "fracture_auroc_hand": 0.75}
    assert found.intervals == {"macro_f1": (0.4, 0.6), "fracture_auroc": None} and found.n_evaluable == 18
    assert (found.slices[0].name, found.slices[0].n_images, found.slices[0].n_evaluable) == ("part hand", 9, 8)
    assert found.curves["all"].roc == ([0, 1], [0, 1]) and found.confusion["part"].counts == [[9]]
    assert (found.calibration[0].lower, found.calibration[0].fraction_positive) == (0.1, 0.25)
    assert found.metadata_baseline == {"body part": 0.5}
    assert (found.robustness[0].part_agreement, found.robustness[0].mean_abs_probability_change) == (0.9, 0.05)

    lake.put_model("models/m/again/result.json", result)
    assert lake.get_model(TrainingResult, "models/m/again/result.json") == result
    assert lake.get_json("models/m/again/result.json")["schema_version"] == 2


def test_people_labelled_all_training_images_where_an_old_result_does_not_tell() -> None:
    without = {name: value for name, value in FIRST_TRAINING.items() if name != "published_by_class"}
    for stored, expected in ((FIRST_TRAINING, 40), (without, 50)):
        result = TrainingResult.model_validate(stored, extra="ignore")
        assert result.images_by_class_of_people == {"hand/fractured": expected}


def test_a_base_model_of_the_first_form_is_read_by_its_old_names() -> None:
    counts = {"source": "s", "answer": 4, "answer_right": 3, "other": 5, "other_right": 2}
    stored = {name: FIRST_TRAINING[name] for name in ("key", "snapshot", "snapshot_key", "budget", "seed", "classes")}
    stored |= {"model": "hand_base", "images": {}, "answer": "hand", "parts": ["hand"], "input": "both"}
    stored |= {"ablation": {"both": {"val_auroc": 0.9, "test_auroc": None}}, "metrics": {"auroc": 0.9}}
    stored |= {"intervals": {}, "calibration": [], "by_source": [counts], "unseen_sources": [counts], "seconds": 1.0}
    result = BaseModelResult.model_validate(stored, extra="ignore")
    assert result.positive_class == "hand" and result.leave_one_source_out == result.by_source
    assert result.by_source[0].n_negative_correct == 2 and result.figures == {"auroc": 0.9}


def test_a_comparison_of_the_first_form_is_a_list_of_rows(lake: Lake) -> None:
    lake.put_json("comparisons/c.json", FIRST_COMPARISON)
    comparison = lake.get_model(Comparison, "comparisons/c.json")
    main, forest = comparison.rows
    assert main.against is None and (main.n_train, main.n_train_main, main.seconds) == (50, 50, 12.5)
    assert forest.against is not None and forest.against.difference == {"macro_f1": (-0.3, -0.1)}
    assert forest.matched_sample is not None and forest.matched_sample.verdict == "no difference with confidence"
    assert comparison.better_baselines == ["forest"]
    lake.put_model("comparisons/again.json", comparison)
    assert lake.get_model(Comparison, "comparisons/again.json") == comparison


@pytest.mark.parametrize("stored", [b"{}", b"no JSON", b'{"model": 1, "evaluation": {}}', b"[1]"])
def test_what_cannot_be_read_is_an_error_that_names_it_or_is_left_out_with_a_line(
    stored: bytes, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    key = result_key("models/m/odd")
    lake.put_bytes(key, stored)
    for kind in (TrainingResult, BaseModelResult, Comparison):
        with pytest.raises(ObjectError, match=rf"{key} holds no {kind.__name__}"):
            lake.get_model(kind, key)
        assert lake.find_model(kind, key) is None and key in caplog.messages[-1]
    assert lake.find_model(TrainingResult, "models/none/result.json") is None
    assert "models/none/result.json" in caplog.messages[-1]


def test_a_misspelt_field_is_refused_when_a_result_is_made() -> None:
    with pytest.raises(ValueError, match="n_trained"):
        Comparison.model_validate({"rows": [], "n_trained": 1})
