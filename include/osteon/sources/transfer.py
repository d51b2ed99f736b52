"""Requests to publishers: what is tried again and what is not, and downloads that go on where they stopped."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from osteon.errors import SourceError, SourceUnreachableError
from osteon.progress import Meter
from osteon.settings import Settings

CHUNK = 256 << 10
"""Bytes written at once, at most."""
ATTEMPTS = 6
"""In a row without progress."""
LONGEST_WAIT = 600.0
"""Seconds; a server that asks for more is asked again after these."""
LOCATION = "check `location` in the sources file"
Result = TypeVar("Result")


class TransientError(Exception):
    """The server or the connection failed in a way that may pass; `wait` are the seconds that the server asks for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def patiently(what: str, work: Callable[[], Result], progress: Callable[[], int] = lambda: 0) -> Result:
    """Call `work` until it raises no `TransientError`, with growing pauses or as long as the server asks.

    Raises `SourceError` after ATTEMPTS failures in a row without progress.
    """
    failures, reached = 0, progress()
    while True:
        try:
            return work()
        except TransientError as error:
            now = progress()
            failures = 1 if now > reached else failures + 1
            reached = max(reached, now)
            reason, wait = str(error), error.wait
        if failures == ATTEMPTS:
            raise SourceUnreachableError(
                f"{what} failed {ATTEMPTS} times in a row ({reason}): run again later, it goes on then"
            )
        time.sleep(min(0.2 * 2**failures if wait is None else wait, LONGEST_WAIT))


def judge(answer: requests.Response, who: str, remedy: str, good: tuple[int, ...] = ()) -> None:
    """Raise `TransientError` for 429 and 5xx, `SourceError` with the remedy for any other refusal, at once.

    `good` are the only statuses that will do; by default all below 400.
    """
    status = answer.status_code
    if status in good or (not good and status < 400):
        return
    answer.close()
    if status == 429 or status >= 500:
        raise TransientError(f"{who} answered {status}", _asked_wait(answer))
    meaning = {
        202: "it wants a browser",
        401: "it wants a log-in",
        403: "access is refused",
        404: "it is not there",
        410: "it is gone",
    }
    raise SourceError(f"{who} answered {status}, {meaning.get(status, 'it refuses the request')}: {remedy}")


def send(call: Callable[[], Result], who: str) -> Result:
    """Make a request; what fails on the way is a `TransientError` that shows no URL, for URLs may hold keys."""
    try:
        return call()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        kind = type(error).__name__
    raise TransientError(f"{kind} at {who}")


def enquire(who: str, call: Callable[[], Result]) -> Result:
    """A publisher's client called as `patiently` does. Raises `SourceError`, for an odd answer as well."""
    try:
        return patiently(who, lambda: send(call, who))
    except (LookupError, TypeError, ValueError) as error:
        raise SourceError(f"{who} gave an answer that is not understood ({type(error).__name__}): try later") from None


