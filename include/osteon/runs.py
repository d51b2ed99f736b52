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
        """Collect a stage's numbers; they are written with its `seconds` when it ends well."""
        numbers: dict[str, Any] = {}
        start = time.monotonic()
        yield numbers
        numbers["seconds"] = round(time.monotonic() - start, 3)
        self.lake.put_json(f"{self.prefix}/stages/{name}.json", numbers)

    def stages(self) -> dict[str, dict[str, Any]]:
        """The numbers of every stage that ended well, by the stage's name."""
        prefix = f"{self.prefix}/stages/"
        return {
            key.removeprefix(prefix).removesuffix(".json"): self.lake.get_json(key) for key in self.lake.keys(prefix)
        }
