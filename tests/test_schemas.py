"""What is checked where a stage reads or writes a table."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pandas as pd
import pytest

from osteon import catalog as catalogs
from osteon.errors import CatalogError
from osteon.lake import Lake
from osteon.schemas import STAGES, Catalogued, Manifest, Publications, Repaired, Reviewed, Split, check, columns_of
from tests import tables

FILMS: list[dict[str, Any]] = [
    {"sha256": "a" * 64, "body_part": "hand", "raw_label": "hand", "split": "train"},
    {"sha256": "b" * 64, "reason": "blank", "quarantined": True},
]


def snapshot(**change: Any) -> pd.DataFrame:
    """A good snapshot of two images, but for what is changed in the first."""
    table = tables.reviewed(FILMS)
    for name, value in change.items():
        table[name] = table[name].astype("object")
        table.loc[0, name] = value
    return table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bytes": -1}, r"column bytes holds -1, not greater_than_or_equal_to\(0\) \(image aaaaaaaaaaaa\)"),
        ({"bytes": "many"}, r"column bytes holds many, not coerce_dtype\('Int64'\) \(image aaaaaaaaaaaa\)"),
        ({"mean": 256.0}, r"column mean holds 256.0, not less_than_or_equal_to\(255\)"),
        ({"path": None}, r"column path is empty \(image aaaaaaaaaaaa\)"),
        ({"sha256": "b" * 64}, r"column sha256 is there twice \(image bbbbbbbbbbbb\)"),
        ({"label_origin": "rumour"}, r"column label_origin holds rumour, not isin"),
        ({"group": None}, r"group and cluster: an image that is not quarantined has both \(image aaaaaaaaaaaa\)"),
        ({"conflict": "x"}, r"exclusion_reason: it is there where `reason` or `conflict` is \(image aaaaaaaaaaaa\)"),
        ({"split": None}, r"split: an image has one unless it has an `exclusion_reason` \(image aaaaaaaaaaaa\)"),
        ({"split": "tset"}, r"column split holds tset, not isin"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_stage_and_its_image(change: dict[str, Any], told: str) -> None:
    check(snapshot(), Split, "split/x.parquet")
    with pytest.raises(CatalogError, match=rf"split/x\.parquet is no table that `split` leaves: .*{told}"):
        check(snapshot(**change), Split, "split/x.parquet")


def test_columns_that_are_missing_or_not_known_are_named() -> None:
    with pytest.raises(CatalogError, match="column mood is not known; column cluster is missing"):
        check(snapshot().drop(columns="cluster").assign(mood="good"), Split, "split/x.parquet")
    with pytest.raises(CatalogError, match=r"`ingest` leaves: column licence is empty \(s:a\.jpg\)"):
        check(tables.manifest([{"path": "a.jpg"}]).assign(licence=None), Manifest, "manifests/m.parquet")
    files = tables.publications([{"path": "a.jpg", "sha256": "a"}])
    with pytest.raises(CatalogError, match="column sha256 is empty"):
        check(files.assign(sha256=None), Publications, "publications/p.parquet")


def test_a_catalog_has_the_columns_of_its_stages_and_is_refused_where_later_ones_are_needed(lake: Lake) -> None:
    for before, stage in zip((None, *STAGES), STAGES, strict=False):
        assert before is None or set(columns_of(before)) < set(columns_of(stage))
    key = tables.put(lake, "repair/c.parquet", FILMS, Repaired)
    assert catalogs.read(lake, key, Catalogued).columns.tolist() == list(columns_of(Repaired))
    with pytest.raises(CatalogError, match=r"repair/c\.parquet came through .* `repair` only: run them up to `review`"):
        catalogs.read(lake, key, Reviewed)
    placed = catalogs.read(lake, tables.put(lake, "split/c.parquet", FILMS, Split))
    later = catalogs.write(lake, "repair/again.parquet", placed, Repaired)
    assert catalogs.read(lake, later).equals(catalogs.read(lake, key)), "what later stages set holds no longer"


def test_a_snapshot_of_an_earlier_version_can_be_read(lake: Lake) -> None:
    old = snapshot().drop(columns=["publications", "conflict", "exclusion_reason", "cluster"])
    old = old.assign(reason=["no label", "blank"], split=None)
    old["published"] = pd.Series([[{"source": "s", "path": "a.jpg"}]] * 2)
    lake.put_table("split/old.parquet", old)
    found = catalogs.read(lake, "split/old.parquet", Split)
    assert found["exclusion_reason"].tolist() == ["no label", "blank"] and found["cluster"].equals(found["group"])
    with pytest.raises(CatalogError, match="does not say where its publications are: run all stages from `catalogue`"):
        catalogs.read_publications(lake, found)


def test_the_command_line_and_the_dag_do_not_load_the_schemas_to_start() -> None:
    code = "import sys, osteon.cli, osteon.pipeline.stages; print('pandera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