def is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def shown(url: str) -> str:
    """The URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def remote_version(url: str, settings: Settings) -> dict[str, str | None]:
    """What tells one version of a remote file from the next: ETag, date, length. Raises `SourceError` without any."""

    def ask() -> dict[str, str | None]:
        answer = _request("HEAD", url, settings, {})
        if answer.status_code in (403, 405, 501):  # links may be signed for GET only, servers may know no HEAD
            answer.close()
            answer = _request("GET", url, settings, {})
        with answer:
            judge(answer, shown(url), LOCATION, (200,))
            return {name: answer.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")}

    found = patiently(shown(url), ask)
    if not any(found.values()):
        raise SourceError(
            f"{shown(url)} tells neither ETag nor date nor length, so nobody could see that it changed: "
            "download it, and give the file as `location`"
        )
    return found


def download(source: str, version: str, link: Callable[[], str], settings: Settings, *, signed: bool = False) -> Path:
    """Fetch a version of a source into `state_dir/downloads`, going on where an earlier try stopped. Returns its path.

    `link` gives the URL, anew for every try; a `signed` one expires, so a refusal asks for another instead of ending
    it. What other versions of the source left behind is deleted. A checksum in the answer is checked. Raises
    `SourceError`: refused (with the remedy), or broken several times without progress.
    """
    folder = settings.state_dir / "downloads" / source
    folder.mkdir(parents=True, exist_ok=True)
    target, part, note = (folder / f"{version}.{ending}" for ending in ("zip", "part", "json"))
    for stale in set(folder.iterdir()) - {target, part, note}:
        stale.unlink()
    if not target.exists():
        patiently(
            f"the download of {source}",
            lambda: _fetch(link(), part, note, settings, signed, source),
            lambda: part.stat().st_size if part.exists() else 0,
        )
        part.rename(target)
        note.unlink(missing_ok=True)
    return target


def _etag(note: Path) -> str | None:
    """The ETag of what the part holds; a note that a killed process left half-written tells none."""
    try:
        return str(json.loads(note.read_text())["etag"] or "") or None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _fetch(url: str, part: Path, note: Path, settings: Settings, signed: bool, source: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    etag = _etag(note) if have else None
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if etag else {}
    with _request("GET", url, settings, headers) as answer:
        if signed and answer.status_code in (400, 401, 403, 404, 410):
            raise TransientError(f"the signed link to {shown(url)} is no longer good ({answer.status_code})")
        goes_on = answer.status_code == 206
        if answer.status_code == 416 or (goes_on and not _continues(answer, have, etag)):
            part.unlink(missing_ok=True)
            raise TransientError(f"what {shown(url)} has is not what came before")
        judge(answer, shown(url), LOCATION, (200, 206))
        note.write_text(json.dumps({"etag": answer.headers.get("ETag")}))
        length, checksum = answer.headers.get("Content-Length"), _published_md5(answer)
        start = have if goes_on else 0
        expected = start + int(length) if length else None

        def write() -> None:
            with (
                part.open("ab" if goes_on else "wb") as file,
                Meter(f"download {source}", expected, "B", start) as meter,
            ):
                while chunk := answer.raw.read1(CHUNK):  # what has come, so that a break loses nothing
                    file.write(chunk)
                    meter.add(len(chunk))

        send(write, shown(url))
    if expected is not None and part.stat().st_size != expected:
        raise TransientError(f"{part.stat().st_size} of {expected} bytes came")
    if checksum is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        if found != checksum:
            part.unlink()
            raise TransientError("what came does not have the MD5 that the publisher gives")
    if not zipfile.is_zipfile(part):
        part.unlink()
        raise TransientError("what came is no zip")


def _continues(answer: requests.Response, have: int, etag: str | None) -> bool:
    """Whether a partial answer starts where the part ends, and is of the same file."""
    starts = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return starts and answer.headers.get("ETag", etag) == etag


def _request(method: str, url: str, settings: Settings, headers: dict[str, str]) -> requests.Response:
    plain = {"Accept-Encoding": "identity", **headers}
    timeout = settings.http_timeout
    return send(
        lambda: requests.request(method, url, headers=plain, timeout=timeout, stream=True, allow_redirects=True),
        shown(url),
    )


def _published_md5(answer: requests.Response) -> bytes | None:
    """MD5 of the whole file, from `x-goog-hash: crc32c=...,md5=...` (Google Cloud Storage) or `Content-MD5` (RFC 1864).

    `Content-MD5` of a partial answer is that of the part, and tells nothing here.
    """
    named = dict(item.strip().split("=", 1) for item in answer.headers.get("x-goog-hash", "").split(",") if "=" in item)
    text = named.get("md5") or (answer.headers.get("Content-MD5") if answer.status_code == 200 else None)
    return base64.b64decode(text) if text else None


def _asked_wait(answer: requests.Response) -> float | None:
    """Seconds of `Retry-After`, which holds seconds or a date (RFC 9110, 10.2.3)."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
