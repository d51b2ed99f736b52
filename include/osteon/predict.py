"""`osteon predict`: what the champion says of radiographs, and where in them it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from osteon.errors import ConfigurationError
from osteon.images.letterbox import placement
from osteon.models.network import FEATURE_MAP, ensemble_members
from osteon.registry import versions
from osteon.settings import Settings
from osteon.training.predictor import Answer, Predictor

LARGEST = 1024
"""Pixels of an overlay's longer side."""
STRENGTH = 0.5
"""Weight of the heat where it is strongest."""


def champion(settings: Settings, name: str) -> tuple[str, Predictor]:
    """The champion's version and predictor. Raises `ConfigurationError` where there is none."""
    import mlflow

    held = versions.champion(settings, name)
    if held is None:
        raise ConfigurationError(
            f"{settings.mlflow_url} has no champion of {name!r}: run the DAG, or name another model"
        )
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{held.version}"))
    return held.version, Predictor.load(folder / "artifacts" / "predictor")


def look(predictor: Predictor, pixels: NDArray[np.uint8], part: str) -> NDArray[np.float32]:
    """(height, width) of the image, 0 to 1: where the model looks for a fracture of the part, or for the part."""
    heat = grad_cam(predictor, predictor.transform.apply(pixels)[None], part)
    top, left, height, width = placement(pixels.shape, predictor.transform.side)
    smooth = Image.Resampling.BILINEAR
    square = Image.fromarray(heat).resize((predictor.transform.side,) * 2, smooth)
    return np.asarray(square.crop((left, top, left + width, top + height)).resize(pixels.shape[::-1], smooth))


def grad_cam(predictor: Predictor, features: NDArray[np.float16], part: str) -> NDArray[np.float32]:
    """Grad-CAM (Selvaraju et al., ICCV 2017), (rows, columns) of the feature map, 0 to 1.

    It is of the part's fracture log-odds, or of the part where its fracture state was never learnt. It is the mean over
    an ensemble's members and, as in the answer, over the image and its mirror image.
    """
    import keras
    import tensorflow as tf

    names = predictor.classes.names
    weight = np.array([_sign(name, part, names) for name in names], np.float32)

    def seen(model: Any, features: NDArray[np.float16]) -> NDArray[np.float32]:
        inputs = tf.constant(features.astype(np.float32))
        both = keras.Model(model.inputs[0], [model.get_layer(FEATURE_MAP).output, model.outputs[0]])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            feature_map, logits = both(inputs, training=False)
            score = tf.reduce_sum(logits * weight)
        slope = tf.reduce_mean(tape.gradient(score, feature_map), axis=(1, 2), keepdims=True)
        return np.asarray(tf.nn.relu(tf.reduce_sum(slope * feature_map, axis=-1))[0], np.float32)

    mirrored, members = predictor.transform.mirrored(features), ensemble_members(predictor.model)
    looks = [(seen(model, features), np.fliplr(seen(model, mirrored))) for model in members]
    heat: NDArray[np.float32] = np.mean(looks, axis=(0, 1))
    highest = float(heat.max())
    return heat / highest if highest > 0 else heat


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    """The radiograph with its heat in red, its longer side `LARGEST` at most."""
    grey = pixels.astype(np.float32)
    share = STRENGTH * heat
    coloured = np.stack([grey * (1 - share) + 255 * share, grey * (1 - share), grey * (1 - share)], axis=-1)
    image = Image.fromarray(coloured.round().astype(np.uint8))
    image.thumbnail((LARGEST, LARGEST))
    return image


def _sign(name: str, part: str, names: tuple[str, ...]) -> float:
    own, state = name.split("/")
    if own != part:
        return 0.0
    if f"{part}/fractured" in names and f"{part}/non-fractured" in names:
        return 1.0 if state == "fractured" else -1.0
    return 1.0


class Prediction(BaseModel):
    """What `osteon predict --json` prints of a file; what a model does not say is null."""

    file: str
    body_part: str | None
    fracture_probability: float | None
    problem: str | None
    classes: dict[str, float] | None
    overlay: str | None


def prediction(file: str, answer: Answer, names: tuple[str, ...], overlay_path: str | None) -> Prediction:
    """An answer, ready to be printed; `names` are the model's classes."""
    chance = answer.fracture_probability
    return Prediction(
        file=file,
        body_part=answer.body_part or None,
        fracture_probability=None if np.isnan(chance) else chance,
        problem=answer.problem or None,
        classes=None if answer.problem else dict(zip(names, map(float, answer.classes), strict=True)),
        overlay=overlay_path,
    )
