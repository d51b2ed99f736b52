"""Requests to publishers: what is tried again and what is not, and downloads that go on where they stopped.

`urllib3.Retry` serves where one request is one answer, as in the lake. Here the body of a download may break off: a try
that brought more bytes counts as progress, and a signed link is asked for anew.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from osteon.errors import SourceError, SourceUnreachableError
from osteon.images.content import HEAD, READABLE_ARCHIVES, UNKNOWN, content_of
from osteon.progress import ProgressLogger
from osteon.settings import SourceSettings
from osteon.sources.containers import is_archive, no_archive

CHUNK = 256 << 10
"""Bytes written at once, at most."""
MAX_ATTEMPTS = 6
"""Failures in a row without progress, after which no other try is made."""
MAX_WAIT = 600.0
"""Seconds; a server that asks for more is asked again after these."""
LOCATION = "check `location` in the sources file"
Result = TypeVar("Result")


class TransientError(Exception):
    """The server or the connection failed in a way that may pass; `wait` are the seconds that the server asks for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def retry(what: str, work: Callable[[], Result], progress: Callable[[], int] = lambda: 0) -> Result:
    """Call `work` until it raises no `TransientError`, with growing pauses or as long as the server asks.

    Args:
        what: What is tried, for the error.
        work: The call.
        progress: How much was reached so far, such as bytes that came. A try that reaches more starts the count anew.

    Returns:
        What `work` returns.

    Raises:
        SourceUnreachableError: MAX_ATTEMPTS failures in a row without progress.
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
        if failures == MAX_ATTEMPTS:
            raise SourceUnreachableError(
                f"{what} failed {MAX_ATTEMPTS} times in a row ({reason}): run again later, it goes on then"
            )
        time.sleep(min(0.2 * 2**failures if wait is None else wait, MAX_WAIT))


def raise_for_status(answer: requests.Response, who: str, remedy: str, good: tuple[int, ...] = ()) -> None:
    """Do nothing for an answer that will do.

    Args:
        answer: The answer. It is closed where it is refused.
        who: The publisher, for the error.
        remedy: What a person can do about a refusal.
        good: The only statuses that will do; by default all below 400.

    Raises:
        TransientError: Status 429 or 5xx: another try may succeed.
        SourceError: Any other refusal.
    """
    status = answer.status_code
    if status in good or (not good and status < 400):
        return
    answer.close()
    if status == 429 or status >= 500:
        raise TransientError(f"{who} answered {status}", _requested_wait(answer))
    meaning = {
        202: "it wants a browser",
        401: "it wants a log-in",
        403: "access is refused",
        404: "it is not there",
        410: "it is gone",
    }
    raise SourceError(f"{who} answered {status}, {meaning.get(status, 'it refuses the request')}: {remedy}")


def translate_errors(call: Callable[[], Result], who: str) -> Result:
    """Make a request. What fails on the way is a `TransientError` that shows no URL, for URLs may hold keys."""
    try:
        return call()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        kind = type(error).__name__
    raise TransientError(f"{kind} at {who}")


def call_api(who: str, call: Callable[[], Result]) -> Result:
    """Ask a publisher, and try again as `retry` does.

    Args:
        who: The publisher, for errors.
        call: Makes one request, and reads the answer.

    Returns:
        What `call` returns.

    Raises:
        SourceError: The publisher refuses, cannot be reached, or gives an answer that `call` cannot read.
    """
    try:
        return retry(who, lambda: translate_errors(call, who))
    except (LookupError, TypeError, ValueError) as error:
        raise SourceError(f"{who} gave an answer that is not understood ({type(error).__name__}): try later") from None


def is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def redact_url(url: str) -> str:
    """The URL without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def remote_version(url: str, settings: SourceSettings) -> dict[str, str | None]:
    """What tells one version of a remote file from the next: ETag, date, length. Raises `SourceError` without any."""

    def ask() -> dict[str, str | None]:
        answer = _request("HEAD", url, settings, {})
        if answer.status_code in (403, 405, 501):  # links may be signed for GET only, servers may know no HEAD
            answer.close()
            answer = _request("GET", url, settings, {})
        with answer:
            raise_for_status(answer, redact_url(url), LOCATION, (200,))
            return {name: answer.headers.get(name) for name in ("ETag", "Last-Modified", "Content-Length")}

    found = retry(redact_url(url), ask)
    if not any(found.values()):
        raise SourceError(
            f"{redact_url(url)} tells neither ETag nor date nor length, so nobody could see that it changed: "
            "download it, and give the file as `location`"
        )
    return found


