"""A large catalog is worked on in parts, and nothing is lost or done twice between them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.measurements import read_measurements
from osteon.lake import Lake
from osteon.models import space
from osteon.partitions import HEX_DIGITS, partitions, select_partition
from osteon.pipeline.context import Context
from osteon.pipeline.data import inspect_part, inspect_parts
from osteon.pipeline.local import prepare, run_on_catalog
from osteon.pipeline.stages import INSPECT, REPAIR, run_stage
from osteon.pipeline.training import cache_partition, list_cache_partitions
from osteon.records import CatalogKey


@pytest.mark.parametrize(("images", "count"), [(0, 0), (100, 0), (101, 2), (1000, 10), (10**7, 16)])
def test_parts_hold_every_image_once(images: int, count: int) -> None:
    found = partitions(images, 100)
    assert len(found) == count
    assert sorted("".join(found)) == (sorted(HEX_DIGITS) if count else [])
    digests = [f"{number:x}abc" for number in range(40)]
    selected = [digest for part in partitions(1000, 100) for digest in select_partition(digests, part)]
    assert sorted(selected) == sorted(digests)


@pytest.fixture
def published(environment: dict[str, str], tmp_path: Path) -> tuple[Context, CatalogKey]:
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 60, "longer_side": [60, 80]}
    sources = tmp_path / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": [{**entry, "parts": ["hand"], "defects": {"truncated": 4}}]}))
    context = Context.open("x", part_images=20)
    return context, prepare(context, str(sources))


def test_images_are_measured_in_parts_as_in_one(published: tuple[Context, CatalogKey], lake: Lake) -> None:
    context, catalog = published
    images = len(catalogs.read(lake, catalog))
    todo = inspect_parts(context, catalog)
    assert len(todo) == 3
    parts_done = [inspect_part(context, catalog, part) for part in todo[:2]]
    assert 0 < sum(parts_done) < images
    assert inspect_part(context, catalog, todo[0]) == 0, "a part is not measured again"
    record = run_stage(INSPECT, context, catalog=catalog)  # it measures the part that no task did
    assert record.decoded == images - sum(parts_done)
    assert inspect_parts(context, catalog) == []
    in_parts = catalogs.read(lake, record.catalog)
    assert sorted(read_measurements(lake, context.settings.max_pixels)["sha256"]) == sorted(in_parts["sha256"])
    lake.remove_folder("measurements")
    lake.remove_folder("inspect")
    assert run_stage(INSPECT, context, catalog=catalog).catalog == record.catalog
    pd.testing.assert_frame_equal(catalogs.read(lake, record.catalog), in_parts)


def test_squares_are_made_in_parts(published: tuple[Context, CatalogKey], lake: Lake) -> None:
    context, catalog = published
    repaired = run_on_catalog(context, catalog, INSPECT, REPAIR)
    todo = list_cache_partitions(context, repaired)
    assert len(todo) == 3
    sides = len({space.BUDGETS["standard"].side, space.BUDGETS["standard"].search_side, 64})
    made = sum(cache_partition(context, repaired, part, "standard") for part in todo)
    usable = ~catalogs.read(lake, repaired)["quarantined"].fillna(False).astype(bool)
    assert made == sides * usable.sum() > 0
    shards = list(lake.keys("squares/"))
    assert cache_partition(context, repaired, todo[0], "standard") > 0 and list(lake.keys("squares/")) == shards
