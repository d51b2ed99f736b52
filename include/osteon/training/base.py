"""The base models: does a radiograph show a hand (or a leg), or something else."""

from __future__ import annotations

import hashlib
import logging
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.curation.grouping import recall
from osteon.curation.relabel import BaseModelRule, load_rules
from osteon.curation.split import assign_splits, placements, recorded_placements
from osteon.errors import TrainingError
from osteon.features import compute_features, load_resized_images
from osteon.images.fourier import FourierTransform, Planes
from osteon.labels import load_labels
from osteon.lake import Lake, derived_key
from osteon.models import network
from osteon.models.design import NetworkDesign
from osteon.models.space import BASE_BUDGETS, BASE_START, base_space
from osteon.results import BaseModelResult, InputAblation, Metrics, SourceCounts, Trial, result_key
from osteon.schemas import Reviewed
from osteon.settings import Settings, SplitSettings
from osteon.training.augment import BASE_AUGMENTATION, Augment, make_augmenter
from osteon.training.classes import ClassList
from osteon.training.evaluate import auroc, bootstrap, calibration, calibration_error
from osteon.training.fit import TrainValData, fit
from osteon.training.plan import TrainingPlan
from osteon.training.predictor import Predictor
from osteon.training.sampling import Rows, prepare_keras, sample_clusters
from osteon.version import code_version

VERSION = 5
OTHER = "other"
INPUTS: tuple[Planes, ...] = ("fourier", "pixels", "both")
LEAST = 8
"""Originals of either side that each split must hold."""
Splits = dict[str, Rows]
"""Rows of each split."""
log = logging.getLogger(__name__)


