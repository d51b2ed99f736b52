"""What the architecture search may choose from, and how long it may look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SPACE_VERSION = 2
Choose = Callable[[Any], dict[str, Any]]
"""Draws one architecture of a space from a `keras_tuner.HyperParameters`."""


@dataclass(frozen=True)
class Budget:
    """How much is spent: epochs of Hyperband's longest trial, its reduction factor (Li et al., JMLR 18, 2018), ..."""

    search_epochs: int
    factor: int
    search_images: int
    """At most this many training images (whole groups) are used while searching; the winner is fit on all."""
    fit_epochs: int
    patience: int
    side: int = 128
    """Pixels of the letterboxed square."""
    batch: int = 32
    trials: int | None = None
    """Architectures drawn at random, each for `search_epochs`, instead of a Hyperband."""
    widest: int = 128
    """Filters or units of a base model's layer."""
    unseen: bool = True
    """Whether a base model is trained without each source in turn, too, and measured on that one."""


BUDGETS = {
    "smoke": Budget(search_epochs=3, factor=3, search_images=400, fit_epochs=60, patience=12, side=64),
    "standard": Budget(search_epochs=9, factor=3, search_images=1500, fit_epochs=30, patience=7),
    "full": Budget(search_epochs=27, factor=3, search_images=10_000, fit_epochs=80, patience=12),
}


def choose(hp: Any) -> dict[str, Any]:
    """The main model's space."""
    return {
        "growth": 2,
        "blocks": hp.Int("blocks", 2, 3),
        "filters": hp.Choice("filters", [16, 24, 32]),
        "kernel": hp.Choice("kernel", [3, 5]),
        "residual": hp.Boolean("residual"),
        "lstm_units": hp.Choice("lstm_units", [24, 32, 48]),
        "dropout": hp.Choice("dropout", [0.2, 0.4]),
        "learning_rate": hp.Choice("learning_rate", [3e-3, 1e-3]),
    }


def base_space(widest: int) -> Choose:
    """The base models' space, of layers with at most `widest` filters or units."""
    sizes = [size for size in (32, 64, 128) if size <= widest]

    def choose_base(hp: Any) -> dict[str, Any]:
        return {
            "blocks": hp.Int("blocks", 1, 3),
            "filters": hp.Choice("filters", sizes),
            "growth": 1,
            "kernel": hp.Choice("kernel", [3, 5]),
            "residual": hp.Boolean("residual"),
            "lstm_units": hp.Choice("lstm_units", sizes),
            "dropout": hp.Choice("dropout", [0.2, 0.4]),
            "learning_rate": hp.Choice("learning_rate", [1e-3, 1e-4]),
        }

    return choose_base


BASE_START = {
    "blocks": 3, "filters": 32, "growth": 1, "kernel": 3, "residual": False, "lstm_units": 32, "dropout": 0.2,
    "learning_rate": 1e-3,
}  # fmt: skip
"""The architecture that inputs are compared with, before a search."""
BASE_BUDGETS = {
    "smoke": Budget(
        search_epochs=2,
        factor=3,
        search_images=300,
        fit_epochs=12,
        patience=4,
        side=48,
        batch=16,
        trials=2,
        widest=32,
        unseen=False,
    ),
    "standard": Budget(
        search_epochs=5, factor=3, search_images=600, fit_epochs=16, patience=4, batch=16, trials=4, widest=32
    ),
    "full": Budget(search_epochs=27, factor=3, search_images=10_000, fit_epochs=50, patience=8),
}
