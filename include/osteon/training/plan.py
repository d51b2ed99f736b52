"""What one training is told."""

from __future__ import annotations

from dataclasses import dataclass

from osteon.records import CatalogKey, TrainingKey


@dataclass(frozen=True)
class TrainingPlan:
    """One training: what `osteon train` is told, here or in a pod."""

    model: str
    snapshot: CatalogKey
    """For a base model the reviewed catalog."""
    budget: str
    seed: int
    winner: str
    """Of an ablation, the training whose design is changed; of the main model, the champion's; else empty."""
    out: TrainingKey
    """Where in the lake the training goes."""

    @property
    def arguments(self) -> list[str]:
        """Of the command `osteon`."""
        command = ["train", "--model", self.model, "--snapshot", self.snapshot, "--out", self.out]
        return [*command, "--design-of", self.winner, "--budget", self.budget, "--seed", str(self.seed)]