def select_training_images(
    catalog: pd.DataFrame, rule: BaseModelRule, lake: Lake, settings: SplitSettings, seed: int
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
    images["split"] = assign_splits(images, before, settings, seed)
    images["target"] = images["body_part"].isin(rule.parts)
    return images.reset_index(drop=True)


def insufficient_data_reason(images: pd.DataFrame) -> str | None:
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
    """Where the training goes.

    It is set by the images, what they teach, their splits, how long is searched, and how often resampled.
    """
    digest = hashlib.sha256(images[["sha256", "target", "split", "source"]].to_csv(index=False).encode()).hexdigest()
    plan = BASE_BUDGETS[budget]
    return derived_key(f"models/{model}", VERSION, digest, rule.model_dump(), repr(plan), seed, rounds, salt, suffix="")


class BaseData:
    """What a base model learns from and is measured on."""

    def __init__(self, settings: Settings, lake: Lake, plan: TrainingPlan) -> None:
        labels = load_labels(settings.labels_file)
        self.rule = load_rules(settings.relabel_file, labels).base_models[plan.model]
        self.images = select_training_images(
            catalogs.read(lake, plan.snapshot, Reviewed), self.rule, lake, settings, plan.seed
        )
        if (problem := insufficient_data_reason(self.images)) is not None:
            raise TrainingError(f"{plan.model} cannot be trained: {problem}")
        self.seed, self.budget = plan.seed, BASE_BUDGETS[plan.budget]
        self.every = FourierTransform(self.budget.side, "both")
        self.resized = load_resized_images(settings, lake, self.images, self.budget.side)
        self.features = compute_features(settings, self.resized, np.arange(len(self.images)), self.every)
        self.truth = self.images["target"].to_numpy(bool)
        self.allowed = np.stack([self.truth, ~self.truth], axis=1).astype(np.float32)
        self.classes = ClassList((self.rule.answer, OTHER))
        self.rows: Splits = {name: np.flatnonzero(self.images["split"] == name) for name in catalogs.SPLITS}
        few = sample_clusters(self.images["cluster"].iloc[self.rows["train"]], self.budget.search_images, self.seed)
        self.sample: Splits = self.rows | {"train": self.rows["train"][few]}
        """As many images as a search learns from."""

    def augment(self, transform: FourierTransform, seed: int) -> Augment:
        """Moved and turned images as `transform` gives them."""
        return make_augmenter(self.resized, transform, BASE_AUGMENTATION, seed)

    def train_val(self, planes: Planes, rows: Splits) -> TrainValData:
        """What a network learns from: one input, and the rows of the splits."""
        transform, x = self.every.only(planes, self.features)
        return TrainValData(lambda some: x[some], transform.shape, self.allowed, rows["train"], rows["val"])

    def learn(self, planes: Planes, design: NetworkDesign, rows: Splits) -> Predictor:
        """Fit a design on the train rows, and calibrate it on the val rows."""
        import keras

        keras.utils.set_random_seed(self.seed)
        transform, x = self.every.only(planes, self.features)
        model = network.build(design, transform.shape, 2)
        augment = self.augment(transform, self.seed)
        fit(model, self.train_val(planes, rows), budget=self.budget, seed=self.seed, augment=augment)
        val = rows["val"]
        return Predictor.calibrated(network.to_float32(model), transform, self.classes, x[val], self.allowed[val])

    def probability(self, predictor: Predictor, planes: Planes, rows: Rows) -> NDArray[np.float64]:
        """(rows,): of the positive class."""
        return predictor.chance(self.rule.answer, self.every.only(planes, self.features)[1][rows])


def train_base(settings: Settings, lake: Lake, plan: TrainingPlan) -> BaseModelResult:
    """Compare the inputs, search, fit, calibrate and measure a base model; its result is written last.

    The input that ranks validation images best, after learning from as many images as the search does, is kept. The
    test split decides nothing. Raises `TrainingError` when the images cannot teach it.
    """
    start, out = time.monotonic(), plan.out
    prepare_keras()
    data = BaseData(settings, lake, plan)
    ablation = _compare_inputs(data, plan.model)
    planes = max(INPUTS, key=lambda name: ablation[name].val_auroc or 0.0)
    design, trials = _search(data, lake, planes, settings.min_completed_trials, out)
    predictor = data.learn(planes, design, data.rows)
    test = data.images.iloc[data.rows["test"]]
    truth, chance = data.truth[data.rows["test"]], data.probability(predictor, planes, data.rows["test"])
    kept = ["sha256", "source", "licence", "attribution", "body_part", "split", "target"]
    lake.put_table(f"{out}/images.parquet", data.images[kept])
    rounds = settings.bootstrap_rounds
    result = BaseModelResult(
        key=out,
        snapshot=out.rsplit("/", 1)[-1],
        snapshot_key=f"{out}/images.parquet",
        model=plan.model,
        positive_class=data.rule.answer,
        parts=list(data.rule.parts),
        classes=list(data.classes.names),
        input=planes,
        ablation=ablation,
        budget=plan.budget,
        seed=plan.seed,
        code=code_version(),
        design=design.hyperparameters,
        parameters=int(predictor.model.count_params()),
        trials=trials,
        images={name: len(part) for name, part in data.rows.items()},
        metrics=measure(truth, chance),
        intervals=bootstrap(test["cluster"], lambda some: measure(truth[some], chance[some]), rounds),
        calibration=calibration(truth, chance),
        by_source=by_source(test, chance),
        leave_one_source_out=_leave_one_source_out(data, planes, design) if data.budget.unseen else None,
        seconds=round(time.monotonic() - start, 1),
    )
    predictor.to_lake(lake, out)
    lake.put_model(result_key(out), result)
    return result


def _compare_inputs(data: BaseData, model: str) -> dict[str, InputAblation]:
    """What each input is worth to one design."""
    found: dict[str, InputAblation] = {}
    for planes in INPUTS:
        predictor = data.learn(planes, BASE_START, data.sample)
        val, test = (
            auroc(data.truth[data.rows[name]], data.probability(predictor, planes, data.rows[name]))
            for name in ("val", "test")
        )
        found[planes] = InputAblation(val_auroc=val, test_auroc=test)
        log.info("%s from %s: AUROC %.3f on validation", model, planes, val)
    return found


def _search(
    data: BaseData, lake: Lake, planes: Planes, min_completed: int, out: str
) -> tuple[NetworkDesign, list[Trial]]:
    from osteon.training.search import Search

    transform, _ = data.every.only(planes, data.features)
    train_val = data.train_val(planes, data.sample)
    search = Search(
        lake=lake,
        train_val=lambda design: train_val,
        space=base_space(data.budget.widest),
        augment=lambda design, seed: data.augment(transform, seed),
        budget=data.budget,
        seed=data.seed,
        data=out,
    )
    found = search.run(min_completed=min_completed)
    return found.design, found.rows


def measure(truth: NDArray[np.bool_], chance: NDArray[np.floating]) -> Metrics:
    """`accuracy` at 0.5, `auroc`, and `ece`, the calibration error over 10 equal bins, of the answer's probability."""
    confidence = np.maximum(chance, 1 - chance)
    right = (chance >= 0.5) == truth
    return {
        "accuracy": float(right.mean()),
        "auroc": auroc(truth, chance),
        "ece": calibration_error(confidence, right),
    }


def by_source(images: pd.DataFrame, chance: NDArray[np.floating]) -> list[SourceCounts]:
    """Count the answers about each source's images."""
    said = pd.DataFrame({"source": images["source"].to_numpy(), "truth": images["target"].to_numpy(bool)})
    said["right"] = (chance >= 0.5) == said["truth"]
    rows = []
    for name, part in said.groupby("source"):
        yes, no = part[part["truth"]], part[~part["truth"]]
        rows.append(
            SourceCounts(
                source=str(name),
                n_positive=len(yes),
                n_positive_correct=int(yes["right"].sum()),
                n_negative=len(no),
                n_negative_correct=int(no["right"].sum()),
            )
        )
    return rows


def _leave_one_source_out(data: BaseData, planes: Planes, design: NetworkDesign) -> list[SourceCounts]:
    """`by_source` of each source's test images, by a model that was trained without that source."""
    found: list[SourceCounts] = []
    for name in sorted(data.images["source"].unique()):
        mine = (data.images["source"] == name).to_numpy(bool)
        rest = {split: part[~mine[part]] for split, part in data.rows.items()}
        test = data.rows["test"][mine[data.rows["test"]]]
        if len(test) == 0 or insufficient_data_reason(data.images[~mine]) is not None:
            continue
        predictor = data.learn(planes, design, rest)
        found += by_source(data.images.iloc[test], data.probability(predictor, planes, test))
    return found
