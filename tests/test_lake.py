"""The lake on a real S3 server."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest
import trustme
import urllib3
from minio import Minio
from pydantic import SecretStr, ValidationError

from osteon.cli import entry
from osteon.embedded.ports import free_ports
from osteon.errors import LakeError, LakeUnreachableError
from osteon.lake import Lake, derived_key, image_key, newest_first
from osteon.settings import Settings, load_settings
from tests.runs import until_later_than


def test_an_image_is_kept_once_under_its_digest(lake: Lake) -> None:
    data = b"some image"
    digest, uploaded = lake.put_image(data)
    assert (digest, uploaded) == (hashlib.sha256(data).hexdigest(), True)
    assert lake.put_image(data) == (digest, False)
    assert lake.get_image(digest) == data
    assert list(lake.keys("images/")) == [image_key(digest)]


def test_of_several_writers_of_a_new_object_one_puts_it(lake: Lake) -> None:
    values = [f"writer {number}".encode() for number in range(8)]
    with ThreadPoolExecutor(len(values)) as threads:
        put = list(threads.map(lambda value: lake.put_new("new", value, "text/plain"), values))
    assert sum(put) == 1 and lake.get_bytes("new") == values[put.index(True)]
    assert not lake.put_new("new", b"later") and lake.get_bytes("new") == values[put.index(True)]
    assert lake.client.stat_object(lake.bucket, "new").content_type == "text/plain"


def test_a_new_object_that_the_store_refuses_is_an_error(settings: Settings, lake: Lake) -> None:
    host, region = urlsplit(settings.s3_endpoint).netloc, settings.s3_region
    client = Minio(host, access_key=settings.s3_access_key, secret_key="wrong", secure=False, region=region)
    stranger = Lake(client, lake.http, lake.bucket)
    with pytest.raises(LakeError, match="status 403"):
        stranger.put_new("new", b"data")
    assert not lake.exists("new")


def test_an_altered_image_is_not_given_out(lake: Lake) -> None:
    digest, _ = lake.put_image(b"right")
    lake.put_bytes(image_key(digest), b"wrong")
    with pytest.raises(LakeError, match="altered"):
        lake.get_image(digest)


def test_an_upload_that_breaks_off_leaves_no_object(lake: Lake, settings: Settings) -> None:
    """The bytes of a real, signed upload are cut in half on the wire."""
    target = urlsplit(settings.s3_endpoint)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        cut = threading.Thread(target=_pass_half, args=(proxy, (target.hostname, target.port), 60_000))
        cut.start()
        client = Lake.from_settings(settings)
        data = bytes(range(256)) * 1000
        key = image_key(hashlib.sha256(data).hexdigest())
        request = _signed_put(client, key, data, f"127.0.0.1:{proxy.getsockname()[1]}")
        with socket.create_connection(proxy.getsockname()) as wire:
            wire.sendall(request)
        cut.join()
    assert not lake.exists(key)
    assert lake.put_image(data)[1], "the retry uploads it"


def _signed_put(lake: Lake, key: str, data: bytes, host: str) -> bytes:
    url = urlsplit(lake.client.presigned_put_object(lake.bucket, key))
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _pass_half(proxy: socket.socket, target: tuple[str, int], count: int) -> None:
    inner, _ = proxy.accept()
    with inner, socket.create_connection(target) as outer:
        sent = 0
        while sent < count and (chunk := inner.recv(min(8192, count - sent))):
            outer.sendall(chunk)
            sent += len(chunk)


def test_tables_and_json_come_back_as_they_went(lake: Lake) -> None:
    table = pd.DataFrame(
        {"name": pd.array(["ä", None], dtype="string"), "flag": pd.array([True, None], dtype="boolean")}
    )
    lake.put_table("t.parquet", table)
    pd.testing.assert_frame_equal(lake.get_table("t.parquet"), table)
    lake.put_json("t.json", {"ß": [1, None]})
    assert lake.get_json("t.json") == {"ß": [1, None]}


def test_what_is_absent_is_named(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"holds no catalogue/x\.parquet"):
        lake.get_bytes("catalogue/x.parquet")


def test_folders_go_up_and_down(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.html").write_text("page")
    assert lake.put_folder("docs", tmp_path / "a") == 1
    assert lake.get_folder("docs", tmp_path / "back") == 1
    assert (tmp_path / "back" / "b" / "c.html").read_text() == "page"


def test_newest_is_by_time_not_by_how_it_is_written() -> None:
    dated = [(datetime(2026, month, day), f"{month}-{day}") for month, day in ((9, 28), (10, 5), (2, 9), (2, 10))]
    assert [name for _, name in newest_first(dated)] == ["10-5", "9-28", "2-10", "2-9"]


def test_the_newest_come_first_and_folders_can_be_removed(lake: Lake) -> None:
    for name in ("b", "a", "c"):
        lake.put_bytes(f"q/{name}/docs/index.html", b"x")
        lake.put_bytes(f"q/{name}/result.json", b"x")
        until_later_than(lake, f"q/{name}/result.json")
    assert lake.newest("q/", "/docs/index.html") == [f"q/{name}/docs/index.html" for name in ("c", "a", "b")]
    assert lake.remove_folder("q/a/docs") == 1
    assert sorted(lake.keys("q/a")) == ["q/a/result.json"] and lake.exists("q/b/docs/index.html")


def test_the_exit_status_says_whether_another_try_may_succeed(
    environment: dict[str, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["osteon", "compare", "--training", "models/none"])
    for endpoint, status in ((settings.s3_endpoint, 1), (f"http://127.0.0.1:{free_ports(1)[0]}", os.EX_TEMPFAIL)):
        monkeypatch.setenv("OSTEON_S3_ENDPOINT", endpoint)
        with pytest.raises(SystemExit) as ended:
            entry()
        assert ended.value.code == status


def test_wrong_keys_and_a_dead_endpoint_name_their_remedy(settings: Settings) -> None:
    wrong = settings.model_copy(update={"s3_secret_key": SecretStr("wrong")})
    with pytest.raises(LakeError, match="OSTEON_S3_SECRET_KEY") as caught:
        Lake.from_settings(wrong)
    assert "wrong" not in str(caught.value)
    with pytest.raises(LakeError, match="OSTEON_S3_ENDPOINT"):
        Lake.from_settings(settings.model_copy(update={"s3_endpoint": "minio:9000"}))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def behind_tls(settings: Settings, authority: trustme.CA) -> Iterator[str]:
    """The store's address behind HTTPS, whose certificate no public authority signed."""

    class Forwards(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = settings.s3_endpoint + self.path
            answer = urllib3.request(self.command, url, headers=dict(self.headers), body=body)
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.data)

        do_GET = do_PUT = do_HEAD  # noqa: N815

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Forwards) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who mistrusts it hangs up
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_private_authority_is_trusted_by_its_file_only(
    settings: Settings, behind_tls: str, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    trusting = settings.model_copy(update={"s3_endpoint": behind_tls, "s3_ca": file})
    digest, uploaded = Lake.from_settings(trusting).put_image(b"some image")
    assert uploaded and Lake.from_settings(settings).get_image(digest) == b"some image"
    with pytest.raises(LakeError, match=r"127\.0\.0\.1.* is not trusted .*OSTEON_S3_CA") as refused:
        Lake.from_settings(settings.model_copy(update={"s3_endpoint": behind_tls}))
    assert not isinstance(refused.value, LakeUnreachableError), "another try would not help"
    with pytest.raises(ValidationError, match="s3_ca"):
        load_settings(s3_ca=tmp_path / "absent.pem")


def test_a_derived_key_depends_on_every_input() -> None:
    keys = {derived_key("s", 1, "a"), derived_key("s", 2, "a"), derived_key("s", 1, "b"), derived_key("t", 1, "a")}
    assert len(keys) == 4
    assert derived_key("s", 1, "a") in keys
