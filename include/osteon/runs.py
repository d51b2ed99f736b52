"""What each stage of a run did, kept below `runs/<run>/` in the lake, so that the report can add it up."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from osteon.lake import Lake


@dataclass(frozen=True)
class Run:
    """A pipeline run: an Airflow run id, or any name on the command line."""

    lake: Lake
    run_id: str

    @property
    def prefix(self) -> str:
        return f"runs/{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.run_id)}"

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Collect a stage's numbers; they are written with its `seconds` when it ends well, or names its `problem`."""
        numbers: dict[str, Any] = {}
        start = time.monotonic()
        ended_well = False
        try:
            yield numbers
            ended_well = True
        finally:
            if ended_well or "problem" in numbers:
                numbers["seconds"] = round(time.monotonic() - start, 3)
                self.lake.put_json(f"{self.prefix}/stages/{name}.json", numbers)

    def sources(self) -> dict[str, dict[str, Any]]:
        """What ingest left of each source: its `manifest` and that of the run `before`, its `problem`, counts.

        Only sources that the run was last asked for: one that was taken out before it was run again is not among them.
        """
        stages = self.stages()
        names = stages.get("sources", {}).get("names", [])
        return {name: stages[f"ingest.{name}"] for name in names if f"ingest.{name}" in stages}

    def stages(self) -> dict[str, dict[str, Any]]:
        """The numbers of every stage that ended well or named its problem, by the stage's name."""
        prefix = f"{self.prefix}/stages/"
        return {
            key.removeprefix(prefix).removesuffix(".json"): self.lake.get_json(key) for key in self.lake.keys(prefix)
        }
