"""Local servers that speak Kaggle's and Roboflow's protocols, as their clients send them, and fail on demand."""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import random
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.pictures import encode, radiograph

USER, KEY = "curator", "kEy-0123456789abcdef"


def archive(count: int, extra: bytes = b"") -> bytes:
    """A zip of small radiographs in folders that name split, part and state."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(count):
            place = f"{'train' if number % 3 else 'test'}/{'hand' if number % 2 else 'knee'}/fractured/{number}.jpg"
            file.writestr(place, encode(radiograph(number, size=(60, 64))) + extra)
    return buffer.getvalue()


@dataclass
class Publisher:
    """What is published, and what goes wrong next. Numbers count down as they happen."""

    archive: bytes
    version: int = 1
    refuse: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers of the next answers to calls of the API."""
    cuts: int = 0
    """Downloads that break off at a random byte."""
    ranges: bool = True
    ignores_conditions: bool = False
    """Whether a range is given of a file that is another one by now."""
    wrong_checksums: int = 0
    expired_links: int = 0
    pending: int = 0
    """Looks at the export before it is ready."""
    random: random.Random = field(default_factory=lambda: random.Random(1))
    calls: list[str] = field(default_factory=list)
    """Every request: method and path, without query."""
    url: str = ""

    @property
    def downloads(self) -> int:
        return sum(call.startswith("GET /storage/") for call in self.calls)

    @property
    def api_calls(self) -> int:
        return len(self.calls) - self.downloads


@contextmanager
def serve(state: Publisher) -> Iterator[Publisher]:
    """Serve on a free loopback port until the block ends."""
    handler = type("Handler", (_Handler,), {"state": state})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    state: Publisher

    def do_POST(self) -> None:
        """Kaggle: `POST /v1/SERVICE/METHOD` with the request as JSON."""
        path = self._note()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if self._refused():
            return
        if given not in (basic, f"Bearer {KEY}"):
            self._json({"code": 401, "message": "Unauthenticated"}, 401)
        elif (body["ownerSlug"], body["datasetSlug"]) != ("owner", "name"):
            self._json({"code": 404, "message": "Not found"}, 404)
        elif path == "/v1/datasets.DatasetApiService/GetDataset":
            self._json({"currentVersionNumber": self.state.version, "licenseName": "CC0-1.0"})
        elif path == "/v1/datasets.DatasetApiService/DownloadDataset":
            self.send_response(302)
            self.send_header("Location", f"{self.state.url}/storage/{body['datasetVersionNumber']}?signature={KEY}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._json({"code": 404, "message": "no such method"}, 404)

    def do_GET(self) -> None:
        """Roboflow: `GET /WORKSPACE/PROJECT[/VERSION[/FORMAT]]?api_key=`; and the storage behind signed links."""
        path, query = self._note(), parse_qs(urlsplit(self.path).query)
        if path.startswith("/storage/"):
            self._storage()
            return
        if self._refused():
            return
        if query.get("api_key") != [KEY]:
            self._json({"error": {"message": "This API key does not exist", "type": "OAuthException"}}, 401)
            return
        state, project = self.state, {"id": "owner/name", "name": "name", "license": "CC BY 4.0"}
        known = re.fullmatch(r"/owner/name(?:/(\d+)(?:/(\w+))?)?", path)
        if known is None:
            self._json({"error": {"message": "Project does not exist", "type": "GraphMethodException"}}, 404)
        elif known[1] is None:
            versions = [{"id": f"owner/name/{n}", "images": 3} for n in range(1, state.version + 1)]
            self._json({"workspace": {}, "project": project, "versions": versions})
        elif known[2] is None:
            version = {"id": path[1:], "generating": state.pending > 2, "progress": 0.5, "images": 3}
            state.pending -= state.pending > 2
            self._json({"workspace": {}, "project": project, "version": version})
        elif state.pending:
            state.pending -= 1
            self._json({"progress": 0.25}, 202)
        else:
            link = f"{state.url}/storage/{known[1]}?key={KEY}"
            self._json({"export": {"format": known[2], "link": link}, "project": project, "version": {"id": path[1:]}})

    def do_HEAD(self) -> None:
        self._note()
        self.send_error(405)

    def _storage(self) -> None:
        state = self.state
        if state.expired_links:
            state.expired_links -= 1
            self._json({"error": "expired"}, 403)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        etag = f'"{hashlib.md5(state.archive).hexdigest()}"'
        same = self.headers.get("If-Range", etag) == etag or state.ignores_conditions
        start = int(asked[1]) if asked and state.ranges and same else 0
        if start >= len(state.archive):
            self._json({"error": "range"}, 416)
            return
        whole = hashlib.md5(state.archive if not state.wrong_checksums else b"other").digest()
        self.send_response(206 if start else 200)
        self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(state.archive) - 1}/{len(state.archive)}")
        self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={base64.b64encode(whole).decode()}")
        rest = state.archive[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        state.wrong_checksums -= bool(state.wrong_checksums)
        if state.cuts:
            state.cuts -= 1
            rest = rest[: state.random.randrange(1, len(state.archive) // 25)]
            self.close_connection = True
        self.wfile.write(rest)

    def _note(self) -> str:
        path = urlsplit(self.path).path
        self.state.calls.append(f"{self.command} {path}")
        return path

    def _refused(self) -> bool:
        if not self.state.refuse:
            return False
        status, headers = self.state.refuse.pop(0)
        self._json({"message": "refused"}, status, headers)
        return True

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None: ...
