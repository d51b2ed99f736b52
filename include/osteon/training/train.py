"""`osteon train`: one model on one snapshot, from the search to its figures on the test split."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.relabel import load_rules
from osteon.errors import ConfigurationError
from osteon.images.wavelet import LAZY, WaveletRecipe
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models import forest, network, space
from osteon.models.design import NetworkDesign
from osteon.models.space import ABLATIONS, BUDGETS, MAIN, PLAIN, RIVALS
from osteon.results import BaseModelResult, Design, TrainingResult, Trial, read_or_skip, result_key
from osteon.settings import Settings
from osteon.training.augment import MAIN_MOVES
from osteon.training.base import train_base
from osteon.training.course import Course
from osteon.training.evaluate import Scored, evaluate, shortcut_floor
from osteon.training.fit import fit
from osteon.training.plan import TrainingPlan
from osteon.training.predictor import Predictor
from osteon.training.sampling import Rows, prepare_keras, sample_clusters
from osteon.training.steadiness import steadiness
from osteon.version import code_version

if TYPE_CHECKING:
    from osteon.training.search import Search

VERSION = 14
CHANGES: dict[str, Design] = {"no_wavelets": {"wavelet": LAZY}, "no_recurrence": {"lstm_layers": 0}, "same_data": {}}
"""What each ablation changes of the main model's design."""


def train(settings: Settings, lake: Lake, plan: TrainingPlan, helped: bool = False) -> TrainingResult | BaseModelResult:
    """Train a model and leave it in the lake, its result last. What the lake has already is not trained again.

    The test split is used once, at the end.

    Args:
        settings: Of the installation.
        lake: Holds the snapshot, and gets the model.
        plan: Which model, on which snapshot. Its `winner` is the training whose design an ablation changes, or the
            search of the main model starts with.
        helped: Whether other processes may help with the main model's search (`help_search`).

    Raises:
        ConfigurationError: There is no such model or budget, or an ablation has no design to change.
        TrainingError: The data cannot carry a model.
    """
    base_models = tuple(load_rules(settings.relabel_file, load_labels(settings.labels_file)).base_models)
    known = (MAIN, *RIVALS, *ABLATIONS, *base_models)
    if plan.model not in known or plan.budget not in BUDGETS:
        raise ConfigurationError(
            f"no model {plan.model!r} with budget {plan.budget!r}: models are {known}, budgets {tuple(BUDGETS)}"
        )
    key = result_key(plan.out)
    kind: type[TrainingResult | BaseModelResult] = BaseModelResult if plan.model in base_models else TrainingResult
    if lake.exists(key) and (stored := read_or_skip(lake, kind, key)):
        return stored
    if plan.model in base_models:
        return train_base(settings, lake, plan)
    start = time.monotonic()
    course = Course(settings, lake, plan.snapshot, plan.budget, plan.seed)
    rows = course.sample if plan.model in (*RIVALS, "same_data") else course.learn
    if plan.model == "forest":
        rows = course.certain(rows)
    taught = _learn(course, plan, rows, helped)
    return _finish(course, plan, taught, rows, start)


def _learn(course: Course, plan: TrainingPlan, rows: Rows, helped: bool) -> Taught:
    """Fit the model that a plan names on some rows."""
    known = read_or_skip(course.lake, TrainingResult, result_key(plan.winner)) if plan.winner else None
    before = known.design if known and known.design else None  # early champions have none
    if plan.model == "forest":
        return learn_forest(course, rows)
    if plan.model == MAIN:
        return learn_by_search(course, rows, plan.out, space.cnn_bilstm(course.plan.side), before, helped)
    if plan.model == "cnn_searched":
        return learn_by_search(course, rows, plan.out, space.cnn_searched(course.plan.side))
    if plan.model == "cnn_plain":
        return learn_design(course, rows, PLAIN)
    if before is None:
        raise ConfigurationError(f"{plan.model} changes another training's design: name that with --winner")
    return learn_design(course, rows, NetworkDesign.from_hyperparameters(before | CHANGES[plan.model]))


def help_search(settings: Settings, lake: Lake, plan: TrainingPlan, worker: str) -> int:
    """Run trials of the main model's search, which another process leads: `train` with the same plan. Returns how
    many it ran when the search is finished, or when nobody has led it for `search_patience` minutes."""
    if lake.exists(result_key(plan.out)):
        return 0
    course = Course(settings, lake, plan.snapshot, plan.budget, plan.seed)
    prepare_keras()
    search = search_of(course, course.learn, plan.out, space.cnn_bilstm(course.plan.side))
    return search.help(worker, 60 * settings.search_patience)


@dataclass(frozen=True)
class Taught:
    """A model that has learnt."""

    predictor: Predictor
    design: Design
    parameters: int | None = None
    members: int = 1
    """Networks whose mean it is."""
    trials: list[Trial] | None = None
    start: Design | None = None
    """The design that its search started with."""


def learn_by_search(
    course: Course,
    rows: Rows,
    out: str,
    choose: space.SearchSpace,
    start: Design | None = None,
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


def _finish(course: Course, plan: TrainingPlan, taught: Taught, rows: Rows, start: float) -> TrainingResult:
    """Measure a model on the test split, and leave what it is and says in the lake."""
    test, out = course.images_of("test"), plan.out
    probabilities = taught.predictor.from_features(course.features(taught.predictor.recipe, course.rows["test"]))
    scored = Scored(test, probabilities, course.classes)
    found = {"metadata_baseline": shortcut_floor(course.images.iloc[course.rows["train"]], test[scored.judged])}
    evaluation = evaluate(scored, course.settings.bootstrap_rounds).model_copy(update=found)
    if plan.model == MAIN:
        steady = steadiness(course.settings, course.lake, taught.predictor, test, scored)
        evaluation = evaluation.model_copy(update={"robustness": steady})
        taught.predictor.to_lake(course.lake, out)
    learnt = course.images.iloc[rows]
    result = TrainingResult(
        key=out,
        model=plan.model,
        snapshot=course.snapshot,
        snapshot_key=course.snapshot_key,
        budget=course.budget,
        seed=course.seed,
        code=code_version(),
        classes=list(course.classes.names),
        design=taught.design,
        parameters=taught.parameters,
        members=taught.members,
        trials=taught.trials,
        warm_start=taught.start,
        images={name: len(part) for name, part in course.rows.items()},
        n_excluded_from_evaluation=len(course.images) - sum(map(len, course.rows.values())),
        n_train=len(rows),
        images_by_class=class_counts(learnt),
        published_by_class=class_counts(learnt[catalogs.labelled_by_people(learnt)]),
        evaluation=evaluation,
        seconds=round(time.monotonic() - start, 1),
    )
    table = pd.DataFrame(probabilities, columns=list(course.classes.names))
    table.insert(0, "sha256", test["sha256"])
    course.lake.put_table(f"{out}/predictions.parquet", table)
    course.lake.put_model(result_key(out), result)
    return result


def class_counts(images: pd.DataFrame) -> dict[str, int]:
    """Images by `part/state`."""
    return {str(name): int(count) for name, count in catalogs.class_names(images).value_counts().items()}
