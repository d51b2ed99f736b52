"""What the registry serves: raw image bytes in, body part and probabilities out. Loaded by MLflow as code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from osteon.images.decode import decode
from osteon.images.errors import UndecodableError
from osteon.training.predictor import Predictor

MAX_PIXELS = 100_000_000


class ServedModel(PythonModel):
    """Input: a column `image` of bytes. Output: `body_part, fracture_probability, problem` and a column for each class.

    `fracture_probability` is P(fractured | the predicted part), nan where that part's fracture state was never learnt.
    Where `problem` is not empty, nothing is said of the image, and all numbers are nan: it is `blank`, `noise` or
    `unreadable`.
    """

    def load_context(self, context: Any) -> None:
        """Load the predictor from the version's files. MLflow calls it."""
        self.predictor = Predictor.load(Path(context.artifacts["predictor"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Answer a table whose column `image` holds image files.

        Returns:
            One row for each image: `problem`, empty where there is none, and the probability of each class.
        """
        said = self.predictor.answer([_pixels(bytes(data)) for data in model_input["image"]])
        table = pd.DataFrame([answer.classes for answer in said], columns=list(self.predictor.classes.names))
        table.insert(0, "problem", [answer.problem for answer in said])
        table.insert(0, "fracture_probability", np.array([answer.fracture_probability for answer in said]))
        table.insert(0, "body_part", [answer.body_part for answer in said])
        return table


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    try:
        return decode(data, MAX_PIXELS).pixels
    except UndecodableError:
        return None


mlflow.models.set_model(ServedModel())
