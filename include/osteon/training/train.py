"""`osteon train`: search, fit, calibrate and measure one model on one snapshot."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.relabel import load_rules
from osteon.errors import ConfigurationError, TrainingError
from osteon.features import load_features
from osteon.images.wavelet import WaveletRecipe
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models import cnn_bilstm
from osteon.models.space import BUDGETS, choose
from osteon.settings import Settings
from osteon.training import evaluate
from osteon.training.augment import of_wavelets
from osteon.training.base import train_base
from osteon.training.classes import ClassList, class_names
from osteon.training.fit import fit, logits, temperature
from osteon.training.predictor import Predictor
from osteon.training.sampling import sample_groups, tell_devices
from osteon.training.search import search

VERSION = 2
MODELS = ("cnn_bilstm",)
log = logging.getLogger(__name__)


def train(
    settings: Settings, lake: Lake, snapshot_key: str, model: str, budget: str, seed: int, out: str
) -> dict[str, Any]:
    """Train `model` and leave it under `out` in the lake; `result.json` is written last.

    A base model learns from a catalog that needs no splits, every other from a snapshot.

    Where `result.json` exists it is returned and nothing is done. The test split is used once, at the end. Raises
    `ConfigurationError` for an unknown model or budget, `TrainingError` when the data cannot carry a model.
    """
    base_models = tuple(load_rules(settings.relabel_file, load_labels(settings.labels_file)).base_models)
    if model not in MODELS + base_models or budget not in BUDGETS:
        raise ConfigurationError(
            f"no model {model!r} with budget {budget!r}: models are {MODELS + base_models}, budgets {tuple(BUDGETS)}"
        )
    if lake.exists(f"{out}/result.json"):
        stored: dict[str, Any] = lake.get_json(f"{out}/result.json")
        return stored
    if model in base_models:
        return train_base(settings, lake, snapshot_key, model, budget, seed, out)
    start = time.monotonic()
    import keras

    tell_devices()
    keras.utils.set_random_seed(seed)
    catalog = catalogs.read(lake, snapshot_key)
    snapshot = catalogs.snapshot_id(catalog, load_labels(settings.labels_file))
    images = catalog[catalog["split"].notna()].reset_index(drop=True)
    rows = {name: np.flatnonzero(images["split"] == name) for name in catalogs.SPLITS}
    if any(len(part) == 0 for part in rows.values()):
        sizes = {name: len(part) for name, part in rows.items()}
        raise TrainingError(f"a split is empty ({sizes}): add images")
    classes = ClassList.of(images.iloc[rows["train"]])
    plan = BUDGETS[budget]
    recipe = WaveletRecipe(side=plan.side)
    features, allowed = load_features(settings, lake, images, recipe), classes.allowed(images)
    # an image of a class that training does not hold can be measured, but teaches nothing
    learn, check = (rows[name][allowed[rows[name]].any(axis=1)] for name in ("train", "val"))
    log.info("%d training images, %d classes: %s", len(learn), len(classes.names), ", ".join(classes.names))

    augment = of_wavelets(seed)
    few = sample_groups(images["group"].iloc[learn], plan.search_images, seed)
    with tempfile.TemporaryDirectory(prefix="osteon-search-") as folder:
        architecture, trials = search(
            (features[learn][few], allowed[learn][few]),
            (features[check], allowed[check]),
            choose=choose,
            augment=augment,
            budget=plan,
            seed=seed,
            snapshot=snapshot,
            folder=Path(folder),
            min_completed=settings.min_completed_trials,
        )
    keras.utils.set_random_seed(seed)
    winner = cnn_bilstm.build(architecture, recipe.shape, len(classes.names))
    epochs = fit(
        winner,
        (features[learn], allowed[learn]),
        (features[check], allowed[check]),
        epochs=plan.fit_epochs,
        patience=plan.patience,
        batch=plan.batch,
        seed=seed,
        augment=augment,
    )
    predictor = Predictor(winner, recipe, classes, temperature(logits(winner, features[check]), allowed[check]))

    test = images.iloc[rows["test"]].reset_index(drop=True)
    probabilities = predictor.from_features(features[rows["test"]])
    metrics: dict[str, Any] = dict(evaluate.measure(test, probabilities, classes))
    metrics["fracture_auroc_by_part"] = evaluate.auroc_by_part(test, probabilities, classes)
    metrics["seconds"] = round(time.monotonic() - start, 1)
    result = {
        "model": model,
        "snapshot": snapshot,
        "snapshot_key": snapshot_key,
        "budget": budget,
        "seed": seed,
        "classes": list(classes.names),
        "architecture": architecture,
        "parameters": int(winner.count_params()),
        "epochs": epochs,
        "trials": trials,
        "images": {name: len(part) for name, part in rows.items()},
        "images_by_class": class_counts(images.iloc[rows["train"]]),
        "metrics": metrics,
        "intervals": evaluate.intervals(test, probabilities, classes, settings.bootstrap_rounds),
        "shortcut_floor": evaluate.shortcut_floor(images.iloc[rows["train"]], test),
    }
    predictor.to_lake(lake, out)
    table = pd.DataFrame(probabilities, columns=list(classes.names))
    table.insert(0, "sha256", test["sha256"])
    lake.put_table(f"{out}/predictions.parquet", table)
    lake.put_json(f"{out}/result.json", result)
    return result


def class_counts(images: pd.DataFrame) -> dict[str, int]:
    """Images by `part/state`."""
    return {str(name): int(count) for name, count in class_names(images).value_counts().items()}
