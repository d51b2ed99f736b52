from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.lake import Lake
from osteon.models.design import Hyperparameter, NetworkDesign
from osteon.models.network import build
from osteon.settings import Settings
from osteon.training.classes import ClassList
from osteon.training.evaluate import Predictions
from osteon.training.predictor import Predictor
from osteon.training.robustness import CHANGES, robustness
from tests.pictures import encode, features_of, radiograph

CLASSES = ClassList(("hand/non-fractured", "hand/fractured"))
RECIPE = WaveletTransform(32, LAZY, 0)


def moved(settings: Settings, lake: Lake, model: Any) -> dict[str, float]:
    """By change, how far the fracture probabilities of eight hands move."""
    files = [encode(radiograph(seed, "hand", fractured=seed % 2 == 0)) for seed in range(8)]
    rows = [(lake.put_image(data)[0], "hand", number % 2 == 0, f"g{number}") for number, data in enumerate(files)]
    images = pd.DataFrame(rows, columns=["sha256", "body_part", "fractured", "cluster"])
    images = images.assign(source="x", repaired_sha256=pd.Series([None] * 8, dtype="string"))
    predictor = Predictor(model, RECIPE, CLASSES, 1.0)
    features = np.stack([features_of(data, RECIPE) for data in files])
    before = Predictions(images, predictor.from_features(features), CLASSES)
    found = robustness(settings, lake, predictor, images, before)
    assert all(row.part_agreement == 1 for row in found), "there is one part only"
    return {row.change: row.mean_abs_probability_change or 0.0 for row in found}


def test_a_model_that_looks_for_upright_lines_is_not_steady_when_turned(settings: Settings, lake: Lake) -> None:
    def upright(x: np.ndarray, training: bool) -> np.ndarray:
        lines = 20 * (np.abs(np.diff(x, axis=2)).mean(axis=(1, 2, 3)) - 0.3)
        return np.stack([-lines, lines], axis=1)

    exposed_less, exposed_more, turned = moved(settings, lake, upright).values()
    assert turned > 0.1 and turned > 2 * max(exposed_less, exposed_more)


def test_a_model_that_always_says_the_same_is_steady(settings: Settings, lake: Lake) -> None:
    found = moved(settings, lake, lambda x, training: np.zeros((len(x), 2)))
    assert found == dict.fromkeys(CHANGES, 0.0)


def test_an_image_and_its_mirror_image_get_the_same_answer() -> None:
    transform = WaveletTransform(64, "db2", 2)
    design: dict[str, Hyperparameter] = {
        "blocks": 2, "filters": 8, "growth": 2, "kernel": 3, "block": "plain", "norm": "group", "lstm_layers": 1,
        "lstm_units": 4, "dropout": 0.2, "learning_rate": 1e-3,
    }  # fmt: skip
    predictor = Predictor(
        build(NetworkDesign.from_hyperparameters(design), transform.shape, 2), transform, CLASSES, 1.0
    )
    film = radiograph(3, "hand", size=(120, 120))  # its letterbox is symmetric
    one, other = predictor.answer([film, np.fliplr(film)])
    np.testing.assert_allclose(one.classes, other.classes, atol=2e-3)
    features = transform.apply(film)[None]
    sides = [np.asarray(predictor.model(x.astype(np.float32))) for x in (features, transform.mirrored(features))]
    assert np.abs(sides[0] - sides[1]).max() > 1e-2, "the network itself tells them apart"
