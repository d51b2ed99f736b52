"""What the registry serves: raw image bytes in, body part and probabilities out. Loaded by MLflow as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel

from osteon.training.predictor import Predictor

MAX_PIXELS = 100_000_000


class ServedModel(PythonModel):
    """Input: a column `image` of bytes. Output: `body_part, fracture_probability` and a column for each class.

    `fracture_probability` is P(fractured | the predicted part), nan where that part's fracture state was never learnt.
    """

    def load_context(self, context: Any) -> None:
        self.predictor = Predictor.load(Path(context.artifacts["predictor"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        classes = self.predictor.classes
        probabilities = self.predictor.from_bytes([bytes(data) for data in model_input["image"]], MAX_PIXELS)
        parts = [classes.parts[i] for i in classes.part_probability(probabilities).argmax(axis=1)]
        table = pd.DataFrame(probabilities, columns=list(classes.names))
        table.insert(0, "fracture_probability", classes.fracture_probability(probabilities, parts).astype(np.float64))
        table.insert(0, "body_part", parts)
        return table


mlflow.models.set_model(ServedModel())
