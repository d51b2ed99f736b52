"""The classes that a snapshot holds, and targets that let an unknown fracture state teach the body part only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import TrainingError
from osteon.labels import REQUIRED_PARTS, STATES, UNKNOWN


@dataclass(frozen=True)
class ClassList:
    """A model's outputs, in the order of the joint classes' codes.

    A part of which the training images do not show both fracture states has one class, `spine/unknown`: the model
    cannot tell, and says so.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, images: pd.DataFrame) -> ClassList:
        """Classes of the training images (`body_part, fractured`). Raises `TrainingError` for fewer than two."""
        names = []
        for part in REQUIRED_PARTS:
            states = images.loc[images["body_part"] == part, "fractured"]
            known = list(STATES.values()) if states.nunique() == len(STATES) else [UNKNOWN] if len(states) else []
            names += [f"{part}/{state}" for state in known]
        if len(names) < 2:
            raise TrainingError(f"the training images hold {names or 'no'} class: add sources, two classes are needed")
        return cls(tuple(names))

    @property
    def parts(self) -> tuple[str, ...]:
        """Distinct body parts, in order."""
        return tuple(dict.fromkeys(name.split("/")[0] for name in self.names))

    @property
    def silent(self) -> tuple[str, ...]:
        """Parts whose fracture state the model cannot tell, in order."""
        return tuple(part for part in self.parts if sum(name.startswith(f"{part}/") for name in self.names) == 1)

    @property
    def fractured(self) -> NDArray[np.bool_]:
        """(classes,): which of them are fractured."""
        return np.array([name.endswith(f"/{STATES[True]}") for name in self.names])

    def allowed(self, images: pd.DataFrame) -> NDArray[np.float32]:
        """(n, classes) of 0 and 1: the classes that an image's label admits.

        One for a known state, all of the part's for an unknown one, none for a label that was never trained.
        """
        matrix = np.zeros((len(images), len(self.names)), np.float32)
        for row, (part, state) in enumerate(zip(images["body_part"], images["fractured"], strict=True)):
            for column, name in enumerate(self.names):
                own_part, own_state = name.split("/")
                matrix[row, column] = own_part == part and (
                    pd.isna(state) or own_state in (STATES[bool(state)], UNKNOWN)
                )
        return matrix

    def part_probability(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """(n, classes) to (n, parts): sums over a part's classes."""
        member = np.array([[name.split("/")[0] == part for part in self.parts] for name in self.names], dtype=float)
        summed: NDArray[np.floating] = probabilities @ member
        return summed

    def fracture_probability(self, probabilities: NDArray[np.floating], parts: list[str]) -> NDArray[np.floating]:
        """(n,): P(fractured | the given part); nan where the part's fracture state was never learnt."""
        result = np.full(len(probabilities), np.nan)
        index = {name: column for column, name in enumerate(self.names)}
        for row, part in enumerate(parts):
            yes, no = index.get(f"{part}/fractured"), index.get(f"{part}/non-fractured")
            if yes is not None and no is not None:
                total = probabilities[row, yes] + probabilities[row, no]
                result[row] = probabilities[row, yes] / total if total > 0 else np.nan
        return result
