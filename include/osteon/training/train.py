"""`osteon train`: one model on one snapshot, from the search to its figures on the test split."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.curation.relabel import load_rules
from osteon.errors import ConfigurationError, TrainingError
from osteon.features import Recipe, load_squares, transformed
from osteon.images.wavelet import LAZY, WaveletRecipe
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models import forest, network, space
from osteon.models.design import NetworkDesign
from osteon.models.space import ABLATIONS, BUDGETS, MAIN, PLAIN, RIVALS
from osteon.schemas import Split
from osteon.settings import Settings
from osteon.training.augment import MAIN_MOVES, Augment, augmented
from osteon.training.base import train_base
from osteon.training.classes import ClassList
from osteon.training.evaluate import Scored, evaluate, shortcut_floor
from osteon.training.fit import Lesson, fit
from osteon.training.predictor import Predictor
from osteon.training.sampling import Rows, prepare_keras, sample_clusters
from osteon.training.steadiness import steadiness
from osteon.version import code_version

if TYPE_CHECKING:
    from osteon.training.search import Search

VERSION = 14
log = logging.getLogger(__name__)


def train(
    settings: Settings,
    lake: Lake,
    snapshot_key: str,
    model: str,
    budget: str,
    seed: int,
    out: str,
    winner: str = "",
    helped: bool = False,
) -> dict[str, Any]:
    """Train `model` and leave it under `out` in the lake; `result.json` is written last.

    A base model learns from a catalog that needs no splits, every other from a snapshot. An ablation changes the design
    of the main model that was trained under `winner`; for the main model itself, `winner` is the champion, whose design
    the search starts with, and which other processes may help with if it is `helped` (`help_search`). Where
    `result.json` exists it is returned and nothing is done. The test split is used once, at the end. Raises
    `ConfigurationError` for an unknown model or budget, `TrainingError` when the data cannot carry a model.
    """
    base_models = tuple(load_rules(settings.relabel_file, load_labels(settings.labels_file)).base_models)
    known = (MAIN, *RIVALS, *ABLATIONS, *base_models)
    if model not in known or budget not in BUDGETS:
        raise ConfigurationError(
            f"no model {model!r} with budget {budget!r}: models are {known}, budgets {tuple(BUDGETS)}"
        )
    if lake.exists(f"{out}/result.json"):
        stored: dict[str, Any] = lake.get_json(f"{out}/result.json")
        return stored
    if model in base_models:
        return train_base(settings, lake, snapshot_key, model, budget, seed, out)
    start = time.monotonic()
    course = Course(settings, lake, snapshot_key, budget, seed)
    before = lake.get_json(f"{winner}/result.json").get("design") if winner else None  # early champions have none
    rows = course.sample if model in (*RIVALS, "same_data") else course.learn
    if model == "forest":
        rows = course.certain(rows)
        taught = learn_forest(course, rows)
    elif model == MAIN:
        taught = learn_by_search(course, rows, out, space.cnn_bilstm(course.plan.side), before, helped)
    elif model == "cnn_searched":
        taught = learn_by_search(course, rows, out, space.cnn_searched(course.plan.side))
    elif model == "cnn_plain":
        taught = learn_design(course, rows, PLAIN)
    elif before is None:
        raise ConfigurationError(f"{model} changes another training's design: name that with --winner")
    else:
        changes: dict[str, dict[str, Any]] = {"no_wavelets": {"wavelet": LAZY}, "no_recurrence": {"lstm_layers": 0}}
        taught = learn_design(course, rows, NetworkDesign.from_hyperparameters(before | changes.get(model, {})))
    return _finish(course, model, taught, rows, out, start)


def help_search(
    settings: Settings, lake: Lake, snapshot_key: str, budget: str, seed: int, out: str, worker: str
) -> int:
    """Run trials of the main model's search, which another process leads: `train` with the same arguments. Returns how
    many it ran when the search is finished, or when nobody has led it for `search_patience` minutes."""
    if lake.exists(f"{out}/result.json"):
        return 0
    course = Course(settings, lake, snapshot_key, budget, seed)
    prepare_keras()
    search = search_of(course, course.learn, out, space.cnn_bilstm(course.plan.side))
    return search.help(worker, 60 * settings.search_patience)


class Course:
    """What the models of a snapshot learn from and are measured on: its images, their splits and their classes."""

    def __init__(self, settings: Settings, lake: Lake, snapshot_key: str, budget: str, seed: int) -> None:
        self.settings, self.lake, self.snapshot_key, self.seed = settings, lake, snapshot_key, seed
        self.budget, self.plan = budget, BUDGETS[budget]
        catalog = catalogs.read(lake, snapshot_key, Split)
        self.snapshot = catalogs.snapshot_id(catalog, load_labels(settings.labels_file))
        self.images = catalog[catalog["split"].notna()].reset_index(drop=True)
        judges = catalogs.labelled_by_people(self.images)
        self.rows = {
            name: np.flatnonzero((self.images["split"] == name) & (judges | (name == "train")))
            for name in catalogs.SPLITS
        }
        sizes = {name: len(part) for name, part in self.rows.items()}
        if 0 in sizes.values():
            raise TrainingError(f"a split is empty ({sizes}): add images")
        self.classes = ClassList.of(self.images.iloc[self.rows["train"]])
        self.allowed = self.classes.allowed(self.images)
        # an image of a class that training does not hold can be measured, but teaches nothing
        self.learn, self.check = (
            self.rows[name][self.allowed[self.rows[name]].any(axis=1)] for name in ("train", "val")
        )
        self._squares: dict[int, NDArray[np.uint8]] = {}
        log.info("images by split: %s; classes: %s", sizes, ", ".join(self.classes.names))

    def squares(self, side: int) -> NDArray[np.uint8]:
        """Letterboxed squares of all images, read once."""
        if side not in self._squares:
            self._squares[side] = load_squares(self.settings, self.lake, self.images, side)
        return self._squares[side]

    def features(self, recipe: Recipe, rows: Rows) -> NDArray[np.float16]:
        """Features (n, rows, columns, planes) of the images in some rows (n,)."""
        return transformed(self.settings, self.squares(recipe.side), rows, recipe)

    def forget_search(self) -> None:
        """Let go of what was read at the side for searching, where that is not the side for fitting."""
        side = self.plan.side
        self._squares = {other: squares for other, squares in self._squares.items() if other == side}

    def augment(self, recipe: Recipe, seed: int) -> Augment:
        return augmented(self.squares(recipe.side), recipe, MAIN_MOVES, seed)

    @cached_property
    def sample(self) -> Rows:
        """The training images that rivals learn from: whole clusters."""
        most = max(self.settings.min_baseline_images, round(self.settings.baseline_share * len(self.learn)))
        return self.learn[sample_clusters(self.images["cluster"].iloc[self.learn], most, self.seed)]

    def certain(self, rows: Rows) -> Rows:
        """Those whose label admits one class: what a model learns from that knows no marginal loss."""
        return rows[self.allowed[rows].sum(axis=1) == 1]

    def images_of(self, split: str) -> pd.DataFrame:
        """The images of a split: of val and test those that people labelled."""
        return self.images.iloc[self.rows[split]].reset_index(drop=True)

    def recipe(self, design: NetworkDesign, side: int | None = None) -> WaveletRecipe:
        """What a design looks at, at the budget's side or another."""
        return WaveletRecipe(side or self.plan.side, design.wavelet or LAZY, design.level or 0)

    def lesson(self, recipe: WaveletRecipe, rows: Rows) -> Lesson:
        """Of no more images after an epoch than in it: who learns from a few would be checked longer than taught."""
        check = self.check[sample_clusters(self.images["cluster"].iloc[self.check], len(rows), self.seed)]
        squares = self.squares(recipe.side)
        return Lesson(lambda some: recipe.of_squares(squares[some]), recipe.shape, self.allowed, rows, check)

    def calibrated(self, model: Any, recipe: Recipe) -> Predictor:
        """A model that has learnt, calibrated on the validation split."""
        features = self.features(recipe, self.check)
        return Predictor.calibrated(model, recipe, self.classes, features, self.allowed[self.check])


