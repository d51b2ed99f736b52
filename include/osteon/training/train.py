"""`osteon train`: one model on one snapshot, from the search to its figures on the test split."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.relabel import load_rules
from osteon.errors import ConfigurationError
from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models import forest, network, space
from osteon.models.design import NetworkDesign
from osteon.models.space import ABLATIONS, BASELINES, BUDGETS, MAIN, PLAIN
from osteon.results import BaseModelResult, Design, TrainingResult, Trial, result_key
from osteon.settings import Settings
from osteon.training.augment import MAIN_AUGMENTATION
from osteon.training.base import train_base
from osteon.training.data import TrainingData
from osteon.training.evaluate import Predictions, evaluate, metadata_baseline
from osteon.training.fit import fit
from osteon.training.plan import TrainingPlan
from osteon.training.predictor import Predictor
from osteon.training.robustness import robustness
from osteon.training.sampling import Rows, prepare_keras, sample_clusters
from osteon.version import code_version

if TYPE_CHECKING:
    from osteon.training.search import Search

VERSION = 14
CHANGES: dict[str, Design] = {"no_wavelets": {"wavelet": LAZY}, "no_recurrence": {"lstm_layers": 0}, "same_data": {}}
"""What each ablation changes of the main model's design."""


def train(
    settings: Settings, lake: Lake, plan: TrainingPlan, distributed: bool = False
) -> TrainingResult | BaseModelResult:
    """Train a model and leave it in the lake, its result last. What the lake has already is not trained again.

    The test split is used once, at the end.

    Args:
        settings: Of the installation.
        lake: Holds the snapshot, and gets the model.
        plan: Which model, on which snapshot. Its `winner` is the training whose design an ablation changes, or the
            search of the main model starts with.
        distributed: Whether other processes may help with the main model's search (`help_search`).

    Raises:
        ConfigurationError: There is no such model or budget, or an ablation has no design to change.
        TrainingError: The data cannot carry a model.
    """
    base_models = tuple(load_rules(settings.relabel_file, load_labels(settings.labels_file)).base_models)
    known = (MAIN, *BASELINES, *ABLATIONS, *base_models)
    if plan.model not in known or plan.budget not in BUDGETS:
        raise ConfigurationError(
            f"no model {plan.model!r} with budget {plan.budget!r}: models are {known}, budgets {tuple(BUDGETS)}"
        )
    key = result_key(plan.out)
    kind: type[TrainingResult | BaseModelResult] = BaseModelResult if plan.model in base_models else TrainingResult
    if lake.exists(key) and (stored := lake.find_model(kind, key)):
        return stored
    if plan.model in base_models:
        return train_base(settings, lake, plan)
    start = time.monotonic()
    data = TrainingData(settings, lake, plan.snapshot, plan.budget, plan.seed)
    rows = data.sample if plan.model in (*BASELINES, "same_data") else data.learn
    if plan.model == "forest":
        rows = data.with_single_candidate(rows)
    trained = _learn(data, plan, rows, distributed)
    return _finish(data, plan, trained, rows, start)


def _learn(data: TrainingData, plan: TrainingPlan, rows: Rows, distributed: bool) -> TrainedModel:
    """Fit the model that a plan names on some rows."""
    known = data.lake.find_model(TrainingResult, result_key(plan.winner)) if plan.winner else None
    before = known.design if known and known.design else None  # early champions have none
    if plan.model == "forest":
        return fit_forest(data, rows)
    if plan.model == MAIN:
        return search_and_fit(data, rows, plan.out, space.cnn_bilstm(data.plan.side), before, distributed)
    if plan.model == "cnn_searched":
        return search_and_fit(data, rows, plan.out, space.cnn_searched(data.plan.side))
    if plan.model == "cnn_plain":
        return fit_design(data, rows, PLAIN)
    if before is None:
        raise ConfigurationError(f"{plan.model} changes another training's design: name that with --design-of")
    return fit_design(data, rows, NetworkDesign.from_hyperparameters(before | CHANGES[plan.model]))


def help_search(settings: Settings, lake: Lake, plan: TrainingPlan, worker: str) -> int:
    """Run trials of the main model's search, which another process leads: `train` with the same plan.

    Returns how many it ran when the search is finished, or when nobody has led it for `search_patience` minutes.
    """
    if lake.exists(result_key(plan.out)):
        return 0
    data = TrainingData(settings, lake, plan.snapshot, plan.budget, plan.seed)
    prepare_keras()
    search = search_of(data, data.learn, plan.out, space.cnn_bilstm(data.plan.side))
    return search.help(worker, 60 * settings.search_patience)


@dataclass(frozen=True)
class TrainedModel:
    """A model that has learnt."""

    predictor: Predictor
    design: Design
    parameters: int | None = None
    members: int = 1
    """Networks whose mean it is."""
    trials: list[Trial] | None = None
    start: Design | None = None
    """The design that its search started with."""


