"""The base models: does a radiograph show a hand (or a leg), or something else."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.curation.grouping import recall
from osteon.curation.relabel import BaseModelRule, load_rules
from osteon.curation.split import place_images, placements, recorded_placements
from osteon.errors import TrainingError
from osteon.features import Recipe, load_squares, transformed
from osteon.images.fourier import FourierRecipe, Planes
from osteon.labels import load_labels
from osteon.lake import Lake, derived_key
from osteon.models import network
from osteon.models.design import NetworkDesign
from osteon.models.space import BASE_BUDGETS, BASE_START, base_space
from osteon.schemas import Reviewed
from osteon.settings import Settings
from osteon.training.augment import BASE_MOVES, Augment, augmented
from osteon.training.classes import ClassList
from osteon.training.evaluate import auroc, bootstrap, calibration, calibration_error
from osteon.training.fit import Lesson, fit
from osteon.training.predictor import Predictor
from osteon.training.sampling import prepare_keras, sample_clusters
from osteon.version import code_version

VERSION = 5
OTHER = "other"
INPUTS: tuple[Planes, ...] = ("fourier", "pixels", "both")
LEAST = 8
"""Originals of either side that each split must hold."""
log = logging.getLogger(__name__)


def teaching_images(
    catalog: pd.DataFrame, rule: BaseModelRule, lake: Lake, settings: Settings, seed: int
) -> pd.DataFrame:
    """Images of one body part, said by a publisher or a curator. Adds `split`, and `target`: is it the answer."""
    fit_to_teach = (
        catalogs.usable(catalog)
        & catalog["reason"].isna()
        & catalog["body_part"].notna()
        & ~catalog["body_part"].isin(rule.unsure)
        & catalogs.labelled_by_people(catalog)
        & catalog["conflict"].isna()
    )
    images = catalog[fit_to_teach].copy()
    before = placements(recorded_placements(lake), recall(lake).cluster)
    images["split"] = place_images(images, before, settings, seed)
    images["target"] = images["body_part"].isin(rule.parts)
    return images.reset_index(drop=True)


def lacking(images: pd.DataFrame) -> str | None:
    """Why the images cannot teach a base model; None where they can."""
    counts = images.groupby(["split", "target"])["group"].nunique()
    for split in catalogs.SPLITS:
        for target in (True, False):
            if counts.get((split, target), 0) < LEAST:
                side = "of the answer" if target else "of other parts"
                return f"{counts.get((split, target), 0)} originals {side} in {split}, {LEAST} are needed"
    return None


def training_key(
    images: pd.DataFrame, model: str, rule: BaseModelRule, budget: str, seed: int, rounds: int, salt: str = ""
) -> str:
    """Where the training goes: set by the images, what they teach, their splits, how long is searched, and how often
    resampled."""
    digest = hashlib.sha256(images[["sha256", "target", "split", "source"]].to_csv(index=False).encode()).hexdigest()
    plan = BASE_BUDGETS[budget]
    return derived_key(f"models/{model}", VERSION, digest, rule.model_dump(), repr(plan), seed, rounds, salt, suffix="")


def train_base(
    settings: Settings, lake: Lake, catalog_key: str, model: str, budget: str, seed: int, out: str
) -> dict[str, Any]:
    """Compare the inputs, search, fit, calibrate and measure a base model; `result.json` under `out` is written last.

    The input that ranks validation images best, after learning from as many images as the search does, is kept. The
    test split decides nothing. Raises `TrainingError` when the images cannot teach it.
    """
    start = time.monotonic()
    import keras

    from osteon.training.search import Search

    prepare_keras()
    labels = load_labels(settings.labels_file)
    rule = load_rules(settings.relabel_file, labels).base_models[model]
    catalog = catalogs.read(lake, catalog_key, Reviewed)
    images = teaching_images(catalog, rule, lake, settings, seed)
    if (problem := lacking(images)) is not None:
        raise TrainingError(f"{model} cannot be trained: {problem}")
    plan = BASE_BUDGETS[budget]
    every = FourierRecipe(plan.side, "both")
    squares = load_squares(settings, lake, images, plan.side)
    features = transformed(settings, squares, np.arange(len(images)), every)
    allowed = np.stack([images["target"], ~images["target"]], axis=1).astype(np.float32)
    rows = {name: np.flatnonzero(images["split"] == name) for name in catalogs.SPLITS}
    truth, answers = images["target"].to_numpy(bool), ClassList((rule.answer, OTHER))

    def moved(recipe: Recipe, seed: int) -> Augment:
        return augmented(squares, recipe, BASE_MOVES, seed)

    def learn(recipe: Recipe, x: NDArray[np.float16], design: NetworkDesign, rows: dict[str, Any]) -> Predictor:
        keras.utils.set_random_seed(seed)
        model = network.build(design, recipe.shape, 2)
        lesson = Lesson(lambda some: x[some], recipe.shape, allowed, rows["train"], rows["val"])
        fit(model, lesson, budget=plan, seed=seed, augment=moved(recipe, seed))
        return Predictor.calibrated(network.precise(model), recipe, answers, x[rows["val"]], allowed[rows["val"]])

    few = sample_clusters(images["cluster"].iloc[rows["train"]], plan.search_images, seed)
    sample = {**rows, "train": rows["train"][few]}
    ablation: dict[str, dict[str, float | None]] = {}
    for planes in INPUTS:
        recipe, x = every.only(planes, features)
        predictor = learn(recipe, x, BASE_START, sample)
        ablation[planes] = {
            f"{name}_auroc": auroc(truth[rows[name]], predictor.chance(rule.answer, x[rows[name]]))
            for name in ("val", "test")
        }
        log.info("%s from %s: AUROC %.3f on validation", model, planes, ablation[planes]["val_auroc"])
    planes = max(INPUTS, key=lambda name: ablation[name]["val_auroc"] or 0.0)
    recipe, x = every.only(planes, features)
    lesson = Lesson(lambda some: x[some], recipe.shape, allowed, sample["train"], rows["val"])
    search = Search(
        lake=lake,
        lesson=lambda design: lesson,
        space=base_space(plan.widest),
        augment=lambda design, seed: moved(recipe, seed),
        budget=plan,
        seed=seed,
        data=out,
    )
    found = search.run(min_completed=settings.min_completed_trials)
    design = found.design
    predictor = learn(recipe, x, design, rows)
    test, chance = images.iloc[rows["test"]], predictor.chance(rule.answer, x[rows["test"]])
    lake.put_table(
        f"{out}/images.parquet", images[["sha256", "source", "licence", "attribution", "body_part", "split", "target"]]
    )
    result = {
        "key": out,
        "snapshot": out.rsplit("/", 1)[-1],
        "snapshot_key": f"{out}/images.parquet",
        "model": model,
        "answer": rule.answer,
        "parts": list(rule.parts),
        "classes": [rule.answer, OTHER],
        "input": planes,
        "ablation": ablation,
        "budget": budget,
        "seed": seed,
        "code": code_version(),
        "design": design.hyperparameters,
        "parameters": int(predictor.model.count_params()),
        "trials": found.rows,
        "images": {name: len(part) for name, part in rows.items()},
        "metrics": measure(truth[rows["test"]], chance),
        "intervals": bootstrap(
            test["cluster"], lambda some: measure(truth[rows["test"]][some], chance[some]), settings.bootstrap_rounds
        ),
        "calibration": calibration(truth[rows["test"]], chance),
        "by_source": by_source(test, chance),
        "unseen_sources": _unseen_sources(
            images, rows, lambda some, test: learn(recipe, x, design, some).chance(rule.answer, x[test])
        )
        if plan.unseen
        else None,
        "seconds": round(time.monotonic() - start, 1),
    }
    predictor.to_lake(lake, out)
    lake.put_json(f"{out}/result.json", result)
    return result


def measure(truth: NDArray[np.bool_], chance: NDArray[np.floating]) -> dict[str, float | None]:
    """`accuracy` at 0.5, `auroc`, and `ece`, the calibration error over 10 equal bins, of the answer's probability."""
    confidence = np.maximum(chance, 1 - chance)
    right = (chance >= 0.5) == truth
    return {
        "accuracy": float(right.mean()),
        "auroc": auroc(truth, chance),
        "ece": calibration_error(confidence, right),
    }