@dataclass(frozen=True)
class Taught:
    """A model that has learnt."""

    predictor: Predictor
    design: dict[str, Any]
    parameters: int | None = None
    members: int = 1
    """Networks whose mean it is."""
    trials: list[dict[str, Any]] | None = None
    start: dict[str, Any] | None = None
    """The design that its search started with."""


def learn_by_search(
    course: Course,
    rows: Rows,
    out: str,
    choose: space.SearchSpace,
    start: dict[str, Any] | None = None,
    helped: bool = False,
) -> Taught:
    """Search the space on a part of the rows, then fit the winner on all of them."""
    prepare_keras()
    settings = course.settings
    found = search_of(course, rows, out, choose).run(
        min_completed=settings.min_completed_trials,
        start=start,
        host=settings.search_host if helped else "",
        port=settings.search_port,
    )
    course.forget_search()
    return learn_design(course, rows, found.design, trials=found.rows, start=start)


def search_of(course: Course, rows: Rows, out: str, choose: space.SearchSpace) -> Search:
    """The search of a space on a part of the rows, at the side for searching."""
    from osteon.training.search import Search

    plan = course.plan
    few = rows[sample_clusters(course.images["cluster"].iloc[rows], plan.search_images, course.seed)]

    def recipe(design: NetworkDesign) -> WaveletRecipe:
        return course.recipe(design, plan.search_side)

    return Search(
        lake=course.lake,
        lesson=lambda design: course.lesson(recipe(design), few),
        space=choose,
        augment=lambda design, seed: course.augment(recipe(design), seed),
        budget=plan,
        seed=course.seed,
        data=f"{out}, {MAIN_MOVES}",
    )


