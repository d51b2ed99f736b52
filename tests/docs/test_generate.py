"""The tables that the site shows are those of the objects that the program uses."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from generate import check_rows, generate, packages, settings_rows
from pydantic import AliasChoices, BaseModel, Field

from osteon.quality.check import registered
from osteon.settings import PARTS, ROOT, Settings


class StoreSettings(BaseModel):
    url: str = Field("http://127.0.0.1", description="where it is")


class WorkerSettings(StoreSettings):
    workers: int = Field(8, ge=1, le=64, validation_alias=AliasChoices("osteon_workers", "osteon_helpers"))
    budget: Literal["smoke", "full"] = "smoke"


def test_a_part_has_rows_for_the_settings_that_it_adds_under_their_new_names() -> None:
    assert list(settings_rows(StoreSettings)) == [["`OSTEON_URL`", "text", "`http://127.0.0.1`", "where it is"]]
    assert list(settings_rows(WorkerSettings)) == [
        ["`OSTEON_WORKERS`", "whole number, at least 1, at most 64", "`8`", ""],
        ["`OSTEON_BUDGET`", "`smoke`, `full`", "`smoke`", ""],
    ]


def test_every_setting_is_described_in_one_part_and_no_path_of_this_machine_is_shown() -> None:
    rows = [row for part in PARTS for row in settings_rows(part)]
    assert len(rows) == len(Settings.model_fields)
    assert all(meaning for *_, meaning in rows)
    checks = list(check_rows())
    assert len(checks) >= len(registered())
    assert not any(str(ROOT) in cell for row in [*rows, *checks] for cell in row)


def test_every_module_is_in_the_reference_and_a_page_of_what_is_gone_is_removed(tmp_path: Path) -> None:
    gone = tmp_path / "reference" / "osteon.gone.md"
    gone.parent.mkdir()
    gone.write_text("# osteon.gone\n")
    entries = generate(tmp_path)
    assert not gone.exists() and {"osteon.sources": "generated/reference/osteon.sources.md"} in entries
    text = "".join(path.read_text() for path in tmp_path.glob("reference/*.md"))
    modules = [module for found in packages().values() for module in found]
    assert "osteon.lake" in modules and all(f"::: {module}\n" in text for module in modules)