def download(
    source: str, version: str, link: Callable[[], str], settings: SourceSettings, *, signed: bool = False
) -> Path:
    """Fetch a version of a source into `state_dir/downloads`, going on where an earlier try stopped.

    What other versions of the source left behind is deleted. A checksum in the answer is checked. What is no archive
    by its first bytes is fetched no further.

    Args:
        source: Name of the source.
        version: What is fetched: names the file.
        link: Gives the URL, anew for every try.
        settings: The folder and the time limit.
        signed: Whether links expire, so that a refusal asks for another one instead of ending the download.

    Returns:
        The path of a zip or a tar, whatever its name says.

    Raises:
        SourceError: Refused, with the remedy, or no archive, or broken several times without progress.
    """
    folder = settings.state_dir / "downloads" / source
    folder.mkdir(parents=True, exist_ok=True)
    target, part, note = (folder / f"{version}.{ending}" for ending in ("zip", "part", "json"))
    for stale in set(folder.iterdir()) - {target, part, note}:
        stale.unlink()
    if not target.exists():
        retry(
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


def _fetch(url: str, part: Path, note: Path, settings: SourceSettings, signed: bool, source: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    etag = _etag(note) if have else None
    headers = {"Range": f"bytes={have}-", "If-Range": etag} if etag else {}
    with _request("GET", url, settings, headers) as answer:
        if signed and answer.status_code in (400, 401, 403, 404, 410):
            raise TransientError(f"the signed link to {redact_url(url)} is no longer good ({answer.status_code})")
        goes_on = answer.status_code == 206
        if answer.status_code == 416 or (goes_on and not _continues(answer, have, etag)):
            part.unlink(missing_ok=True)
            raise TransientError(f"what {redact_url(url)} has is not what came before")
        raise_for_status(answer, redact_url(url), LOCATION, (200, 206))
        note.write_text(json.dumps({"etag": answer.headers.get("ETag")}))
        length, checksum = answer.headers.get("Content-Length"), _published_md5(answer)
        start = have if goes_on else 0
        expected = start + int(length) if length else None
        if not _receive(answer, part, source, start, expected):
            _refuse(part, url, is_whole=True)
    if expected is not None and part.stat().st_size != expected:
        raise TransientError(f"{part.stat().st_size} of {expected} bytes came")
    if checksum is not None:
        with part.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        if found != checksum:
            part.unlink()
            raise TransientError("what came does not have the MD5 that the publisher gives")
    if not is_archive(part):
        _refuse(part, url, expected is not None)


def _receive(answer: requests.Response, part: Path, source: str, start: int, expected: int | None) -> bool:
    """Write an answer behind the first `start` bytes of the part. False where these bytes are no archive's."""

    def write() -> bool:
        with (
            part.open("r+b" if start else "w+b") as file,
            ProgressLogger(f"download {source}", expected, "B", start) as progress,
        ):
            head = file.read(HEAD)
            file.seek(start)
            while chunk := answer.raw.read1(CHUNK):  # what has come, so that a break loses nothing
                file.write(chunk)
                progress.add(len(chunk))
                if len(head) < HEAD:
                    head = (head + chunk)[:HEAD]
                    if len(head) == HEAD and not _may_be_archive(head):
                        return False
        return True

    return translate_errors(write, redact_url(answer.url))


def _may_be_archive(head: bytes) -> bool:
    content = content_of(head)
    return content is UNKNOWN or content in READABLE_ARCHIVES


def _refuse(part: Path, url: str, is_whole: bool) -> None:
    """Raise for what is no archive. Another try helps only where one may have broken off unseen."""
    with part.open("rb") as file:
        content = content_of(file.read(HEAD))
    part.unlink()
    if content not in READABLE_ARCHIVES:
        raise SourceError(f"what {redact_url(url)} gives is {no_archive(content)}, or {LOCATION}")
    if is_whole:
        raise SourceError(f"the archive at {redact_url(url)} has no end: the publisher has to mend it, or {LOCATION}")
    raise TransientError("the archive that came has no end")


def _continues(answer: requests.Response, have: int, etag: str | None) -> bool:
    """Whether a partial answer starts where the part ends, and is of the same file."""
    starts = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return starts and answer.headers.get("ETag", etag) == etag


def _request(method: str, url: str, settings: SourceSettings, headers: dict[str, str]) -> requests.Response:
    plain = {"Accept-Encoding": "identity", **headers}
    timeout = settings.http_timeout
    return translate_errors(
        lambda: requests.request(method, url, headers=plain, timeout=timeout, stream=True, allow_redirects=True),
        redact_url(url),
    )


def _published_md5(answer: requests.Response) -> bytes | None:
    """MD5 of the whole file, from `x-goog-hash: crc32c=...,md5=...` (Google Cloud Storage) or `Content-MD5` (RFC 1864).

    `Content-MD5` of a partial answer is that of the part, and tells nothing here.
    """
    named = dict(item.strip().split("=", 1) for item in answer.headers.get("x-goog-hash", "").split(",") if "=" in item)
    text = named.get("md5") or (answer.headers.get("Content-MD5") if answer.status_code == 200 else None)
    return base64.b64decode(text) if text else None


def _requested_wait(answer: requests.Response) -> float | None:
    """Seconds of `Retry-After`, which holds seconds or a date (RFC 9110, 10.2.3); None without a good one."""
    try:
        return urllib3.Retry().get_retry_after(answer.raw)
    except urllib3.exceptions.InvalidHeader:
        return None
