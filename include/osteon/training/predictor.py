"""A trained model as one thing: from an image's bytes to class probabilities, the same path in test and service."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from osteon.features import Recipe, transform
from osteon.images.fourier import FourierRecipe
from osteon.images.wavelet import WaveletRecipe
from osteon.lake import Lake
from osteon.training.classes import ClassList
from osteon.training.fit import logits

MODEL, RECIPE = "model.keras", "recipe.json"
RECIPES: dict[str, Any] = {kind.__name__: kind for kind in (WaveletRecipe, FourierRecipe)}


@dataclass(frozen=True)
class Predictor:
    """Model, input recipe, class list and temperature belong together."""

    model: Any
    """A `keras.Model`, or what is called like one: from features (n, rows, columns, planes) to logits (n, classes)."""
    recipe: Recipe
    classes: ClassList
    temperature: float

    def from_features(self, features: NDArray[np.float16]) -> NDArray[np.float64]:
        """(n, rows, columns, bands) to calibrated probabilities (n, classes)."""
        return softmax(logits(self.model, features) / self.temperature, axis=1)

    def chance(self, name: str, features: NDArray[np.float16]) -> NDArray[np.float64]:
        """(n,): calibrated probability of a class by its name, wherever the model has it."""
        return self.from_features(features)[:, self.classes.names.index(name)]

    def from_bytes(self, images: list[bytes], max_pixels: int) -> NDArray[np.float64]:
        """Image files' bytes to calibrated probabilities (n, classes). Raises `UndecodableError`."""
        return self.from_features(np.stack([transform(data, self.recipe, max_pixels) for data in images]))

    def save(self, folder: Path) -> None:
        self.model.save(folder / MODEL)
        kind = type(self.recipe).__name__
        stored = {"kind": kind, "recipe": asdict(self.recipe), "classes": list(self.classes.names)}
        (folder / RECIPE).write_text(json.dumps({**stored, "temperature": self.temperature}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        import keras

        stored = json.loads((folder / RECIPE).read_text())
        model = keras.models.load_model(folder / MODEL, compile=False)
        recipe = RECIPES[stored["kind"]](**stored["recipe"])
        return cls(model, recipe, ClassList(tuple(stored["classes"])), stored["temperature"])

    def to_lake(self, lake: Lake, out: str) -> None:
        """Leave the predictor under `out`, where `from_lake` finds it."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            lake.put_folder(out, Path(folder))

    @classmethod
    def from_lake(cls, lake: Lake, out: str) -> Predictor:
        """The predictor that a training left under `out`."""
        with tempfile.TemporaryDirectory() as folder:
            for name in (MODEL, RECIPE):
                (Path(folder) / name).write_bytes(lake.get_bytes(f"{out}/{name}"))
            return cls.load(Path(folder))
