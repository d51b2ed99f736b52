"""Weeks of a publisher: what it publishes, and the stages from ingest to split that follow."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.images.families import Family
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.records import SplitRecord
from tests.pictures import encode
from tests.runs import record_of

VERSIONED = (
    "curation.catalogue.VERSION", "curation.copies.VERSION", "curation.grouping.VERSION", "curation.repair.VERSION",
    "curation.split.VERSION", "images.fingerprint.FORMAT", "curation.inspect.VERSION", "ingest.VERSION",
)  # fmt: skip
RUN = """
import json, sys
from pathlib import Path
from osteon.records import SplitRecord
from tests.runs import record_of, run_to_split
split = record_of(run_to_split(sys.argv[2], Path(sys.argv[1])), SplitRecord)
print(json.dumps([split.catalog, split.moved]))
"""
"""`run_to_split` as a program, for a process of its own; its arguments are the sources file and the run."""


def publish(folder: Path, files: Mapping[str, np.ndarray | bytes], quality: int = 90) -> None:
    """Make these the files of a folder, which holds no others: films are saved as JPEG, bytes as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else encode(data, quality=quality))


def sources_file(path: Path, *folders: Path) -> Path:
    """A sources file at `path`: each folder is a source of its name, whose films are all hands."""
    shared = {"kind": "archive", "licence": "CC0-1.0", "labels": {"part": {"constant": "hand"}}}
    entries = [{"name": folder.name, "location": str(folder), **shared} for folder in folders]
    path.write_text(yaml.safe_dump({"sources": entries}))
    return path


def catalog_of(context: Context) -> pd.DataFrame:
    """What a run's split made: one row per image."""
    return catalogs.read(context.lake, record_of(context, SplitRecord).catalog)


def splits(lake: Lake, key: str) -> pd.Series:
    """Split by path."""
    return catalogs.read(lake, key).set_index("path")["split"].dropna().sort_index()


def snapshot(context: Context) -> pd.Series:
    return splits(context.lake, record_of(context, SplitRecord).catalog)


def upgrade_measurements(patch: pytest.MonkeyPatch) -> None:
    """Give every family of measurements another version."""
    patch.setattr(Family, "folder", property(lambda family: f"measurements/{family.name}-v{family.version + 1}/"))


def upgrade(patch: pytest.MonkeyPatch) -> None:
    """Give every number of a version that stands in keys of the lake the next value, in every module that holds it.

    Of modules that are loaded: run a week before.
    """
    raised = set()
    for module in [module for name, module in sys.modules.items() if name.startswith("osteon.")]:
        for name in ("VERSION", "FORMAT"):
            if isinstance(value := vars(module).get(name), int):
                patch.setattr(module, name, value + 1)
                raised.add(f"{module.__name__}.{name}")
    upgrade_measurements(patch)
    assert raised >= {f"osteon.{name}" for name in VERSIONED}
