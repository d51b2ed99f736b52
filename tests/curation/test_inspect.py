"""Measurements by family: what old lakes hold is used, and only what is lacking is measured."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.measurements import IN_OLD, OLD, keep, read_measurements, requests
from osteon.errors import CatalogError, ConfigurationError, ExtensionError
from osteon.images.decode import Decoded
from osteon.images.families import Family, registered
from osteon.images.measure import IMAGE, Measured, Request, measure
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import INSPECT, run_stage
from osteon.records import CatalogKey
from osteon.schemas import Inspected, check, columns_of
from osteon.sources.config import read_sources_file
from tests import tables
from tests.pictures import encode, radiograph

LIMIT = 10**6


def brightness(image: Decoded) -> dict[str, object]:
    return {"mean": float(image.pixels.mean())}


def catalogued(run: str, folder: Path) -> tuple[Context, CatalogKey]:
    entry = {"name": "s", "kind": "archive", "licence": "CC0-1.0", "location": str(folder)}
    sources = folder.parent / "sources.yaml"
    sources.write_text(yaml.safe_dump({"sources": [{**entry, "labels": {"part": {"constant": "hand"}}}]}))
    context = Context.open(run, max_pixels=LIMIT)
    return context, prepare(context, str(sources))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "films"
    path.mkdir()
    for number in range(4):
        (path / f"{number}.png").write_bytes(encode(radiograph(number), "PNG"))
    (path / "text.jpg").write_bytes(b"no image")
    return path


def as_before(lake: Lake) -> pd.DataFrame:
    """Put all measurements together into one table without types, as Osteon kept them before there were families."""
    names = {name: column for family in registered() for column, name in family.full_names.items()}
    table = read_measurements(lake, LIMIT, registered()).rename(columns=names)
    lake.remove_folder("measurements")
    buffer = io.BytesIO()
    table.astype("object").where(table.notna(), None).to_parquet(buffer, index=False)
    lake.put_bytes(f"{OLD}0123456789abcdef0123.parquet", buffer.getvalue())
    return table


def test_measurements_of_the_version_before_are_used_and_left_as_they_are(
    environment: dict[str, str], lake: Lake, folder: Path
) -> None:
    context, catalog = catalogued("first", folder)
    key = run_stage(INSPECT, context, catalog=catalog).catalog
    whole = catalogs.read(lake, key)
    families = read_measurements(lake, LIMIT, registered())
    old = as_before(lake)
    assert set(old.columns) >= {"width", "colour", "dark_band", "contrast", "gutter", "oval", "text", "thumb"}
    lake.remove_folder("inspect")
    again = run_stage(INSPECT, context, catalog=catalog)
    assert (again.catalog, again.decoded) == (key, 4), "streams are looked at anew, by what they concern only"
    folders = {prefix.split("/")[1] for prefix in lake.keys("measurements/") if not prefix.startswith(OLD)}
    assert folders == {"image-v2", "polarity-v1", "stream-v1"}
    pd.testing.assert_frame_equal(catalogs.read(lake, key), whole)
    pd.testing.assert_frame_equal(read_measurements(lake, LIMIT, registered()), families)
    assert set(IN_OLD) | {"polarity", "stream"} == {IMAGE.name, *(family.name for family in registered())}


def test_a_new_version_of_one_family_measures_by_this_family_only(
    environment: dict[str, str], lake: Lake, folder: Path
) -> None:
    context, catalog = catalogued("first", folder)
    run_stage(INSPECT, context, catalog=catalog)
    digests = catalogs.read(lake, catalog)["sha256"]
    changed = [replace(one, version=one.version + (one.name == "levels")) for one in registered()]
    wanted = requests(lake, LIMIT, digests, changed, fingerprinted=set(digests))
    assert len(wanted) == 4, "what cannot be decoded is not tried again"
    assert {tuple(family.name for family in one.families) for one in wanted} == {("levels",)}
    assert requests(lake, LIMIT, digests, registered(), fingerprinted=set(digests)) == []


def test_what_the_old_limit_refused_is_measured_whole_under_the_new_one(
    environment: dict[str, str], lake: Lake, folder: Path
) -> None:
    context, catalog = catalogued("first", folder)
    context.settings.max_pixels = 100
    run_stage(INSPECT, context, catalog=catalog)
    digests = catalogs.read(lake, catalog)["sha256"]
    assert read_measurements(lake, 100)["problem"].notna().all()
    wanted = requests(lake, LIMIT, digests, registered(), fingerprinted=set())
    assert [(len(one.families), one.fingerprint) for one in wanted] == [(1 + len(registered()), True)] * 4


def test_what_took_too_long_is_tried_again_under_another_bound_only(
    environment: dict[str, str], lake: Lake, folder: Path
) -> None:
    slow = "the decoder took longer than 60 s (OSTEON_DECODE_SECONDS)"
    keep(lake, [Measured("a", problem=slow), Measured("b", problem="not an image")], ())
    now, later = (slow,), ("the decoder took longer than 90 s (OSTEON_DECODE_SECONDS)",)
    assert requests(lake, LIMIT, ["a", "b"], registered(), set(), now) == []
    assert [one.sha256 for one in requests(lake, LIMIT, ["a", "b"], registered(), set(), later)] == ["a"]
    data = encode(radiograph(1), "PNG")
    keep(lake, [measure(Request("a", (IMAGE,), fingerprint=False), data, LIMIT)], ())
    assert read_measurements(lake, LIMIT).set_index("sha256").loc["a", "width"] == 120


def test_a_family_that_fails_or_gives_other_columns_is_named_with_the_image() -> None:
    def broken(image: Decoded) -> dict[str, object]:
        return {"mean": 1 / 0}

    data = encode(radiograph(1), "PNG")
    with pytest.raises(ExtensionError, match=r"`light` of tests.* fails on image abc with ZeroDivision"):
        measure(Request("abc", (Family("light", 1, {"mean": "Float64"}, broken),), False), data, LIMIT)
    with pytest.raises(ExtensionError, match="gives mean instead of its columns average"):
        measure(Request("abc", (Family("light", 1, {"average": "Float64"}, brightness),), False), data, LIMIT)
    wrong: list[dict[str, Any]] = [{"name": "Light"}, {"version": 0}, {"columns": {}}, {"columns": {"mean": "bytes"}}]
    for family in wrong:
        values: dict[str, Any] = {"name": "light", "version": 1, "columns": {"mean": "Float64"}, "measure": brightness}
        with pytest.raises(ExtensionError, match=r"measurement `[Ll]ight`"):
            Family(**{**values, **family})


def test_the_catalog_keeps_typed_columns_of_checks_and_refuses_others() -> None:
    rows = tables.catalog([{"sha256": "b"}, {"sha256": "a"}])[list(columns_of(Inspected))]
    rows["light.mean"] = pd.array([None, 2.5], "Float64")
    found = check(rows, Inspected, "c")
    assert found.columns.tolist() == [*columns_of(Inspected), "light.mean"]
    assert found["light.mean"].dtype == "Float64" and found.set_index("sha256")["light.mean"]["b"] == 2.5
    with pytest.raises(CatalogError, match=r"column light\.mean has no type"):
        check(rows.astype({"light.mean": "object"}), Inspected, "c")
    with pytest.raises(CatalogError, match="column brightness is not known"):
        check(rows.assign(brightness=np.ones(2)), Inspected, "c")


def test_a_defect_that_no_check_has_is_answered_with_the_nearest(tmp_path: Path) -> None:
    entry = {"name": "p", "kind": "phantom", "licence": "CC0-1.0", "defects": {"trunkated": 3}}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": [entry]}))
    with pytest.raises(ConfigurationError, match="no defect `trunkated`: did you mean `truncated`"):
        read_sources_file(tmp_path / "sources.yaml")
