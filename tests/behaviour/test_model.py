"""How a trained main model behaves: what must not change its answers, what must, and the least that it knows.

After the behavioural tests of Made-With-ML: invariance, direction, minimum functionality.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from osteon.images.decode import decode
from osteon.images.wavelet import WaveletTransform
from osteon.models import network
from osteon.models.design import Hyperparameter, NetworkDesign
from osteon.training.classes import ClassList
from osteon.training.predictor import Answer, Predictor
from tests.pictures import encode, radiograph

Film = NDArray[np.uint8]
PARTS = ("forearm", "leg")
"""Long bones: a fracture is seen there in a small picture, after little training."""
CLASSES = ClassList(tuple(f"{part}/{state}" for part in PARTS for state in ("non-fractured", "fractured")))
DESIGN: dict[str, Hyperparameter] = {
    "blocks": 3, "filters": 16, "growth": 2, "kernel": 3, "block": "residual", "norm": "batch", "columns": "pooled",
    "lstm_layers": 1, "lstm_units": 24, "dropout": 0.2, "learning_rate": 2e-3,
}  # fmt: skip
SIZE = (96, 96)


@dataclass(frozen=True)
class Case:
    film: Film
    part: str
    fractured: bool


def cases(first: int, count: int) -> list[Case]:
    """Films of all classes, as many of each as of the others; each seed is another film."""
    chosen = [(seed, PARTS[seed % 2], seed // 2 % 2 == 1) for seed in range(first, first + count)]
    return [Case(radiograph(seed, part, fractured, SIZE), part, fractured) for seed, part, fractured in chosen]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A convolutional network with an LSTM on wavelet bands, as the weekly run trains; fitted on 300 films."""
    import keras

    keras.utils.set_random_seed(0)
    transform = WaveletTransform(64, "haar", 1)
    model = network.build(NetworkDesign.from_hyperparameters(DESIGN), transform.shape, len(CLASSES.names))
    known = cases(0, 300)
    features = np.stack([transform.apply(case.film) for case in known]).astype(np.float32)
    codes = [CLASSES.names.index(f"{case.part}/{'' if case.fractured else 'non-'}fractured") for case in known]
    model.fit(features, np.eye(len(CLASSES.names), dtype=np.float32)[codes], epochs=10, batch_size=16, verbose=0)
    return Predictor(model, transform, CLASSES, 1.0)


@pytest.fixture(scope="module")
def unseen() -> list[Case]:
    return cases(10_000, 60)


def ask(predictor: Predictor, films: list[Film]) -> list[Answer]:
    return list(predictor.answer(films))


def mirrored(film: Film) -> Film:
    return np.ascontiguousarray(film[:, ::-1])


def brighter(film: Film) -> Film:
    return np.clip(film.astype(np.int16) + 6, 0, 255).astype(np.uint8)


def saved_again(film: Film) -> Film:
    return decode(encode(film, quality=90), 10**6).pixels


@pytest.mark.parametrize("change", [mirrored, brighter, saved_again])
def test_what_no_reader_minds_changes_no_answer(
    predictor: Predictor, unseen: list[Case], change: Callable[[Film], Film]
) -> None:
    before = ask(predictor, [case.film for case in unseen])
    after = ask(predictor, [change(case.film) for case in unseen])
    same = [one.body_part == other.body_part for one, other in zip(before, after, strict=True)]
    moved = [np.abs(one.classes - other.classes).max() for one, other in zip(before, after, strict=True)]
    assert np.mean(same) >= 0.95
    assert np.mean(moved) < 0.05


def test_a_fracture_raises_the_probability_of_one(predictor: Predictor) -> None:
    """The same seed draws the same bone, once whole and once broken."""
    seeds = range(20_000, 20_060)
    whole, broken = (
        ask(predictor, [radiograph(seed, PARTS[seed % 2], fractured, SIZE) for seed in seeds])
        for fractured in (False, True)
    )
    raised = [b.fracture_probability - a.fracture_probability for a, b in zip(whole, broken, strict=True)]
    assert np.mean(raised) > 0.2
    assert np.mean(np.array(raised) > 0) > 0.85


def test_body_parts_of_unseen_phantoms_are_told(predictor: Predictor, unseen: list[Case]) -> None:
    said = ask(predictor, [case.film for case in unseen])
    assert np.mean([answer.body_part == case.part for answer, case in zip(said, unseen, strict=True)]) >= 0.9


def test_a_broken_bone_looks_more_fractured_than_a_whole_one(predictor: Predictor, unseen: list[Case]) -> None:
    said = np.array([answer.fracture_probability for answer in ask(predictor, [case.film for case in unseen])])
    fractured = np.array([case.fractured for case in unseen])
    assert (said[fractured][:, None] > said[~fractured]).mean() > 0.7, "AUROC"


def test_of_an_empty_film_nothing_is_said(predictor: Predictor) -> None:
    (said,) = ask(predictor, [np.full(SIZE, 7, np.uint8)])
    assert said.problem == "blank"
    assert np.isnan(said.classes).all()
