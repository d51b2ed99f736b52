"""What each stage of a run did, kept below `runs/<run>/` in the lake, so that the report can add it up."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from osteon.lake import Lake

ORDER = (
    "sources",
    "ingest",
    "catalogue",
    "inspect",
    "repair",
    "group",
    "review",
    "validate",
    "gate",
    "base_models",
    "relabel",
    "register_base",
    "answers",
    "split",
    "check",
    "compare",
    "register",
)
"""Of what is recorded: what a stage works on, stages before it gave."""
NO_WORD = "its task ended without a word: see its log"
OUTPUTS = ("manifest", "catalog", "validation", "trainings", "snapshot", "comparison")
"""Under which names."""


@dataclass(frozen=True)
class Run:
    """A pipeline run: an Airflow run id, or any name on the command line."""

    lake: Lake
    run_id: str

    @property
    def prefix(self) -> str:
        return f"runs/{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.run_id)}"

    @contextmanager
    def stage(self, name: str, *inputs: str) -> Iterator[dict[str, Any]]:
        """Collect a stage's numbers; they are written with its `seconds` when it ends well, or names its `problem`.

        `inputs` are what it works on, of what stages before it gave. What is done again has done nothing until then.
        """
        record, numbers = f"{self.prefix}/stages/{name}.json", dict[str, Any]()
        self.lake.remove(record)
        start = time.monotonic()
        ended_well = False
        try:
            yield numbers
            ended_well = True
        finally:
            if ended_well or "problem" in numbers:
                numbers["seconds"] = round(time.monotonic() - start, 3)
                self.lake.put_json(record, {"inputs": inputs, **numbers})

    def sources(self) -> dict[str, dict[str, Any]]:
        """What ingest left of each source: its `manifest` and that of the run `before`, its `problem`, counts. One that
        left nothing, for its task was killed, has a `problem`, too."""
        stages = self.stages()
        left = {name.removeprefix("ingest."): found for name, found in stages.items() if name.startswith("ingest.")}
        asked = stages.get("sources", {}).get("names", [])
        return {name: {"problem": NO_WORD} for name in asked} | left

    def stages(self) -> dict[str, dict[str, Any]]:
        """The numbers of every stage that ended well or named its problem, by the stage's name, in their order.

        Where a run was done again with another outcome, what it did before is left out: sources that were taken out,
        and stages that worked on what this run has no longer.
        """
        prefix = f"{self.prefix}/stages/"
        names = [key.removeprefix(prefix).removesuffix(".json") for key in self.lake.keys(prefix)]
        left = {name: self.lake.get_json(f"{prefix}{name}.json") for name in names}
        asked = left.get("sources", {}).get("names")
        found: dict[str, dict[str, Any]] = {}
        given: set[str] = set()
        for name in sorted(left, key=lambda name: ORDER.index(name.split(".")[0])):
            stage, _, source = name.partition(".")
            inputs = set(left[name].get("inputs", ()))
            if stage == "ingest":
                fits = asked is None or source in asked
            else:
                fits = not given or (inputs == given if stage == "catalogue" else inputs <= given)
            if fits:
                found[name] = left[name]
                for output in OUTPUTS:
                    gave = found[name].get(output, ())
                    given.update([gave] if isinstance(gave, str) else gave)
        return found