def by_source(images: pd.DataFrame, chance: NDArray[np.floating]) -> list[dict[str, Any]]:
    """What was said of each source's images: `source, answer, answer_right, other, other_right` (counts)."""
    said = pd.DataFrame({"source": images["source"].to_numpy(), "truth": images["target"].to_numpy(bool)})
    said["right"] = (chance >= 0.5) == said["truth"]
    rows = []
    for name, part in said.groupby("source"):
        yes, no = part[part["truth"]], part[~part["truth"]]
        counts = {"answer": len(yes), "answer_right": int(yes["right"].sum())}
        rows.append({"source": str(name), **counts, "other": len(no), "other_right": int(no["right"].sum())})
    return rows


def _unseen_sources(images: pd.DataFrame, rows: dict[str, NDArray[np.intp]], chances: Any) -> list[dict[str, Any]]:
    """`by_source` of each source's test images, by `chances(rows, test)` of a model trained without that source."""
    told: list[dict[str, Any]] = []
    for name in sorted(images["source"].unique()):
        mine = (images["source"] == name).to_numpy(bool)
        rest = {split: part[~mine[part]] for split, part in rows.items()}
        test = rows["test"][mine[rows["test"]]]
        if len(test) == 0 or lacking(images[~mine]) is not None:
            continue
        told += by_source(images.iloc[test], chances(rest, test))
    return told
