"""A base model on generated radiographs: trained, measured, and read by the names of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.relabel import verdicts_key
from osteon.errors import TrainingError
from osteon.images.fourier import FourierTransform
from osteon.lake import Lake
from osteon.models import network, space
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import BASE_MODELS, GROUP, INSPECT, QUESTIONS, RELABEL, REPAIR, REVIEW, run_stage
from osteon.pipeline.training import training_key
from osteon.records import TrainingKey
from osteon.results import BaseModelResult
from osteon.schemas import Reviewed
from osteon.settings import Settings
from osteon.training.base import by_source, insufficient_data_reason, select_training_images, train_base
from osteon.training.classes import ClassList
from osteon.training.plan import TrainingPlan
from osteon.training.predictor import Predictor
from tests import tables
from tests.notifier import RecordingNotifier
from tests.pictures import radiograph

TINY = replace(space.BASE_BUDGETS["smoke"], search_images=120, side=48)


def test_planes_are_standardised_and_fourier_magnitudes_forget_where_things_are() -> None:
    film = radiograph(1, "hand", size=(120, 120))
    both = FourierTransform(64).apply(film).astype(float)
    assert both.shape == FourierTransform(64).shape == (64, 64, 2)
    np.testing.assert_allclose(both.mean(axis=(0, 1)), 0, atol=1e-2)
    np.testing.assert_allclose(both.std(axis=(0, 1)), 1, atol=2e-2)
    for planes, part in (("pixels", both[..., :1]), ("fourier", both[..., 1:])):
        transform, features = FourierTransform(64).only(planes, both)  # type: ignore[arg-type]
        np.testing.assert_array_equal(features, part)
        np.testing.assert_allclose(transform.apply(film), part, atol=2e-3)
    square = np.zeros((64, 64), np.uint8)
    square[20:30, 24:30] = 200
    one, moved = (FourierTransform(64, "fourier").apply(x).astype(float) for x in (square, np.roll(square, 6, 0)))
    assert np.corrcoef(one.ravel(), moved.ravel())[0, 1] > 0.9


def test_the_order_of_a_models_classes_decides_nothing() -> None:
    transform = FourierTransform(16, "pixels")
    straight = network.build(space.BASE_START.changed(blocks=1), transform.shape, 2)
    turned = network.build(space.BASE_START.changed(blocks=1), transform.shape, 2)
    turned.set_weights([*straight.get_weights()[:-2], *(w[..., ::-1] for w in straight.get_weights()[-2:])])
    features = np.random.default_rng(0).normal(size=(9, *transform.shape)).astype(np.float16)
    one, other = (
        Predictor(model, transform, ClassList(names), 1.3).chance("hand", features)
        for model, names in ((straight, ("hand", "other")), (turned, ("other", "hand")))
    )
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_said_of_each_source_is_counted() -> None:
    images = pd.DataFrame({"source": ["a", "a", "b", "b", "b"], "target": [True, False, False, False, True]})
    first, second = by_source(images, np.array([0.9, 0.2, 0.7, 0.1, 0.4]))
    counted = {"n_positive": 1, "n_positive_correct": 1, "n_negative": 1, "n_negative_correct": 1}
    assert first.model_dump() == {"source": "a", **counted}
    assert second.model_dump() == {"source": "b", **counted, "n_positive_correct": 0, "n_negative": 2}


@pytest.fixture
def reviewed(environment: dict[str, str], lake: Lake, tmp_path: Path) -> Any:
    """A pipeline and its catalog: a labelled source, wrists and spines whose parts are not said."""
    common = {"kind": "phantom", "licence": "CC0-1.0", "longer_side": [60, 80]}
    entries = [
        {"name": "labelled", "images": 240, "parts": ["hand", "wrist", "spine", "hip"], "seed": 1, **common},
        {"name": "wrists", "images": 30, "parts": ["wrist"], "published_part": "unsorted", "seed": 2, **common},
        {"name": "spines", "images": 30, "parts": ["spine"], "published_part": "unsorted", "seed": 3, **common},
    ]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": entries}))
    context = Context.open("base")
    return context, prepare(context, str(tmp_path / "sources.yaml"), INSPECT, REPAIR, GROUP, REVIEW)


def test_wrists_merge_into_hands_by_their_rule_and_spines_do_not(
    reviewed: Any, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, catalog = reviewed
    monkeypatch.setitem(space.BASE_BUDGETS, "smoke", TINY)
    rule = context.relabel_rules.base_models["hand_base"]
    images = select_training_images(catalogs.read(lake, catalog), rule, lake, context.settings, 0)
    assert (
        set(images["source"]) == {"labelled"}
        and images["target"].sum() == 120
        and insufficient_data_reason(images) is None
    )
    assert "of the answer in" in str(insufficient_data_reason(images[~images["target"]]))
    assert run_stage(BASE_MODELS, context, catalog=catalog, seed=0).names == ["hand_base"], (
        "there is no leg to learn from"
    )

    out = training_key(context, catalog, "hand_base", "smoke", 0)
    result = train_base(context.settings, lake, TrainingPlan("hand_base", catalog, "smoke", 0, "", out))
    assert result.classes == ["hand", "other"] and set(result.ablation) == {"fourier", "pixels", "both"}
    area, interval = result.metrics["auroc"], result.intervals["auroc"]
    assert area is not None and interval is not None and interval[0] <= area > 0.9
    assert sum(row.count for row in result.calibration) == result.images["test"]
    assert lake.get_model(BaseModelResult, f"{out}/result.json") == result
    assert training_key(context, catalog, "hand_base", "smoke", 0) == out, "the same images are not learnt again"

    may = {"may": "merge", "into": "hand", "like": ["labelled"], "agreement": 0.8}
    notifier = RecordingNotifier()
    for wrists, merged in ((may, True), ({"may": "nothing"}, False)):
        rules = yaml.safe_load(context.settings.relabel_file.read_text()) | {
            "sources": {"wrists": wrists, "spines": may}
        }
        (tmp_path / "relabel.yaml").write_text(yaml.safe_dump(rules))
        monkeypatch.setenv("OSTEON_RELABEL_FILE", str(tmp_path / "relabel.yaml"))
        again = Context.open(f"merged {merged}", notifier)
        sources = str(tmp_path / "sources.yaml")
        record = run_stage(RELABEL, again, catalog=catalog, trainings=[out], sources=sources)
        relabelled = catalogs.read(lake, record.catalog)
        parts = relabelled[relabelled["source"] == "wrists"]["body_part"]
        assert (parts == "hand").all() if merged else parts.isna().all()
        assert not (relabelled[relabelled["source"] == "spines"]["body_part"] == "hand").any()
        spines, verdict = lake.get_json(verdicts_key(record.table))
        assert not spines["merged"] and "look like hand, 80% are needed" in spines["why"]
        assert verdict["merged"] == merged
        asked = run_stage(QUESTIONS, again, catalog=record.catalog).questions
        assert {item.image for item in asked} <= set(relabelled["sha256"])
        if asked:
            mail = notifier.questions[-1]
            assert mail.title.startswith(f"A run waits for you: {len(asked)} image") and "Answer until" in mail.text
            assert all(question.name in mail.text for question in asked) and len(mail.pictures) == len(asked)
    came, went = notifier.texts
    assert came.startswith("wrists is now merged into hand") and went.startswith("wrists is no longer merged into hand")


def test_a_base_model_without_images_says_what_it_lacks(settings: Settings, lake: Lake) -> None:
    hands = [{"sha256": f"{number:064x}", "body_part": "hand", "raw_label": "hand"} for number in range(90)]
    catalog = tables.put(lake, "review/hands.parquet", hands, Reviewed)
    plan = TrainingPlan("leg_base", catalog, "smoke", 0, "", TrainingKey("models/leg_base/x"))
    with pytest.raises(TrainingError, match="leg_base cannot be trained: 0 originals of the answer in train"):
        train_base(settings, lake, plan)
