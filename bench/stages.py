"""Seconds of each stage from ingest to split on the real archives: the first time, and again with nothing changed.

Absolute times say more about the machine than about Osteon; the ratio in the last line is what to compare.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare, run_on_catalog
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, SPLIT, VALIDATE, read_records, run_stage
from osteon.settings import ROOT, load_settings

SOURCES = ROOT / "config" / "sources.fracatlas.yaml"


def run_to_split(name: str) -> dict[str, float]:
    """Run the stages under a run's name; seconds by stage."""
    context = Context.open(name)
    catalog = prepare(context, str(SOURCES), INSPECT, REPAIR, GROUP, REVIEW)
    manifests = [record.manifest for record in context.run.sources().values()]
    run_stage(VALIDATE, context, catalog=catalog, manifests=manifests, sources=str(SOURCES))
    run_on_catalog(context, catalog, SPLIT, seed=0)
    return {stage: record.seconds for stage, record in read_records(context.run).items()}


@contextmanager
def store() -> Iterator[None]:
    """An object store of its own, which the environment names."""
    with tempfile.TemporaryDirectory(prefix="osteon-bench-") as folder:
        ports = dict(zip(("s3_port", "smtp_port", "mail_port"), free_ports(3), strict=True))
        stack = Stack(load_settings(state_dir=Path(folder), **ports))
        stack.up(["s3"])
        try:
            os.environ.update(stack.environment())
            yield
        finally:
            stack.down()


def main() -> None:
    with store():
        first, again = run_to_split("first"), run_to_split("again")
    table = Table("stage", "first", "again", title="Seconds on the real archives")
    for stage, seconds in first.items():
        table.add_row(stage, f"{seconds:.2f}", f"{again[stage]:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"again is {sum(first.values()) / sum(again.values()):.1f} times faster than first")


if __name__ == "__main__":
    main()
