"""What the records of all stages have in common."""

from __future__ import annotations

from typing import Any, ClassVar, NewType, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

SCHEMA_VERSION = 2
"""Of records. Those of version 1 do not say theirs; they have the same fields, but fewer."""

CatalogKey = NewType("CatalogKey", str)
ManifestKey = NewType("ManifestKey", str)
TrainingKey = NewType("TrainingKey", str)
ValidationKey = NewType("ValidationKey", str)
ComparisonKey = NewType("ComparisonKey", str)


class StageRecord(BaseModel):
    """What a stage leaves when it ends: small numbers, and keys of what it put into the lake."""

    model_config = ConfigDict(extra="forbid")
    stage: ClassVar[str]
    """The stage's name: also that of its task, its command (with hyphens) and its record in the lake."""

    schema_version: int = 1
    inputs: tuple[str, ...] = ()
    """Keys that it worked on, of those that earlier records of the run name as their `outputs`."""
    seconds: float = 0.0
    _failure: Exception | None = PrivateAttr(None)

    @property
    def name(self) -> str:
        """Of this record within its run."""
        return self.stage

    @property
    def result(self) -> Any:
        """What the next stage takes: a key, or a list of keys or small values."""
        return None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys that later stages may work on."""
        return ()

    @property
    def failure(self) -> Exception | None:
        """Why the stage fails although it leaves a record."""
        return self._failure

    def failing(self, error: Exception | None) -> Self:
        """The same record, of a stage that fails with this error once its record is kept."""
        self._failure = error
        return self


class CatalogRecord(StageRecord):
    """Of a stage that takes a catalog and gives another."""

    catalog: CatalogKey

    @property
    def result(self) -> CatalogKey:
        """The key of the catalog, which the command prints."""
        return self.catalog

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys of what the stage wrote."""
        return (self.catalog,)
