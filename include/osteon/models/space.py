"""What the architecture search may choose from, and how long it may look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SPACE_VERSION = 1


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


BUDGETS = {
    "smoke": Budget(search_epochs=3, factor=3, search_images=400, fit_epochs=60, patience=12, side=64),
    "standard": Budget(search_epochs=9, factor=3, search_images=1500, fit_epochs=30, patience=7),
    "full": Budget(search_epochs=27, factor=3, search_images=10_000, fit_epochs=80, patience=12),
}


def choose(hp: Any) -> dict[str, Any]:
    """One architecture of the space, drawn from a `keras_tuner.HyperParameters`."""
    return {
        "blocks": hp.Int("blocks", 2, 3),
        "filters": hp.Choice("filters", [16, 24, 32]),
        "kernel": hp.Choice("kernel", [3, 5]),
        "residual": hp.Boolean("residual"),
        "lstm_units": hp.Choice("lstm_units", [24, 32, 48]),
        "dropout": hp.Choice("dropout", [0.2, 0.4]),
        "learning_rate": hp.Choice("learning_rate", [3e-3, 1e-3]),
    }