def learn_design(course: Course, rows: Rows, design: NetworkDesign, **search: Any) -> Taught:
    """Fit one design, as often as the budget says, and calibrate the mean on the validation split.

    `search` are what a search filled of `Taught`.
    """
    import keras

    prepare_keras()
    recipe = course.recipe(design)
    lesson = course.lesson(recipe, rows)
    members = []
    for number in range(course.plan.members):
        seed = course.seed + 1000 * number
        keras.utils.set_random_seed(seed)
        member = network.build(design, recipe.shape, lesson.classes)
        fit(member, lesson, budget=course.plan, seed=seed, augment=course.augment(recipe, seed))
        members.append(member)
    model = network.precise(network.mean_of(members))
    return Taught(
        course.calibrated(model, recipe), design.hyperparameters, int(model.count_params()), len(members), **search
    )


def learn_forest(course: Course, rows: Rows) -> Taught:
    """Search and fit the forest on `certain` rows, and calibrate it on the validation split."""
    recipe = WaveletRecipe(forest.SIDE, LAZY, 0)
    clusters = course.images["cluster"].to_numpy()
    model, design = forest.fit(course.features(recipe, rows), course.allowed[rows], clusters[rows], course.seed)
    return Taught(course.calibrated(model, recipe), design)


def _finish(course: Course, model: str, taught: Taught, rows: Rows, out: str, start: float) -> dict[str, Any]:
    test = course.images_of("test")
    features = course.features(taught.predictor.recipe, course.rows["test"])
    probabilities = taught.predictor.from_features(features)
    scored = Scored(test, probabilities, course.classes)
    learnt = course.images.iloc[rows]
    result = {
        "key": out,
        "model": model,
        "snapshot": course.snapshot,
        "snapshot_key": course.snapshot_key,
        "budget": course.budget,
        "seed": course.seed,
        "code": code_version(),
        "classes": list(course.classes.names),
        "design": taught.design,
        "parameters": taught.parameters,
        "members": taught.members,
        "trials": taught.trials,
        "search_started_with": taught.start,
        "images": {name: len(part) for name, part in course.rows.items()},
        "not_judging": len(course.images) - sum(map(len, course.rows.values())),
        "learnt_from": len(rows),
        "images_by_class": class_counts(learnt),
        "published_by_class": class_counts(learnt[catalogs.labelled_by_people(learnt)]),
        **evaluate(scored, course.settings.bootstrap_rounds),
        "shortcut_floor": shortcut_floor(course.images.iloc[course.rows["train"]], test[scored.judged]),
    }
    if model == MAIN:
        result["steadiness"] = steadiness(course.settings, course.lake, taught.predictor, test, scored)
        taught.predictor.to_lake(course.lake, out)
    result["metrics"]["seconds"] = round(time.monotonic() - start, 1)
    table = pd.DataFrame(probabilities, columns=list(course.classes.names))
    table.insert(0, "sha256", test["sha256"])
    course.lake.put_table(f"{out}/predictions.parquet", table)
    course.lake.put_json(f"{out}/result.json", result)
    return result


def class_counts(images: pd.DataFrame) -> dict[str, int]:
    """Images by `part/state`."""
    return {str(name): int(count) for name, count in catalogs.class_names(images).value_counts().items()}
