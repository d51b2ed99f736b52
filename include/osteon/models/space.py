"""What the architecture searches may choose from, and how long they may look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from osteon.images.wavelet import LAZY
from osteon.models.design import Hyperparameter, NetworkDesign

MAIN = "cnn_bilstm"
BASELINES = ("cnn_searched", "cnn_plain", "forest")
ABLATIONS = ("no_wavelets", "no_recurrence", "same_data")
"""The main model's design again: on pixels, without the LSTM, and on the images that the baselines learn from."""
SearchSpace = Callable[[Any], NetworkDesign]
"""Draws one design of a space from a `keras_tuner.HyperParameters`: its names are the design's, but for fixed ones."""


@dataclass(frozen=True)
class Budget:
    """How much is spent."""

    search_epochs: int
    """Of the search's longest trial."""
    search_images: int
    """At most this many training images (whole groups) are used while searching; the winner is fit on all."""
    fit_epochs: int
    factor: int = 3
    """Hyperband's reduction factor (Li et al., JMLR 18, 2018)."""
    side: int = 128
    """Pixels of the letterboxed square."""
    search_side: int = 64
    """The same while searching: half the side costs a quarter, and ranks designs alike (docs/models.md)."""
    members: int = 1
    """How often the design that was found is fitted, each time with another seed: the model is their mean."""
    batch: int = 32
    trials: int | None = None
    """Architectures drawn at random, each for `search_epochs`, instead of a Hyperband."""
    widest: int = 128
    """Filters or units of a base model's layer."""
    ablations: bool = True
    """Whether the main model's design is trained again without its parts, to see what they are worth."""
    unseen: bool = True
    """Whether a base model is trained without each source in turn, too, and measured on that one."""


BUDGETS = {
    "smoke": Budget(search_epochs=2, trials=3, search_images=400, fit_epochs=40, side=64, ablations=False),
    "standard": Budget(search_epochs=9, search_images=1000, fit_epochs=50, members=3),
    "full": Budget(search_epochs=27, search_images=10_000, fit_epochs=120, side=256, search_side=128, members=5),
}


def _cnn(hp: Any) -> dict[str, Hyperparameter]:
    """What all convolutional networks may choose. Depth and rate are no part of the space.

    Short trials at half the side favour shallow and fast designs, which are worse when they are fitted. On FracAtlas,
    at 128 pixels, with one seed and a rate of 1e-3, the search's choice of 2 blocks has a validation fracture AUROC of
    0.85. A design with 3 blocks has 0.88 (docs/models.md).

    A kernel of 5 is offered to separable blocks only. Elsewhere it costs three times as much as one of 3, and two
    convolutions of 3 after each other see as far (Simonyan and Zisserman, ICLR 2015).
    """
    block = hp.Choice("block", ["plain", "residual", "separable"])
    with hp.conditional_scope("block", ["separable"]):
        kernel = hp.Choice("kernel", [3, 5])
    return {
        "blocks": 3,
        "filters": hp.Choice("filters", [16, 24]),
        "growth": 2,
        "kernel": kernel if block == "separable" else 3,
        "block": block,
        "norm": hp.Choice("norm", ["batch", "group"]),
        "dropout": hp.Choice("dropout", [0.2, 0.4]),
        "learning_rate": 1e-3,
    }


def levels(side: int) -> list[int]:
    """Levels that leave 32 or 16 rows of an image.

    A level more means a quarter of the places, with four times the planes. More rows cost four times as much and were
    no better on FracAtlas (128 pixels, levels 1 and 2).
    """
    return [level for level in range(1, 6) if side >> level in (32, 16)]


def cnn_bilstm(side: int) -> SearchSpace:
    """The main model's space.

    Class imbalance is no part of it: a class weighs by the inverse square root of its frequency
    (`training.fit.sample_weights`), and the augmentation is that of `training.augment`. Nor is how the LSTM reads a
    row: pooled over its columns, where a fracture may lie left or right (docs/models.md).
    """

    def sample_design(hp: Any) -> NetworkDesign:
        values = {
            "wavelet": hp.Choice("wavelet", ["haar", "bior1.3", "db2"]),
            "level": hp.Choice("level", levels(side)),
            **_cnn(hp),
            "columns": "pooled",
            "lstm_layers": hp.Int("lstm_layers", 1, 2),
            "lstm_units": hp.Choice("lstm_units", [24, 32, 48]),
        }
        return NetworkDesign.from_hyperparameters(values)

    return sample_design


def cnn_searched(side: int) -> SearchSpace:
    """The first baseline's space: the same without wavelets and without the recurrent part."""

    def sample_design(hp: Any) -> NetworkDesign:
        fixed: dict[str, Hyperparameter] = {"wavelet": LAZY, "lstm_layers": 0}
        level = hp.Choice("level", levels(side))
        return NetworkDesign.from_hyperparameters(fixed | {"level": level} | _cnn(hp))

    return sample_design


PLAIN = NetworkDesign(
    wavelet=LAZY, level=0, blocks=3, filters=16, growth=2, kernel=3, block="plain",
    norm="batch", dropout=0.4, learning_rate=1e-3, lstm_layers=0, dense=64,
)  # fmt: skip
"""The second baseline: convolution, normalisation, pooling, three times, then dropout and dense layers, on pixels."""


def base_space(widest: int) -> SearchSpace:
    """The base models' space, of layers with at most `widest` filters or units."""
    sizes = [size for size in (32, 64, 128) if size <= widest]

    def sample_design(hp: Any) -> NetworkDesign:
        values = {
            "blocks": hp.Int("blocks", 1, 3),
            "filters": hp.Choice("filters", sizes),
            "growth": 1,
            "kernel": hp.Choice("kernel", [3, 5]),
            "block": hp.Choice("block", ["plain", "residual"]),
            "norm": "batch",
            "lstm_layers": 1,
            "lstm_units": hp.Choice("lstm_units", sizes),
            "dropout": hp.Choice("dropout", [0.2, 0.4]),
            "learning_rate": hp.Choice("learning_rate", [1e-3, 1e-4]),
        }
        return NetworkDesign.from_hyperparameters(values)

    return sample_design


BASE_START = NetworkDesign(
    blocks=3, filters=32, growth=1, kernel=3, block="plain", norm="batch", lstm_layers=1,
    lstm_units=32, dropout=0.2, learning_rate=1e-3,
)  # fmt: skip
"""The architecture that inputs are compared with, before a search."""
_BASE_SMOKE = Budget(
    search_epochs=2, search_images=300, fit_epochs=12, side=48, batch=16, trials=2, widest=32, unseen=False
)
BASE_BUDGETS = {
    "smoke": _BASE_SMOKE,
    "standard": replace(_BASE_SMOKE, trials=4, unseen=True),
    "full": Budget(search_epochs=27, search_images=10_000, fit_epochs=50),
}
