"""Downloads that go on where they stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from osteon.errors import SourceError
from osteon.settings import Settings

CHUNK = 64 << 10
"""Bytes written at once; what came since the last full chunk is lost when a connection breaks."""
ATTEMPTS = 6


class TransientError(Exception):
    """The server or the connection failed in a way that may pass."""


def is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def shown(url: str) -> str:
    """The URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def remote_version(url: str, settings: Settings) -> dict[str, str | None]:
    """What tells one version of a remote file from the next: ETag, date and length."""
    with _request("HEAD", url, settings, {}) as answer:
        return {name: answer.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")}


def download(url: str, version: str, settings: Settings) -> Path:
    """Fetch the file into `state_dir/downloads`, going on where an earlier try stopped. Returns its path.

    Raises `SourceError`: refused (with the remedy), or still broken after several tries.
    """
    folder = settings.state_dir / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(f"{url}|{version}".encode()).hexdigest()[:24]
    target, part, note = folder / f"{name}.zip", folder / f"{name}.part", folder / f"{name}.json"
    if not target.exists():
        try:
            _fetch(url, part, note, settings)
        except TransientError as error:
            raise SourceError(
                f"{shown(url)} broke off {ATTEMPTS} times ({error}): run again, it goes on where it stopped"
            ) from error
        part.rename(target)
        note.unlink(missing_ok=True)
    return target


@retry(
    retry=retry_if_exception_type(TransientError),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=0.2, max=30),
    reraise=True,
)
def _fetch(url: str, part: Path, note: Path, settings: Settings) -> None:
    have = part.stat().st_size if part.exists() else 0
    etag = json.loads(note.read_text())["etag"] if note.exists() else None
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if have and etag else {}
    with _request("GET", url, settings, headers) as answer:
        goes_on = answer.status_code == 206
        note.write_text(json.dumps({"etag": answer.headers.get("ETag")}))
        length = answer.headers.get("Content-Length")
        expected = (have if goes_on else 0) + int(length) if length else None
        try:
            with part.open("ab" if goes_on else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
        except requests.RequestException as error:
            raise TransientError(str(error)) from error
    if expected is not None and part.stat().st_size != expected:
        raise TransientError(f"{part.stat().st_size} of {expected} bytes")


@retry(
    retry=retry_if_exception_type(TransientError),
    stop=stop_after_attempt(ATTEMPTS),
    wait=wait_exponential(multiplier=0.2, max=30),
    reraise=True,
)
def _request(method: str, url: str, settings: Settings, headers: dict[str, str]) -> requests.Response:
    plain = {"Accept-Encoding": "identity", **headers}
    try:
        answer = requests.request(
            method, url, headers=plain, timeout=settings.http_timeout, stream=True, allow_redirects=True
        )
    except requests.RequestException as error:
        raise TransientError(f"{type(error).__name__} at {shown(url)}") from error
    if answer.status_code == 429 or answer.status_code >= 500:
        answer.close()
        raise TransientError(f"status {answer.status_code}")
    if answer.status_code >= 400:
        answer.close()
        remedy = {401: "it wants a log-in", 403: "access is refused", 404: "it is gone"}.get(answer.status_code, "")
        raise SourceError(
            f"{shown(url)} answered {answer.status_code}: {remedy or 'correct'} - check `location` in the sources file"
        )
    return answer
