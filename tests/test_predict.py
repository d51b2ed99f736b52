"""Asking a model about one file, and where it looks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from osteon.embedded.ports import free_ports
from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.models.network import FEATURE_MAP, build_ensemble, ensemble_members
from osteon.predict import grad_cam, look, overlay, prediction
from osteon.training.classes import ClassList
from osteon.training.predictor import Predictor
from tests.pictures import radiograph

CLASSES = ClassList(("hand/non-fractured", "hand/fractured", "spine/unknown"))


@pytest.fixture(params=[1, 2], ids=["one network", "an ensemble"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    """Calls a hand fractured where something bright is seen anywhere."""
    import keras

    inputs = keras.Input((16, 16, 1))
    seen = keras.layers.Activation("relu", name=FEATURE_MAP)(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalMaxPooling2D()(seen))
    model = keras.Model(inputs, outputs)
    model.layers[-1].set_weights([np.array([[0.0, 1.0, 0.0]]), np.array([2.0, 0.0, 0.0])])
    members = [model]
    for _ in range(request.param - 1):
        members.append(keras.models.clone_model(model))
        members[-1].set_weights(model.get_weights())
    return Predictor(build_ensemble(members), WaveletTransform(16, LAZY, 0), CLASSES, 1.0)


def film(row: int, column: int) -> np.ndarray:
    """A wide dark film, (40, 80), with a bright square."""
    pixels = np.full((40, 80), 30, np.uint8)
    pixels[row : row + 8, column : column + 8] = 250
    return pixels


def test_the_heat_lies_where_the_model_looks_also_on_a_letterboxed_image(predictor: Predictor) -> None:
    for row, column in ((5, 10), (25, 60)):
        pixels = film(row, column)
        (said,) = predictor.answer([pixels])
        assert said.body_part == "hand" and said.classes.sum() == pytest.approx(1)
        heat = look(predictor, pixels, "hand")
        assert heat.shape == (40, 80) and 0 <= heat.min() <= heat.max() <= 1
        hottest = np.unravel_index(heat.argmax(), heat.shape)
        assert abs(hottest[0] - row - 4) <= 5 and abs(hottest[1] - column - 4) <= 5
        picture = np.asarray(overlay(pixels, heat)).astype(int)
        red = picture[..., 0] - picture[..., 1]
        assert red[hottest] > 80 and np.median(red) < 80


def test_a_part_whose_fracture_state_was_never_learnt_gets_no_probability(predictor: Predictor) -> None:
    for member in ensemble_members(predictor.model):
        member.layers[-1].set_weights([np.array([[0.0, 0.0, 1.0]]), np.array([0.0, 0.0, 5.0])])
    (said,) = predictor.answer([film(5, 10)])
    told = prediction("x.png", said, CLASSES.names, "x.gradcam.png")
    assert (told.body_part, told.fracture_probability, told.problem) == ("spine", None, None)
    assert grad_cam(predictor, predictor.transform.apply(film(5, 10))[None], "spine").max() == 1


def test_an_overlay_of_a_large_film_is_made_smaller() -> None:
    assert overlay(np.zeros((3000, 1500), np.uint8), np.zeros((3000, 1500), np.float32)).size == (512, 1024)
    assert overlay(np.zeros((9, 9), np.uint8), np.ones((9, 9), np.float32)).size == (9, 9)


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((90, 120), np.uint8), "blank"),
        (np.full((300, 200), 255, np.uint8), "blank"),
        (np.random.default_rng(0).integers(0, 256, (400, 300)).astype(np.uint8), "noise"),
        (np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8), "noise"),
    ],
    ids=["black", "white", "noise", "small noise"],
)
def test_nothing_is_said_of_what_is_no_radiograph(predictor: Predictor, pixels: np.ndarray, problem: str) -> None:
    odd, film = predictor.answer([pixels, radiograph(1, "hand")])
    assert odd.problem == problem and odd.body_part == "" and np.isnan([odd.fracture_probability, *odd.classes]).all()
    assert film.problem == "" and np.isfinite(film.classes).all(), "the others are answered"
    told = prediction("x.png", odd, CLASSES.names, None)
    assert told.classes is None and told.body_part is None and told.problem == problem


def test_where_the_registry_does_not_answer_one_line_says_so() -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, "-m", "osteon.cli", "predict", "x.png"]
    done = subprocess.run(
        command, env={**os.environ, "OSTEON_MLFLOW_URL": url}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == os.EX_TEMPFAIL and f"no MLflow answers at {url}: start it" in done.stderr
    assert "OSTEON_MLFLOW_URL" in done.stderr and "Traceback" not in done.stderr
