"""The persisted state of a search: what another process needs to go on with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osteon.lake import Lake
from osteon.models.design import Hyperparameter

log = logging.getLogger(__name__)


class TrialStats(BaseModel):
    """Who ran a trial, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float
    worker: str


class StoredSearch(BaseModel):
    """The object `state.json` of a search. States from before `schema_version` have the same fields."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = 1
    start: dict[str, Hyperparameter | None] | None = None
    """The design that the search began with."""
    trial_stats: dict[str, TrialStats] = Field({}, validation_alias="told", serialization_alias="told")
    """By trial, of those that ended."""
    finished: bool = False
    files: dict[str, str] = {}
    """KerasTuner's JSON files, by their path in the project's folder."""


class SearchState:
    """A KerasTuner project in the lake. All that is needed to go on is one object, so no half of it is ever there.

    Args:
        lake: Where the state is kept.
        prefix: Key of the search in the lake.
        folder: An empty folder, in which the project gets a folder of its own.
    """

    def __init__(self, lake: Lake, prefix: str, folder: Path) -> None:
        self.lake, self.prefix, self.folder = lake, prefix, folder / "study"
        self.start: Mapping[str, Hyperparameter | None] | None = None
        self.started_at: dict[tuple[str, str], float] = {}
        """When a worker began a trial."""
        self.trial_stats: dict[str, TrialStats] = {}

    @staticmethod
    def load(lake: Lake, prefix: str) -> StoredSearch | None:
        """Read a stored search. None where there is none, or where this version cannot read it, which is logged."""
        key = f"{prefix}/state.json"
        if not lake.exists(key):
            return None
        try:
            return StoredSearch.model_validate_json(lake.get_bytes(key))
        except ValidationError as error:
            log.warning("the search starts again: this version cannot read %s: %s", key, error)
            return None

    @classmethod
    def finished(cls, lake: Lake, prefix: str) -> bool:
        """Whether a search is over."""
        stored = cls.load(lake, prefix)
        return stored is not None and stored.finished

    def restore(self, start: Mapping[str, Hyperparameter | None] | None) -> None:
        """Restore the files that the lake has. A new search begins with `start`, an old one keeps its own."""
        stored = self.load(self.lake, self.prefix)
        if stored is None:
            self.start = start
            return
        for path, text in stored.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        self.start, self.trial_stats = stored.start, stored.trial_stats

    def save(self, finished: bool = False) -> None:
        """Put the state into the lake."""
        stored = StoredSearch(
            start=None if self.start is None else dict(self.start),
            trial_stats=self.trial_stats,
            finished=finished,
            files={
                str(path.relative_to(self.folder)): path.read_text() for path in sorted(self.folder.rglob("*.json"))
            },
        )
        self.lake.put_json(f"{self.prefix}/state.json", stored.model_dump(by_alias=True))

    def end_trial(self, trial: str, worker: str) -> TrialStats:
        """Note that a worker ended a trial, and how long it took."""
        seconds = round(time.monotonic() - self.started_at[trial, worker], 1)
        self.trial_stats[trial] = TrialStats(seconds=seconds, worker=worker)
        return self.trial_stats[trial]

    def weights_of(self, trial: str) -> Path:
        """Where a trial's best weights lie in the folder, as KerasTuner named them."""
        return self.folder / f"trial_{trial}" / "checkpoint.weights.h5"

    def put_weights(self, trial: str) -> None:
        """Keep a trial's weights, for the trial that goes on from it."""
        path = self.weights_of(trial)
        if path.exists():  # a trial that failed early has none
            self.lake.put_bytes(f"{self.prefix}/weights/{trial}/{path.name}", path.read_bytes())

    def get_weights(self, trial: str) -> None:
        """Fetch the weights of a trial that ran in another process."""
        path = self.weights_of(trial)
        if not path.exists():
            self.lake.get_folder(f"{self.prefix}/weights/{trial}", path.parent)

    def finish(self) -> None:
        """Mark the search as finished, and drop the weights: the winner is trained on its own."""
        self.save(finished=True)
        self.lake.remove_folder(f"{self.prefix}/weights")
