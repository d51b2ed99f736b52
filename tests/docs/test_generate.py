"""The tables that the site shows are those of the objects that the program uses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from generate import check_rows, generate, packages, settings_rows
from pydantic import BaseModel, Field

from osteon.quality.check import registered
from osteon.settings import ROOT, Settings


class Store(BaseModel):
    url: str = Field("http://127.0.0.1", description="where it is")


class Grouped(BaseModel):
    store: Store = Store()
    workers: int = Field(8, ge=1, le=64)
    budget: Literal["smoke", "full"] = "smoke"


def test_settings_that_are_grouped_have_rows_of_their_own() -> None:
    assert list(settings_rows(Grouped)) == [
        ["`OSTEON_STORE__URL`", "text", "`http://127.0.0.1`", "where it is"],
        ["`OSTEON_WORKERS`", "whole number, at least 1, at most 64", "`8`", ""],
        ["`OSTEON_BUDGET`", "`smoke`, `full`", "`smoke`", ""],
    ]


def test_every_setting_and_every_check_has_a_row_and_no_path_of_this_machine() -> None:
    rows = [*settings_rows(Settings), *check_rows()]
    assert len(rows) >= len(Settings.model_fields) + len(registered())
    assert not any(str(ROOT) in cell for row in rows for cell in row)


def test_every_module_is_in_the_reference_and_a_page_of_what_is_gone_is_removed(tmp_path: Path) -> None:
    gone = tmp_path / "reference" / "osteon.gone.md"
    gone.parent.mkdir()
    gone.write_text("# osteon.gone\n")
    entries = generate(tmp_path)
    assert not gone.exists() and {"osteon.sources": "generated/reference/osteon.sources.md"} in entries
    text = "".join(path.read_text() for path in tmp_path.glob("reference/*.md"))
    modules = [module for found in packages().values() for module in found]
    assert "osteon.lake" in modules and all(f"::: {module}\n" in text for module in modules)
