"""Pages in Airflow: the runs, their reports and Data Docs, read from the lake by people who are logged in."""

from __future__ import annotations

import html
import mimetypes
import re
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from osteon.errors import LakeError
from osteon.images.errors import UndecodableError
from osteon.lake import Lake
from osteon.quality.pictures import png, scaled
from osteon.reports.summary import Summary
from osteon.settings import load_settings
from osteon_airflow.links import PAGES

READABLE = re.compile(r"(runs/[^/]+/report|quality/[^/]+/docs)/.+")
"""What of the lake is shown as it is; of images only thumbnails are."""
MOST_RUNS = 50
THUMBNAIL = 512
"""Pixels."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
}
STYLE = (
    "body{font-family:Helvetica,Arial,sans-serif;margin:24px;color:#1c2530;background:#fff}"
    "table{border-collapse:collapse}td,th{text-align:left;padding:6px 16px 6px 0;border-bottom:1px solid #e3e6ea}"
)
app = FastAPI(title="Osteon", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])


@app.exception_handler(401)
def log_in(request: Request, error: HTTPException) -> Response:  # noqa: ARG001 - as FastAPI calls it
    """People who follow a link in a mail are led to the log-in, and from there back."""
    return RedirectResponse(f"/auth/login/?next={quote(str(request.url), safe='')}", status_code=303)


@app.get("/")
def runs() -> Response:
    """The newest runs, with their reports and Data Docs."""
    lake = Lake.from_settings(load_settings())
    found = lake.newest("runs/", "/summary.json")[:MOST_RUNS]
    rows = [_row(lake, key) for key in found]
    table = "<tr><th>run</th><th>images</th><th>snapshot</th><th>findings</th><th></th></tr>" + "".join(rows)
    body = f"<table>{table}</table>" if rows else "<p>No run has left a report yet.</p>"
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Osteon</title><style>{STYLE}</style>"
    return HTMLResponse(f"{page}<h1>X-ray data and models</h1>{body}</html>", headers=HEADERS)


def _row(lake: Lake, key: str) -> str:
    """The line about a run; of a run whose summary cannot be read only its name."""
    cells: list[object] = [key.split("/")[1], None, None, "its summary cannot be read"]
    links = []
    if summary := lake.find_model(Summary, key):
        cells = [summary.run, summary.images, summary.snapshot, None if summary.alerts is None else len(summary.alerts)]
        links = [("report", summary.report)]
        if summary.data_docs and lake.exists(f"{summary.data_docs}/index.html"):
            links.append(("Data Docs", f"{summary.data_docs}/index.html"))
    linked = " &middot; ".join(f"<a href='{PAGES}/lake/{quote(key)}'>{name}</a>" for name, key in links)
    texts = "".join(f"<td>{html.escape('–' if cell is None else str(cell))}</td>" for cell in cells)
    return f"<tr>{texts}<td>{linked}</td></tr>"


@app.get("/lake/{key:path}")
def lake_file(key: str) -> Response:
    """A file of a report or of Data Docs."""
    if not READABLE.fullmatch(key) or ".." in key.split("/"):
        raise HTTPException(404, "there is no such page")
    try:
        data = Lake.from_settings(load_settings()).get_bytes(key)
    except LakeError as error:
        raise HTTPException(404, str(error)) from None
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return Response(data, media_type=kind, headers=HEADERS)


@app.get("/thumbnail/{sha256}.png")
def thumbnail(sha256: str) -> Response:
    """An image as people look at it who label it: scaled, and without metadata."""
    settings = load_settings()
    try:
        pixels = scaled(Lake.from_settings(settings), sha256, settings.max_pixels, THUMBNAIL)
    except (LakeError, UndecodableError) as error:
        raise HTTPException(404, str(error)) from None
    return Response(png(pixels), media_type="image/png", headers=HEADERS)


class OsteonPlugin(AirflowPlugin):
    name = "osteon"
    fastapi_apps = [{"app": app, "url_prefix": PAGES, "name": "Osteon"}]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012
        {"name": "X-ray reports", "href": f"{PAGES}/", "destination": "nav", "url_route": "xray-reports"}
    ]
