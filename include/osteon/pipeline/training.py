"""What is trained on a snapshot, where it goes in the lake, and how the models compare."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, TypedDict, Unpack

from osteon.errors import ConfigurationError, ObjectError
from osteon.models.space import ABLATIONS, BASELINES, BUDGETS, MAIN
from osteon.pipeline.context import Context
from osteon.pipeline.data import usable_images
from osteon.pipeline.relabelling import training_images
from osteon.records import CatalogKey, CompareRecord, ComparisonKey, TrainBaseRecord, TrainingKey, TrainRecord
from osteon.results import TrainingResult, result_key
from osteon.training.plan import TrainingPlan

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def list_cache_partitions(context: Context, catalog: CatalogKey) -> list[str]:
    """Parts of a large catalog whose images several tasks resize for training, each by `cache_partition`."""
    from osteon.partitions import partitions

    return partitions(len(usable_images(context, catalog)), context.settings.part_images)


def cache_partition(context: Context, catalog: CatalogKey, part: str, budget: str) -> int:
    """Resize the images of one part to the sides that a budget asks for. Returns the number of squares."""
    from osteon.features import cache_resized_images
    from osteon.models.forest import SIDE

    images, plan = usable_images(context, catalog), BUDGETS[budget]
    sides = sorted({plan.side, plan.search_side, SIDE})
    return sum(cache_resized_images(context.settings, context.lake, images, side, part) for side in sides)


def ablations(budget: str) -> list[str]:
    """In which ways the main model's design is trained again, to see what its parts are worth."""
    return list(ABLATIONS) if BUDGETS[budget].ablations else []


def models_of(budget: str) -> list[str]:
    """Every model that is trained on a snapshot, the main model first."""
    return [MAIN, *BASELINES, *ablations(budget)]


def champion_training(context: Context, sources: str) -> str:
    """The training of the champion, whose design a search starts with; empty while there is none.

    Raises:
        RegistryError: The registry cannot be asked. A search that starts with less would stay in the lake as it is.
    """
    from osteon.registry.versions import champion

    held = champion(context.settings, context.model_name(sources))
    if held is None:
        return ""
    try:
        held.result(context.lake)
    except ObjectError as error:
        log.warning("the search starts with no champion's design: %s", error)
        return ""
    return held.training


def training_key(
    context: Context, catalog: CatalogKey, model: str, budget: str, seed: int, salt: str = "", winner: str = ""
) -> TrainingKey:
    """Where the training of a model goes in the lake: its inputs set the key.

    Args:
        context: The run.
        catalog: The snapshot; for a base model the reviewed catalog.
        model: A base model, the main model, a baseline or an ablation.
        budget: A name of BUDGETS.
        seed: Of the training, and of where new images go.
        salt: Another one gives another key, so the model is trained again.
        winner: Of an ablation, the training of the main model. The champion that a search starts with is no input, so
            that the same data are not trained on again because of it.
    """
    from osteon import catalog as catalogs
    from osteon.lake import derived_key
    from osteon.schemas import Reviewed, Split
    from osteon.training import base
    from osteon.training.train import VERSION

    rules, settings = context.relabel_rules, context.settings
    images: pd.DataFrame = catalogs.read(context.lake, catalog, Reviewed if model in rules.base_models else Split)
    if model in rules.base_models:
        chosen = training_images(context, images, model, seed)
        rounds = settings.bootstrap_rounds
        return TrainingKey(base.training_key(chosen, model, rules.base_models[model], budget, seed, rounds, salt))
    snapshot = catalogs.snapshot_id(images, context.labels)
    used = images.loc[images["split"].notna(), ["sha256", "source"]]  # there are figures of each source
    inputs = [snapshot, used.to_csv(index=False), asdict(BUDGETS[budget]), seed, salt]
    inputs += [settings.unknown_fracture, settings.bootstrap_rounds]
    if model != MAIN:
        inputs += [settings.baseline_share, settings.min_baseline_images]
    if model in ABLATIONS:
        inputs.append(winner)
    return TrainingKey(derived_key(f"models/{model}", VERSION, *inputs, suffix=""))


class TrainingOptions(TypedDict):
    """What the form asks about trainings."""

    sources: str
    budget: str
    seed: int
    force_retrain: bool


def plan_training(
    context: Context,
    catalog: CatalogKey,
    model: str,
    *,
    winner: str = "",
    **options: Unpack[TrainingOptions],
) -> TrainingPlan:
    """Plan a training. `winner` is the main model's training, where `model` is an ablation of it."""
    start = champion_training(context, options["sources"]) if model == MAIN else winner
    salt, budget, seed = context.run.run_id if options["force_retrain"] else "", options["budget"], options["seed"]
    out = training_key(context, catalog, model, budget, seed, salt, start)
    return TrainingPlan(model, catalog, budget, seed, start, out)


def train_here(context: Context, plan: TrainingPlan) -> TrainingKey:
    """Train in this process, unless the lake has the training. Returns its key."""
    from osteon.training.train import train

    train(context.settings, context.lake, plan)
    return plan.out


def train_base_models(
    context: Context, catalog: CatalogKey, models: list[str], sources: str, budget: str, seed: int, force_retrain: bool
) -> TrainBaseRecord:
    """Train base models one after the other, in this process."""
    options = TrainingOptions(sources=sources, budget=budget, seed=seed, force_retrain=force_retrain)
    return TrainBaseRecord(trainings=_train_all(context, catalog, models, options))


def train_models(
    context: Context, catalog: CatalogKey, sources: str, budget: str, seed: int, force_retrain: bool
) -> TrainRecord:
    """Train the main model and what it is compared with one after the other, in this process."""
    options = TrainingOptions(sources=sources, budget=budget, seed=seed, force_retrain=force_retrain)
    return TrainRecord(trainings=_train_all(context, catalog, models_of(budget), options))


def _train_all(context: Context, catalog: CatalogKey, models: list[str], options: TrainingOptions) -> list[TrainingKey]:
    """Train models in their order. An ablation changes the design of the first."""
    trainings: list[TrainingKey] = []
    for model in models:
        winner = trainings[0] if model in ABLATIONS else ""
        trainings.append(train_here(context, plan_training(context, catalog, model, winner=winner, **options)))
    return trainings


def compare(context: Context, trainings: list[TrainingKey]) -> CompareRecord:
    """Compare the main model with what else was trained on its snapshot."""
    from osteon.training.compare import compare

    snapshots = {context.lake.get_model(TrainingResult, result_key(training)).snapshot for training in trainings}
    if len(snapshots) > 1:
        raise ConfigurationError(f"{', '.join(trainings)} are of several snapshots: compare those of one")
    key = compare(context.lake, list(trainings), context.settings.bootstrap_rounds)
    return CompareRecord(comparison=ComparisonKey(key), inputs=tuple(snapshots))
