"""Answers of a registered model about images that it is not trained on: what checks of labels compare labels with."""

from __future__ import annotations

import logging

import pandas as pd

from osteon.features import load_features
from osteon.lake import Lake, derived_key
from osteon.settings import Settings
from osteon.training.predictor import Predictor

VERSION = 1
log = logging.getLogger(__name__)


def answers_key(training: str, digests: list[str]) -> str:
    """Where the lake keeps the answers of a training about some images."""
    return derived_key("answers", VERSION, training, sorted(digests))


def answers(settings: Settings, lake: Lake, training: str, images: pd.DataFrame) -> pd.DataFrame:
    """Calibrated probabilities of classes for some images, kept in the lake.

    Args:
        settings: How images are read.
        lake: Holds the training and the images.
        training: Key of the training.
        images: `sha256` and `repaired_sha256` of each.

    Returns:
        A column for each class of the model, by `sha256`.

    Raises:
        IncompatibleTransformError: The model learnt from inputs that this code makes otherwise.
        LakeError: The lake lacks the training or an image.
    """
    key = answers_key(training, images["sha256"].tolist())
    if lake.exists(key):
        return lake.get_table(key).set_index("sha256")
    predictor = Predictor.from_lake(lake, training)
    log.info("asking %s about %d images", training, len(images))
    probabilities = predictor.from_features(load_features(settings, lake, images, predictor.transform))
    table = pd.DataFrame(probabilities, columns=list(predictor.classes.names))
    table.insert(0, "sha256", images["sha256"].to_numpy())
    lake.put_table(key, table)
    return table.set_index("sha256")
