"""What the models of a snapshot learn from and are measured on."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.errors import TrainingError
from osteon.features import ImageTransform, compute_features, load_resized_images
from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.models.design import NetworkDesign
from osteon.models.space import BUDGETS
from osteon.schemas import Split
from osteon.settings import Settings
from osteon.training.augment import MAIN_AUGMENTATION, Augment, make_augmenter
from osteon.training.classes import ClassList
from osteon.training.fit import TrainValData
from osteon.training.predictor import Predictor
from osteon.training.sampling import Rows, sample_clusters

log = logging.getLogger(__name__)


class TrainingData:
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

    def resized(self, side: int) -> NDArray[np.uint8]:
        """Letterboxed squares of all images, read once."""
        if side not in self._squares:
            self._squares[side] = load_resized_images(self.settings, self.lake, self.images, side)
        return self._squares[side]

    def share_images(self, other: TrainingData) -> None:
        """Use the letterboxed squares that another one has read, of the same snapshot, or will read."""
        self._squares = other._squares

    def features(self, transform: ImageTransform, rows: Rows) -> NDArray[np.float16]:
        """Features (n, rows, columns, planes) of the images in some rows (n,)."""
        return compute_features(self.settings, self.resized(transform.side), rows, transform)

    def forget_search(self) -> None:
        """Let go of what was read at the side for searching, where that is not the side for fitting."""
        side = self.plan.side
        self._squares = {other: resized for other, resized in self._squares.items() if other == side}

    def augment(self, transform: ImageTransform, seed: int) -> Augment:
        """Moved and turned images as `transform` gives them."""
        return make_augmenter(self.resized(transform.side), transform, MAIN_AUGMENTATION, seed)

    @cached_property
    def sample(self) -> Rows:
        """The training images that baselines learn from: whole clusters."""
        most = max(self.settings.min_baseline_images, round(self.settings.baseline_share * len(self.learn)))
        return self.learn[sample_clusters(self.images["cluster"].iloc[self.learn], most, self.seed)]

    def with_single_candidate(self, rows: Rows) -> Rows:
        """Those whose label admits one class: what a model learns from that knows no marginal loss."""
        chosen: Rows = rows[self.allowed[rows].sum(axis=1) == 1]
        return chosen

    def images_of(self, split: str) -> pd.DataFrame:
        """The images of a split: of val and test those that people labelled."""
        return self.images.iloc[self.rows[split]].reset_index(drop=True)

    def transform_for(self, design: NetworkDesign, side: int | None = None) -> WaveletTransform:
        """What a design looks at, at the budget's side or another."""
        return WaveletTransform(side or self.plan.side, design.wavelet or LAZY, design.level or 0)

    def train_val(self, transform: WaveletTransform, rows: Rows) -> TrainValData:
        """Of no more images after an epoch than in it: who learns from a few would be checked longer than taught."""
        check = self.check[sample_clusters(self.images["cluster"].iloc[self.check], len(rows), self.seed)]
        resized = self.resized(transform.side)
        return TrainValData(
            lambda some: transform.apply_batch(resized[some]), transform.shape, self.allowed, rows, check
        )

    def calibrated(self, model: Any, transform: ImageTransform) -> Predictor:
        """A model that has learnt, calibrated on the validation split."""
        features = self.features(transform, self.check)
        return Predictor.calibrated(model, transform, self.classes, features, self.allowed[self.check])
