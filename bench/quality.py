"""Precision and recall of the checks on generated radiographs with every defect injected, where the truth is known."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from stages import store

from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GROUP, INSPECT, REPAIR, REVIEW, VALIDATE, run_stage
from osteon.quality.check import registered
from osteon.quality.findings import read_validation
from osteon.settings import load_settings
from osteon.sources.config import open_source
from osteon.sources.defects import registered as registered_defects
from osteon.sources.phantom import PhantomSource

EACH = 20
IMAGES = 900
TOGETHER = {"dark_bands": ("dark_bands", "bright_bands")}
"""Checks that find one defect between them, which are one row."""


def main() -> None:
    entry = {"name": "p", "kind": "phantom", "licence": "CC0-1.0", "seed": 11, "images": IMAGES}
    with tempfile.TemporaryDirectory() as folder, store():
        path = Path(folder) / "sources.yaml"
        path.write_text(yaml.safe_dump({"sources": [{**entry, "defects": dict.fromkeys(registered_defects(), EACH)}]}))
        context = Context.open("bench")
        catalog = prepare(context, str(path), INSPECT, REPAIR, GROUP, REVIEW)
        manifests = [record.manifest for record in context.run.sources().values()]
        key = run_stage(VALIDATE, context, catalog=catalog, manifests=manifests, sources=str(path)).validation
        found = read_validation(context.lake, key)
        source = open_source(path, load_settings(), "p")
    assert isinstance(source, PhantomSource)
    table = Table(
        "check",
        "injected",
        "found",
        "with another defect",
        "precision",
        "recall",
        title=f"{EACH} of each defect in {IMAGES} images",
        caption="Precision leaves out what has another defect: a film that was cut may well have a doubtful label.",
    )
    proved = {name: {defect.name for defect in check.defects} for name, check in registered().items() if check.defects}
    for first, *rest in TOGETHER.values():
        proved = {name: defects for name, defects in proved.items() if name not in rest or name == first}
    others = {
        check: {item.path for item in source.truth() if item.defect not in defects} for check, defects in proved.items()
    }
    for check, defects in proved.items():
        injected = [item for item in source.truth() if item.defect in defects]
        # of an original and its copies, any may be named
        families = [{item.path, item.original or item.path} for item in injected]
        named = {
            item.name.partition(":")[2]
            for finding in found.findings
            if finding.check in TOGETHER.get(check, (check,))
            for item in finding.offenders
        }
        right = named & set().union(*families)
        recall = sum(bool(family & named) for family in families) / len(families)
        spoilt = (named - right) & others[check]
        precision = f"{len(right) / len(named - spoilt):.2f}" if named - spoilt else "-"
        table.add_row(check, str(len(injected)), str(len(named)), str(len(spoilt)), precision, f"{recall:.2f}")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    main()
