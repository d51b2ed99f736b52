"""How steady a model's answers are when a radiograph changes in ways that no reader minds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from osteon.features import load_resized_images
from osteon.lake import Lake
from osteon.results import Robustness
from osteon.settings import Settings
from osteon.training.evaluate import Predictions
from osteon.training.predictor import Predictor

DEGREES = 5.0
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From a letterboxed square to another of its size."""


def _exposed(gamma: float) -> Change:
    """Grey levels to the power of gamma, both from 0 to 1."""
    levels = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
    return lambda square: levels[square]


def _turned(degrees: float) -> Change:
    return lambda square: np.asarray(Image.fromarray(square).rotate(degrees, Image.Resampling.BILINEAR))


CHANGES: dict[str, Change] = {
    "exposed less (gamma 1.25)": _exposed(1.25),
    "exposed more (gamma 0.8)": _exposed(0.8),
    f"turned by {DEGREES:.0f} degrees": _turned(DEGREES),
}


def robustness(
    settings: Settings, lake: Lake, predictor: Predictor, images: pd.DataFrame, before: Predictions
) -> list[Robustness]:
    """Make each of CHANGES to `images`, of which `before` holds the answers, and ask the model again."""
    resized = load_resized_images(settings, lake, images, predictor.transform.side)
    found = []
    for name, change in CHANGES.items():
        features = predictor.transform.apply_batch(np.stack([change(square) for square in resized]))
        after = Predictions(images, predictor.from_features(features), before.classes)
        moved = np.abs(after.fracture - before.fracture)[before.judged]
        found.append(
            Robustness(
                change=name,
                part_agreement=float((after.part_guess == before.part_guess).mean()),
                mean_abs_probability_change=float(moved.mean()) if len(moved) else None,
                fracture_auroc=after.measure()["fracture_auroc"],
            )
        )
    return found
