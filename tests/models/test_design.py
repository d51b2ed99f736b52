"""A design as one value: its JSON, its errors, and the keys that it is a part of."""

from __future__ import annotations

from typing import Any

import keras_tuner
import pytest

from osteon.errors import TrainingError
from osteon.lake import Lake
from osteon.models import space
from osteon.models.design import Hyperparameter, NetworkDesign
from osteon.training.search import Search

STORED: dict[str, Hyperparameter] = {
    "wavelet": "haar", "level": 2, "blocks": 3, "filters": 24, "growth": 2, "kernel": 3, "block": "residual",
    "norm": "batch", "dropout": 0.2, "learning_rate": 1e-3, "columns": "pooled", "lstm_layers": 1, "lstm_units": 24,
}  # fmt: skip


def test_a_stored_design_comes_back_as_it_was() -> None:
    design = NetworkDesign.from_hyperparameters(STORED)
    assert design.hyperparameters == STORED and list(design.hyperparameters) == list(STORED)
    assert NetworkDesign.from_hyperparameters(space.PLAIN.hyperparameters) == space.PLAIN
    assert "wavelet" not in space.BASE_START.hyperparameters


@pytest.mark.parametrize("chosen", [space.cnn_bilstm(64), space.cnn_searched(128), space.base_space(32)])
def test_a_space_samples_designs(chosen: space.SearchSpace) -> None:
    design = chosen(keras_tuner.HyperParameters())
    assert NetworkDesign.from_hyperparameters(design.hyperparameters) == design


def test_changed_keeps_the_other_fields() -> None:
    design = NetworkDesign.from_hyperparameters(STORED)
    assert design.changed(lstm_layers=0).hyperparameters == STORED | {"lstm_layers": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": 4}, "attention: Extra inputs"),
        ({"filters": 0}, "filters: Input should be greater"),
        ({"block": "dense"}, "block: Input should be 'plain'"),
        ({"lstm_units": None}, "needs lstm_units"),
    ],
)
def test_a_design_that_cannot_be_built_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        NetworkDesign.from_hyperparameters(STORED | changes)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(TrainingError, match="kernel: Field required"):
        NetworkDesign.from_hyperparameters({name: value for name, value in STORED.items() if name != "kernel"})


@pytest.mark.parametrize(
    ("chosen", "study"),
    [
        (space.cnn_bilstm(128), "studies/b0292aa59816c1de"),
        (space.cnn_searched(128), "studies/5f56837f54bc02e0"),
        (space.base_space(32), "studies/8dca8367ef71781a"),
    ],
)
def test_the_key_of_a_search_is_that_of_version_0_2(chosen: space.SearchSpace, study: str, lake: Lake) -> None:
    """A training that was broken off by an upgrade goes on: its search is found under the same key."""

    def unused(*arguments: Any) -> Any:
        raise AssertionError("a key needs no images")

    search = Search(lake, unused, chosen, unused, space.BUDGETS["standard"], 0, "models/x")
    assert search.study == study
