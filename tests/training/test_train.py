"""Training on a snapshot of phantoms: the main model, rivals, ablations, and their comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.errors import ConfigurationError
from osteon.images.wavelet import LAZY
from osteon.lake import Lake
from osteon.models import forest, space
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT
from osteon.pipeline.training import ablations, training_key
from osteon.records import CatalogKey, TrainingKey
from osteon.results import Comparison, TrainingResult
from osteon.schemas import Split
from osteon.training.compare import compare
from osteon.training.data import TrainingData
from osteon.training.evaluate import metadata_baseline
from osteon.training.plan import TrainingPlan
from osteon.training.robustness import CHANGES
from osteon.training.train import train
from osteon.version import code_version

TINY = replace(
    space.BUDGETS["smoke"],
    search_epochs=1,
    trials=1,
    search_images=40,
    fit_epochs=2,
    members=2,
    side=32,
    search_side=32,
)


@pytest.fixture
def snapshot(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Context, str]:
    monkeypatch.setitem(space.BUDGETS, "smoke", TINY)
    monkeypatch.setattr(forest, "SPACE", {"n_estimators": [5, 10]})
    monkeypatch.setattr(forest, "ITERATIONS", 2)
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 150, "longer_side": [60, 80]}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": [{**entry, "parts": ["hand", "spine", "hip"]}]}))
    context = Context.open("x", min_completed_trials=1, bootstrap_rounds=20, min_baseline_images=40, baseline_share=0.1)
    return context, prepare(context, str(sources), INSPECT, REPAIR, GROUP, REVIEW, SPLIT, seed=0)


def learn(context: Context, key: str, model: str, out: str = "", winner: str = "") -> TrainingResult:
    """Train a model on a snapshot with the smoke budget, under `out` or where its inputs say."""
    catalog = CatalogKey(key)
    place = TrainingKey(out) if out else training_key(context, catalog, model, "smoke", 0, winner=winner)
    result = train(context.settings, context.lake, TrainingPlan(model, catalog, "smoke", 0, winner, place))
    assert isinstance(result, TrainingResult)
    return result


def test_what_a_base_model_labelled_teaches_and_judges_nothing(snapshot: tuple[Context, str], lake: Lake) -> None:
    context, key = snapshot
    images = catalogs.read(lake, key)
    whole = TrainingData(context.settings, lake, key, "smoke", 0)
    by_model = images["split"].notna() & (images.index % 3 == 0)
    images.loc[by_model, "label_origin"] = catalogs.BASE_MODEL
    course = TrainingData(context.settings, lake, catalogs.write(lake, "machine.parquet", images, Split), "smoke", 0)
    assert course.snapshot != whole.snapshot
    assert course.rows["train"].tolist() == whole.rows["train"].tolist()
    for name in ("val", "test"):
        judging = course.images.iloc[course.rows[name]]
        assert 0 < len(judging) < len(whole.rows[name]) and catalogs.labelled_by_people(judging).all()


def test_the_floor_is_measured_on_the_images_that_the_model_is_judged_on(
    snapshot: tuple[Context, str], lake: Lake
) -> None:
    """Hips of one known state only: to know that would earn the floor nearly everything, and the model nothing."""
    context, key = snapshot
    images = catalogs.read(lake, key)
    hips = images["body_part"] == "hip"
    images.loc[hips, "fractured"] = pd.array([False, None] * len(images), "boolean")[: int(hips.sum())]
    machine = images["split"].eq("train") & (images.index % 5 == 0)
    images.loc[machine, "label_origin"] = catalogs.BASE_MODEL
    key = catalogs.write(lake, "one-state.parquet", images, Split)
    result = learn(context, key, "cnn_plain", "models/one-state")
    judged = images["split"].eq("test") & images["fractured"].notna() & ~hips
    expected = metadata_baseline(images[images["split"] == "train"], images[judged])
    assert "hip/unknown" in result.classes and result.evaluation.metadata_baseline == expected
    assert sum(result.images_by_class.values()) == result.n_train
    assert result.published_by_class and 0 < sum(result.published_by_class.values()) < result.n_train


def test_rivals_learn_from_a_sample_ablations_change_the_winner_and_all_are_compared_on_the_same_images(
    snapshot: tuple[Context, str], lake: Lake
) -> None:
    context, key = snapshot
    trained: dict[str, TrainingResult] = {}

    def learn_all(model: str, winner: str = "") -> TrainingResult:
        trained[model] = learn(context, key, model, winner=winner)
        return trained[model]

    main = learn_all(space.MAIN)
    for model in ("cnn_plain", "forest"):
        learn_all(model)
    for model in ablations("standard"):
        learn_all(model, main.key)
    assert ablations("smoke") == [], "the smoke budget has no time for them"
    images = catalogs.read(lake, key)
    for result in trained.values():
        assert result.code == code_version()
        predictions = lake.get_table(f"{result.key}/predictions.parquet")
        assert set(predictions["sha256"]) == set(images.loc[images["split"] == "test", "sha256"])
    small = {name: result.n_train for name, result in trained.items() if result.n_train < main.n_train}
    assert small.keys() == {"cnn_plain", "forest", "same_data"} and all(30 <= count <= 40 for count in small.values())
    assert trained["no_wavelets"].design == main.design | {"wavelet": LAZY}
    assert trained["no_recurrence"].design == main.design | {"lstm_layers": 0}
    assert trained["same_data"].design == main.design
    assert (main.members, len(main.evaluation.robustness)) == (2, len(CHANGES))
    assert not lake.exists(f"{trained['cnn_plain'].key}/model.keras"), "only the main model is kept"
    shards = list(lake.keys("squares/"))
    assert learn_all(space.MAIN) == main and list(lake.keys("squares/")) == shards

    rows = lake.get_model(Comparison, compare(lake, [result.key for result in trained.values()], 20)).rows
    assert rows[0].model == space.MAIN and rows[0].against is None
    assert {row.model for row in rows if row.matched_sample} == {"cnn_plain", "forest"}
    main_accuracy = rows[0].metrics["part_accuracy"] or 0.0
    for row in rows[1:]:
        interval = row.against.difference["part_accuracy"] if row.against else None
        assert (
            interval is not None and interval[0] <= main_accuracy - (row.metrics["part_accuracy"] or 0.0) <= interval[1]
        )


def test_a_result_that_cannot_be_read_is_trained_again(
    snapshot: tuple[Context, str], lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    context, key = snapshot
    lake.put_json("models/y/result.json", {"model": "cnn_plain", "schema_version": 99})
    result = learn(context, key, "cnn_plain", "models/y")
    assert lake.get_model(TrainingResult, "models/y/result.json") == result
    assert any("models/y/result.json is left out" in message for message in caplog.messages)


def test_an_ablation_without_a_winner_and_an_unknown_model_are_refused(
    snapshot: tuple[Context, str], lake: Lake
) -> None:
    context, key = snapshot
    with pytest.raises(ConfigurationError, match="no_wavelets changes another training's design"):
        learn(context, key, "no_wavelets", "models/x")
    with pytest.raises(ConfigurationError, match="no model 'resnet'"):
        learn(context, key, "resnet", "models/x")
    assert pd.Series(lake.keys("models/")).empty
