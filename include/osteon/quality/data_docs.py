"""Data Docs that load nothing from elsewhere: they work without internet, and opening them tells nobody."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from osteon.errors import QualityError

VENDOR = Path(__file__).with_name("vendor")
PLACES = {
    "bootstrap.min.css": "vendor/bootstrap.min.css",
    "bootstrap.min.js": "vendor/bootstrap.min.js",
    "jquery-3.7.1.min.js": "vendor/jquery.min.js",
    "popper.min.js": "vendor/popper.min.js",
    "bootstrap-table.min.css": "vendor/bootstrap-table.min.css",
    "bootstrap-table.min.js": "vendor/bootstrap-table.min.js",
    "bootstrap-table-filter-control.css": "vendor/bootstrap-table-filter-control.min.css",
    "bootstrap-table-filter-control.min.css": "vendor/bootstrap-table-filter-control.min.css",
    "bootstrap-table-filter-control.min.js": "vendor/bootstrap-table-filter-control.min.js",
    "bootstrap-datepicker.min.css": "vendor/bootstrap-datepicker.min.css",
    "bootstrap-datepicker.min.js": "vendor/bootstrap-datepicker.min.js",
    "all.min.css": "vendor/fontawesome/css/all.min.css",
    "logo-long.png": "images/logo-long.png",
}
"""Last part of an address to the file below `static/` that stands for it."""
NOT_NEEDED = ("vega@5", "vega-lite@5", "vega-embed@6", "bootstrap-prefers-dark.css")
"""Charts, which no check of ours has, and a second theme."""
LOADED = re.compile(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=[\"'](https?://[^\"']+)[\"'][^>]*>(?:\s*</script>)?")


def make_offline(site: Path) -> None:
    """Rewrite every page of a site, and put the files that it needs beside it.

    Raises `QualityError` when a page loads something that is not known here, as of a newer Great Expectations.
    """
    shutil.copytree(VENDOR, site / "static" / "vendor", dirs_exist_ok=True)
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)

        def local(tag: re.Match[str], up: str = up) -> str:
            name = urlsplit(tag[1]).path.rsplit("/", 1)[-1]
            if name in NOT_NEEDED:
                return ""
            if name not in PLACES:
                raise QualityError(f"the Data Docs load {tag[1]}: name its place in osteon.quality.data_docs")
            plain = re.sub(r"\s(?:integrity|crossorigin)=([\"'])[^\"']*\1", "", tag[0])
            return plain.replace(tag[1], f"{up}static/{PLACES[name]}")

        text = LOADED.sub(local, page.read_text(encoding="utf-8"))
        # Great Expectations 1.24 counts the folders above a page of results wrongly
        page.write_text(re.sub(r"([\"'])(?:\.\./)*static/", rf"\1{up}static/", text), encoding="utf-8")
