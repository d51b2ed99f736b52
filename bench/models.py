"""The main model, its rivals, its ablations and the model that it replaces, on FracAtlas: every one on the same splits.

All models, or those named, in their order. Designs are searched once, with seed 0; each is then fitted anew with every
seed, one network at a time; the main model is also the mean of them all, as Osteon registers it, and where it comes
first, the others' first seeds are compared with that, in pairs. Every model learns from all training images. Intervals
are over leakage groups.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from old_model import OldRecipe, build_old
from rich.console import Console
from rich.table import Table
from stages import SOURCES, store

from osteon.images.wavelet import LAZY
from osteon.models import space
from osteon.models.network import mean_of
from osteon.models.space import MAIN
from osteon.pipeline import Pipeline
from osteon.reports.model_card import interval, number
from osteon.training import train as training
from osteon.training.evaluate import Scored, paired_differences, shortcut_floor
from osteon.training.fit import Lesson, fit

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
OLD_EPOCHS = 20
"""Of the old model, whose images are not augmented; its row tells which epochs were kept."""


def snapshot(line: Pipeline, seed: int) -> str:
    """The key of FracAtlas alone, split with `seed`; its images of one body part."""
    entries = yaml.safe_load(SOURCES.read_text())["sources"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sources.yaml"
        (entry,) = (entry for entry in entries if entry["name"] == "fracatlas")
        entry["location"] = [str((SOURCES.parent / entry["location"][0]).resolve()), *entry["location"][1:]]
        path.write_text(yaml.safe_dump({"sources": [entry]}))
        manifests = [line.ingest(str(path), "fracatlas")]
    return line.split(line.review(line.group(line.repair(line.inspect(line.catalogue(manifests))))), seed)


def old_model(course: training.Course) -> training.Taught:
    """The study's main model, rebuilt: see `old_model`."""
    import keras

    keras.utils.set_random_seed(course.seed)
    recipe = OldRecipe()
    lesson = Lesson(course.features(recipe), course.allowed, course.learn, course.check)  # type: ignore[arg-type]
    model = build_old(recipe.shape, lesson.classes)
    plan = replace(course.plan, fit_epochs=OLD_EPOCHS)
    best = fit(model, lesson, budget=plan, seed=course.seed, augment=None)
    predictor = course.calibrated(model, recipe)  # type: ignore[arg-type]
    return training.Taught(predictor, {}, int(model.count_params()), [best])


def contenders(first: training.Course) -> dict[str, Callable[[training.Course], training.Taught]]:
    """By name, what fits a model with a course's seed. Designs are searched on the first course, when needed."""

    @cache
    def found(model: str) -> dict[str, Any]:
        choose = {"cnn_bilstm": space.cnn_bilstm, "cnn_searched": space.cnn_searched}[model](first.plan.side)
        design, _ = training.search_of(first, first.learn, model, choose).run(min_completed=1)
        print(json.dumps({model: design}), flush=True)
        return design

    def network(model: str, **changes: Any) -> Callable[[training.Course], training.Taught]:
        return lambda course: training.learn_design(course, course.learn, found(model) | changes)

    return {
        "cnn_bilstm": network("cnn_bilstm"),
        "without wavelets": network("cnn_bilstm", wavelet=LAZY),
        "without the LSTM": network("cnn_bilstm", lstm_layers=0),
        "cnn_searched": network("cnn_searched"),
        "cnn_plain": lambda course: training.learn_design(course, course.learn, space.PLAIN),
        "forest": lambda course: training.learn_forest(course, course.learn),
        "old model": old_model,
    }


def figures_of(scored: Scored) -> dict[str, Any]:
    """All measures, and the fracture AUROC within hand and leg."""
    within = {part: scored.measure(np.flatnonzero(scored.parts == part)) for part in ("hand", "leg")}
    return scored.measure() | {part: found["fracture_auroc"] for part, found in within.items()}


def main(budget: str, seeds: int, split_seed: int, only: list[str]) -> None:
    table = Table("model", *COLUMNS, "+-", "fracture AUROC, interval", "weights")
    with store():
        line = Pipeline("models")
        key = snapshot(line, split_seed)
        courses = [training.Course(line.settings, line.lake, key, budget, seed) for seed in range(seeds)]
        for course in courses:
            course._squares, course._features = courses[0]._squares, courses[0]._features
            course.plan = replace(course.plan, members=1)  # a network each; the mean of all has a row of its own
        test, classes, rounds = courses[0].test, courses[0].classes, line.settings.bootstrap_rounds

        def row(name: str, scored: list[Scored], weights: int | None, **more: Any) -> None:
            figures = [figures_of(one) for one in scored]
            means = [np.mean([found[column] for found in figures]) for column in COLUMNS]
            spread = np.std([found["fracture_auroc"] for found in figures])
            bounds = scored[0].intervals(rounds)["fracture_auroc"]
            table.add_row(name, *map(number, means), number(spread), interval(bounds), str(weights))
            print(
                json.dumps({"model": name, "weights": weights, "figures": figures, "interval": bounds} | more),
                flush=True,
            )

        learners, best = contenders(courses[0]), None
        for name in only or learners:
            scored, epochs, networks = [], [], []
            for course in courses:
                taught = learners[name](course)
                epochs.append(taught.epochs)
                networks.append(taught.predictor.model)
                features = course.features(taught.predictor.recipe)[course.rows["test"]]
                scored.append(Scored(test, taught.predictor.from_features(features), classes))
                print(json.dumps({"model": name, "seed": course.seed} | figures_of(scored[-1])), flush=True)
            if name == MAIN:
                predictor = courses[0].calibrated(mean_of(networks), taught.predictor.recipe)
                best = Scored(test, predictor.from_features(features), classes)
                row(f"{MAIN}, {seeds} networks", [best], seeds * (taught.parameters or 0))
            against = paired_differences(best, scored[0], rounds) if best else {}
            row(name, scored, taught.parameters, epochs=epochs, mean_of_networks_less_this=against)
        floor = shortcut_floor(courses[0].images.iloc[courses[0].rows["train"]], test)
    table.title = f"{len(test)} test images; means over {seeds} seeds, intervals of the first"
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    console.print("shortcut floor:", {name: round(value or 0, 3) for name, value in floor.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split-seed", type=int, default=0, help="of the split; the weekly DAG's is 0")
    given = parser.parse_args()
    main(given.budget, given.seeds, given.split_seed, given.models)