def search_and_fit(
    data: TrainingData,
    rows: Rows,
    out: str,
    choose: space.SearchSpace,
    start: Design | None = None,
    distributed: bool = False,
) -> TrainedModel:
    """Search the space on a part of the rows, then fit the winner on all of them."""
    prepare_keras()
    settings = data.settings
    found = search_of(data, rows, out, choose).run(
        min_completed=settings.min_completed_trials,
        start=start,
        host=settings.search_host if distributed else "",
        port=settings.search_port,
    )
    data.forget_search()
    return fit_design(data, rows, found.design, trials=found.rows, start=start)


def search_of(data: TrainingData, rows: Rows, out: str, choose: space.SearchSpace) -> Search:
    """The search of a space on a part of the rows, at the side for searching."""
    from osteon.training.search import Search

    plan = data.plan
    few = rows[sample_clusters(data.images["cluster"].iloc[rows], plan.search_images, data.seed)]

    def transform(design: NetworkDesign) -> WaveletTransform:
        return data.transform_for(design, plan.search_side)

    return Search(
        lake=data.lake,
        train_val=lambda design: data.train_val(transform(design), few),
        space=choose,
        augment=lambda design, seed: data.augment(transform(design), seed),
        budget=plan,
        seed=data.seed,
        data=f"{out}, {MAIN_AUGMENTATION}",
    )


def fit_design(data: TrainingData, rows: Rows, design: NetworkDesign, **search: Any) -> TrainedModel:
    """Fit one design, as often as the budget says, and calibrate the mean on the validation split.

    `search` are what a search filled of `TrainedModel`.
    """
    import keras

    prepare_keras()
    transform = data.transform_for(design)
    train_val = data.train_val(transform, rows)
    members = []
    for number in range(data.plan.members):
        seed = data.seed + 1000 * number
        keras.utils.set_random_seed(seed)
        member = network.build(design, transform.shape, train_val.classes)
        fit(member, train_val, budget=data.plan, seed=seed, augment=data.augment(transform, seed))
        members.append(member)
    model = network.to_float32(network.build_ensemble(members))
    return TrainedModel(
        data.calibrated(model, transform), design.hyperparameters, int(model.count_params()), len(members), **search
    )


def fit_forest(data: TrainingData, rows: Rows) -> TrainedModel:
    """Search and fit the forest on `with_single_candidate` rows, and calibrate it on the validation split."""
    transform = WaveletTransform(forest.SIDE, LAZY, 0)
    clusters = data.images["cluster"].to_numpy()
    model, design = forest.fit(data.features(transform, rows), data.allowed[rows], clusters[rows], data.seed)
    return TrainedModel(data.calibrated(model, transform), design)


def _finish(data: TrainingData, plan: TrainingPlan, trained: TrainedModel, rows: Rows, start: float) -> TrainingResult:
    """Measure a model on the test split, and leave what it is and says in the lake."""
    test, out = data.images_of("test"), plan.out
    probabilities = trained.predictor.from_features(data.features(trained.predictor.transform, data.rows["test"]))
    scored = Predictions(test, probabilities, data.classes)
    found = {"metadata_baseline": metadata_baseline(data.images.iloc[data.rows["train"]], test[scored.judged])}
    evaluation = evaluate(scored, data.settings.bootstrap_rounds).model_copy(update=found)
    if plan.model == MAIN:
        steady = robustness(data.settings, data.lake, trained.predictor, test, scored)
        evaluation = evaluation.model_copy(update={"robustness": steady})
        trained.predictor.to_lake(data.lake, out)
    learnt = data.images.iloc[rows]
    result = TrainingResult(
        key=out,
        model=plan.model,
        snapshot=data.snapshot,
        snapshot_key=data.snapshot_key,
        budget=data.budget,
        seed=data.seed,
        code=code_version(),
        classes=list(data.classes.names),
        design=trained.design,
        parameters=trained.parameters,
        members=trained.members,
        trials=trained.trials,
        warm_start=trained.start,
        images={name: len(part) for name, part in data.rows.items()},
        n_excluded_from_evaluation=len(data.images) - sum(map(len, data.rows.values())),
        n_train=len(rows),
        images_by_class=class_counts(learnt),
        published_by_class=class_counts(learnt[catalogs.labelled_by_people(learnt)]),
        evaluation=evaluation,
        seconds=round(time.monotonic() - start, 1),
    )
    table = pd.DataFrame(probabilities, columns=list(data.classes.names))
    table.insert(0, "sha256", test["sha256"])
    data.lake.put_table(f"{out}/predictions.parquet", table)
    data.lake.put_model(result_key(out), result)
    return result


def class_counts(images: pd.DataFrame) -> dict[str, int]:
    """Images by `part/state`."""
    return {str(name): int(count) for name, count in catalogs.class_names(images).value_counts().items()}
