from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from osteon.errors import QualityError
from osteon.quality.check import BOUND, Table, registered
from osteon.quality.data_docs import make_offline
from osteon.quality.suite import run_suite
from osteon.quality.thresholds import load_thresholds
from osteon.settings import load_settings


def test_real_pages_load_only_files_that_lie_beside_them(tmp_path: Path) -> None:
    thresholds = load_thresholds(load_settings().quality_file)
    columns: dict[Table, list[str]] = {}
    for check in registered().values():
        columns.setdefault(check.table, []).append(check.column)
    run_suite(
        {name: pd.DataFrame({key: [None] for key in keys}) for name, keys in columns.items()}, thresholds, tmp_path
    )
    site = tmp_path / "gx" / "uncommitted" / "data_docs" / "local_site"
    make_offline(site)
    pages = list(site.rglob("*.html"))
    assert len(pages) == 1 + 2 * len(columns)
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)", page.read_text())
        assert len(loaded) > 8
        for address in loaded:
            assert (page.parent / address.split("?")[0]).resolve().is_file(), (page, address)


def test_what_a_publisher_names_a_file_does_not_become_markup(tmp_path: Path) -> None:
    path = "a<img src=x onerror=alert(1)>.jpg"
    checks = [check for check in registered().values() if check.table == "images"]
    table = pd.DataFrame({check.column: [1.0 if check.rule in BOUND else "bad"] for check in checks})
    run_suite({"images": table.assign(source="s", path=path)}, load_thresholds(load_settings().quality_file), tmp_path)
    pages = [page.read_text() for page in tmp_path.rglob("catalog-images.html")]
    assert pages and "<img src=x" not in "".join(pages) and "&lt;img src=x" in "".join(pages)


def test_something_unknown_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="https://example.org/new.js?x=1" async></script>')
    with pytest.raises(QualityError, match=r"https://example\.org/new\.js"):
        make_offline(tmp_path)
