"""What a search asks its optimiser: which design to try next. `osteon.training.tuner` answers with KerasTuner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from osteon.models.design import NetworkDesign


@dataclass(frozen=True)
class Suggestion:
    """A trial that is to be run."""

    trial: str
    """Its number, from "0" on."""
    design: NetworkDesign
    epochs: int
    """The epoch to end with."""
    first_epoch: int = 0
    """Above 0 where the trial goes on from the weights of another."""
    resumes: str | None = None
    """The trial whose best weights it begins with."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    loss: float | None
    """The least validation loss; None where the trial failed."""
    epoch: int = 0
    """The epoch that had it."""
    problem: str = ""
    """Why the trial failed."""


@dataclass(frozen=True)
class EndedTrial:
    """A trial of a search that is over."""

    trial: str
    design: NetworkDesign
    epochs: int
    """The epoch that it ended with."""
    loss: float | None
    """The least validation loss; None where the trial failed."""


class Suggester(Protocol):
    """Suggests trials, and learns from how they ended."""

    def suggest(self) -> Suggestion | None:
        """The next trial; None when the search is over. It waits where other processes have the last ones."""

    def report(self, suggestion: Suggestion, outcome: Outcome) -> None:
        """Take how a suggested trial ended."""

    def finish(self) -> list[EndedTrial]:
        """All trials, those of other processes among them.

        Raises:
            TrainingError: Several trials failed in a row, for which the search was broken off.
        """
