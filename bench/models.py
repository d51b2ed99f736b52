"""The main model, its baselines, its ablations and the model that it replaces, on FracAtlas and the same splits.

All models, or those named, in their order. Each learns from all training images. Designs are searched once, with seed
0, then fitted anew with every seed. The table has two rows for each model. One has the mean figure of its seeds. The
other has the figures of the mean of their answers, as Osteon registers its main model. The latter are compared in
pairs. Intervals are over leakage groups.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from old_model import OldRecipe, build_old
from rich.console import Console
from rich.table import Table
from stages import SOURCES, store

from osteon.images.wavelet import LAZY
from osteon.models import space
from osteon.models.design import NetworkDesign
from osteon.models.space import MAIN
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT
from osteon.records import CatalogKey
from osteon.reports.model_card import interval, number
from osteon.training import train as training
from osteon.training.data import TrainingData
from osteon.training.evaluate import Predictions, metadata_baseline, paired_bootstrap
from osteon.training.fit import TrainValData, fit
from osteon.training.sampling import Rows

COLUMNS = (
    "joint_accuracy",
    "part_accuracy",
    "fracture_auroc",
    "hand",
    "leg",
    "fracture_auroc_within_part",
    "average_precision",
    "sensitivity_at_90_specificity",
)
COMPARED = ("fracture_auroc", "average_precision", "macro_f1")
OLD_EPOCHS = 20
"""Of the old model, whose images are not augmented."""


def snapshot(context: Context, seed: int = 0) -> CatalogKey:
    """The key of FracAtlas alone, split with `seed`; its images of one body part."""
    entries = yaml.safe_load(SOURCES.read_text())["sources"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sources.yaml"
        (entry,) = (entry for entry in entries if entry["name"] == "fracatlas")
        entry["location"] = [str((SOURCES.parent / entry["location"][0]).resolve()), *entry["location"][1:]]
        path.write_text(yaml.safe_dump({"sources": [entry]}))
        return prepare(context, str(path), INSPECT, REPAIR, GROUP, REVIEW, SPLIT, seed=seed)


def old_train_val(data: TrainingData, train: Rows, val: Rows) -> TrainValData:
    """What the old model learns from: images that are transformed once."""
    transform = OldRecipe()
    features = data.features(transform, np.arange(len(data.images)))  # type: ignore[arg-type]
    return TrainValData(lambda rows: features[rows], transform.shape, data.allowed, train, val)


def old_model(data: TrainingData) -> training.TrainedModel:
    """The study's main model, rebuilt: see `old_model`."""
    import keras

    keras.utils.set_random_seed(data.seed)
    train_val = old_train_val(data, data.learn, data.check)
    model = build_old(train_val.shape, train_val.classes)
    plan = replace(data.plan, fit_epochs=OLD_EPOCHS)
    fit(model, train_val, budget=plan, seed=data.seed, augment=None)
    predictor = data.calibrated(model, OldRecipe())  # type: ignore[arg-type]
    return training.TrainedModel(predictor, {}, int(model.count_params()))


def contenders(first: TrainingData) -> dict[str, Callable[[TrainingData], training.TrainedModel]]:
    """By name, what fits a model with the seed of its data. A design is searched once, with the first seed."""

    @cache
    def found(model: str) -> NetworkDesign:
        choose = {"cnn_bilstm": space.cnn_bilstm, "cnn_searched": space.cnn_searched}[model](first.plan.side)
        design = training.search_of(first, first.learn, model, choose).run(min_completed=1).design
        print(json.dumps({model: design.hyperparameters}), flush=True)
        return design

    def network(model: str, **changes: Any) -> Callable[[TrainingData], training.TrainedModel]:
        return lambda data: training.fit_design(data, data.learn, found(model).changed(**changes))

    return {
        "cnn_bilstm": network("cnn_bilstm"),
        "whole rows": network("cnn_bilstm", columns="whole"),
        "without wavelets": network("cnn_bilstm", wavelet=LAZY),
        "without the LSTM": network("cnn_bilstm", lstm_layers=0),
        "cnn_searched": network("cnn_searched"),
        "cnn_plain": lambda data: training.fit_design(data, data.learn, space.PLAIN),
        "forest": lambda data: training.fit_forest(data, data.with_single_candidate(data.learn)),
        "old model": old_model,
    }


def figures_of(scored: Predictions) -> dict[str, Any]:
    """All measures, and the fracture AUROC within hand and leg."""
    within = {part: scored.measure(np.flatnonzero(scored.parts == part)) for part in ("hand", "leg")}
    return scored.measure() | {part: found["fracture_auroc"] for part, found in within.items()}


@dataclass(frozen=True)
class Learnt:
    """A model, fitted with each seed."""

    weights: int | None
    probabilities: list[NDArray[np.float64]]
    """(seeds, images, classes)"""

    def __str__(self) -> str:
        return json.dumps(vars(self) | {"probabilities": np.round(self.probabilities, 6).tolist()})


def learn(
    name: str, by_seed: list[TrainingData], learner: Callable[[TrainingData], training.TrainedModel], on: str
) -> Learnt:
    """Fit a model once with each seed, and measure each on the images of split `on`."""
    probabilities = []
    for data in by_seed:
        trained = learner(data)
        features = data.features(trained.predictor.transform, data.rows[on])
        probabilities.append(trained.predictor.from_features(features))
        figures = figures_of(Predictions(data.images_of(on), probabilities[-1], data.classes))
        print(json.dumps({"model": name, "seed": data.seed} | figures), flush=True)
    return Learnt(trained.parameters, probabilities)


def main(budget: str, side: int, seeds: int, split_seed: int, on: str, keep: Path, only: list[str]) -> None:
    table = Table("model", *COLUMNS, "seeds +-", "interval", *(f"main - this: {name}" for name in COMPARED), "weights")
    keep.mkdir(parents=True, exist_ok=True)
    with store():
        context = Context.open("models")
        key = snapshot(context, split_seed)
        by_seed = [TrainingData(context.settings, context.lake, key, budget, seed) for seed in range(seeds)]
        for data in by_seed:
            data.share_images(by_seed[0])
            data.plan = replace(data.plan, members=1, side=side or data.plan.side)  # a network each
        side = by_seed[0].plan.side
        images, classes, rounds = (
            by_seed[0].images_of(on),
            by_seed[0].classes,
            context.settings.bootstrap_rounds,
        )
        learners, main_model = contenders(by_seed[0]), None
        for name in only or learners:
            place = keep / f"{name}, {budget}, {side} pixels, {seeds} seeds, split {split_seed}, {on}.json"
            if not place.exists():
                place.write_text(str(learn(name, by_seed, learners[name], on)))
            learnt = Learnt(**json.loads(place.read_text()))
            singles = [figures_of(Predictions(images, np.array(one), classes)) for one in learnt.probabilities]
            spread = number(float(np.std([found["fracture_auroc"] for found in singles], ddof=1))) if seeds > 1 else ""
            means = [number(float(np.mean([found[column] for found in singles]))) for column in COLUMNS]
            table.add_row(name, *means, spread, "", *("" for _ in COMPARED), str(learnt.weights))
            mean = Predictions(images, np.mean(learnt.probabilities, axis=0), classes)
            figures = figures_of(mean)
            against: dict[str, Any] = paired_bootstrap(main_model, mean, rounds) if main_model else {}
            main_model = mean if name == MAIN else main_model
            table.add_row(
                f"the mean of its {seeds}",
                *(number(figures[column]) for column in COLUMNS),
                "",
                interval(mean.intervals(rounds)["fracture_auroc"]),
                *(interval(against.get(name)) for name in COMPARED),
                str(seeds * learnt.weights) if learnt.weights else "",
            )
        floor = metadata_baseline(by_seed[0].images.iloc[by_seed[0].rows["train"]], images)
    fractured = int(images["fractured"].fillna(False).sum())
    table.title = f"{len(images)} {on} images, {fractured} fractured; {seeds} seeds: mean figures, and of the mean"
    console = Console(width=None if sys.stdout.isatty() else 260)
    console.print(table)
    console.print("shortcut floor:", {name: round(value or 0, 3) for name, value in floor.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--side", type=int, default=0, help="pixels of the square [default: the budget's]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split-seed", type=int, default=0, help="of the split; the weekly DAG's is 0")
    parser.add_argument("--on", choices=("val", "test"), default="test", help="what to measure on: choose by val only")
    parser.add_argument("--keep", type=Path, default=Path("bench/kept"), help="what is there is not fitted again")
    given = parser.parse_args()
    main(given.budget, given.side, given.seeds, given.split_seed, given.on, given.keep, given.models)
