"""Who is champion is asked of a real MLflow, and what happens where that does not answer, or refuses."""

from __future__ import annotations

import html
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from osteon.embedded.ports import free_ports
from osteon.errors import RegistryError, RegistryUnreachableError, RetryableError
from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.data import champions_classes
from osteon.pipeline.local import prepare
from osteon.pipeline.stages import GATE, GROUP, INSPECT, REPAIR, REPORT, REVIEW, VALIDATE, run_stage
from osteon.pipeline.training import champion_training
from osteon.quality.findings import Finding, Validation, read_validation
from osteon.records import CatalogKey
from osteon.registry import client as registry
from osteon.registry.client import connect
from osteon.settings import Settings
from osteon.training.promotion import CHAMPION
from tests.runs import ingested


@pytest.fixture
def sources(tmp_path: Path, lake: Lake) -> str:
    """A sources file with one source, whose model is called as the test's bucket."""
    entry = {"name": "s", "kind": "phantom", "licence": "CC0-1.0", "images": 120, "longer_side": [60, 80]}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"model": lake.bucket, "sources": [entry]}))
    return str(path)


@pytest.fixture
def reviewed(environment: dict[str, str], sources: str) -> tuple[Context, CatalogKey]:
    context = Context.open("prepared")
    return context, prepare(context, sources, INSPECT, REPAIR, GROUP, REVIEW)


def validated(context: Context, catalog: CatalogKey, sources: str) -> Validation:
    manifests = [ingested(context).manifest]
    record = run_stage(VALIDATE, context, catalog=catalog, manifests=manifests, sources=sources)
    return read_validation(context.lake, record.validation)


def finding(found: Validation, check: str) -> Finding | None:
    return next((one for one in found.findings if one.check == check), None)


def add_version(client: Any, name: str, **tags: str) -> str:
    """A version of a model, as somebody may register it without Osteon; `tags` are Osteon's."""
    kept = {f"osteon.{key}": value for key, value in tags.items()}
    return str(client.create_model_version(name, "s3://elsewhere/model", tags=kept).version)


def first_form(images_by_class: dict[str, int]) -> dict[str, Any]:
    """A training's result in its first form, before results had a type."""
    counts = {"images": {"train": 9}, "learnt_from": 9, "images_by_class": images_by_class}
    names = {"key": "x", "model": "cnn_bilstm", "snapshot": "x", "snapshot_key": "x", "budget": "smoke", "seed": 0}
    return {**names, **counts, "classes": [], "design": {}, "metrics": {}, "intervals": {}}


def test_the_champion_is_the_version_that_the_alias_names_whoever_moved_it(
    reviewed: tuple[Context, CatalogKey], lake: Lake, sources: str, caplog: pytest.LogCaptureFixture
) -> None:
    context, catalog = reviewed
    name, client = lake.bucket, connect(context.settings)
    before = f"champions/{name}.json"  # an earlier Osteon left it
    lake.put_bytes(before, b"{")
    first = validated(context, catalog, sources)
    assert {one.check for one in first.findings}.isdisjoint({"class_shift", "class_shift_unknown"})
    assert champion_training(context, sources) == "", "nobody is champion"

    now = {kind: sum(counts.values()) for kind, counts in first.classes.items()}
    lake.put_json("models/alike/result.json", first_form(now))
    skewed = first_form(now) | {"published_by_class": now | {"knee/fractured": 10_000}}
    lake.put_json("models/skewed/result.json", skewed)
    client.create_registered_model(name)
    alike = add_version(client, name, training="models/alike", catalog="review/before.parquet")
    other = add_version(client, name, training="models/skewed", catalog="review/before.parquet")
    foreign = add_version(client, name)

    client.set_registered_model_alias(name, CHAMPION, alike)
    assert champions_classes(context, catalog, sources) == (now, "")
    assert champion_training(context, sources) == "models/alike"
    client.set_registered_model_alias(name, CHAMPION, other)  # by hand
    shift = finding(validated(context, catalog, sources), "class_shift")
    assert shift is not None and "knee/fractured" in shift.message
    assert champion_training(context, sources) == "models/skewed"
    client.set_model_version_tag(name, other, "osteon.catalog", catalog)
    assert champions_classes(context, catalog, sources) == ({}, ""), "it learnt from this very catalog"

    client.set_registered_model_alias(name, CHAMPION, foreign)
    unknown = f"Osteon did not register version {foreign}, the champion"
    assert champions_classes(context, catalog, sources) == ({}, unknown)
    assert caplog.messages[-1].endswith(f"compared with those that the champion learnt: {unknown}")
    assert champion_training(context, sources) == ""
    client.set_registered_model_alias(name, CHAMPION, alike)
    lake.put_json("models/alike/result.json", {"images_by_class": now})
    learnt, unknown = champions_classes(context, catalog, sources)
    assert learnt == {} and unknown.startswith("models/alike/result.json holds no TrainingResult that this version")
    assert champion_training(context, sources) == ""
    lake.remove("models/alike/result.json")
    learnt, unknown = champions_classes(context, catalog, sources)
    assert learnt == {} and unknown.startswith("the lake holds no models/alike, the training of version")
    assert champion_training(context, sources) == ""
    assert [(key, lake.get_bytes(key)) for key in lake.keys("champions/")] == [(before, b"{")]


def test_without_a_registry_a_run_goes_on_and_says_what_was_not_compared(
    reviewed: tuple[Context, CatalogKey], lake: Lake, sources: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, catalog = reviewed
    with_registry = validated(context, catalog, sources)
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("OSTEON_MLFLOW_URL", url)
    alone = Context.open("prepared")
    found = validated(alone, catalog, sources)
    told = finding(found, "class_shift_unknown")
    assert told is not None and told.severity == "info" and not found.stops
    assert f"no MLflow answers at {url}" in told.message and finding(found, "class_shift") is None
    pages = [key for key in lake.keys(found.docs) if key.endswith(".html")]
    assert any("champion" in key for key in pages) and not any("catalog-shift" in key for key in pages)
    run_stage(GATE, alone, validation=found.key, sources=sources)
    assert told.message in html.unescape(lake.get_bytes(run_stage(REPORT, alone).page).decode())
    assert validated(alone, catalog, sources).key == found.key, "nothing has changed"
    assert validated(context, catalog, sources).key == with_registry.key != found.key

    start = time.monotonic()
    with pytest.raises(RegistryUnreachableError, match=rf"{url}: start it, or .*OSTEON_MLFLOW_URL") as raised:
        champion_training(alone, sources)
    assert isinstance(raised.value, RetryableError) and time.monotonic() - start < 5


def test_a_registry_that_takes_connections_and_never_answers_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "PATIENCE", 1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(RegistryUnreachableError, match=url):
            connect(settings.model_copy(update={"mlflow_url": url}))
        assert time.monotonic() - start < 10
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77" and "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@contextmanager
def answering(status: int, body: bytes, authority: trustme.CA | None = None) -> Iterator[str]:
    """The address of a server that answers every request alike; with an authority, behind HTTPS."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who mistrusts it hangs up
        if authority is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{'https' if authority else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("status", "again"), [(401, False), (403, False), (404, False), (503, True)])
def test_what_a_registry_answers_says_whether_to_try_again(settings: Settings, status: int, again: bool) -> None:
    with answering(status, b"no") as url, pytest.raises(RegistryError, match=url) as raised:
        connect(settings.model_copy(update={"mlflow_url": url}))
    assert isinstance(raised.value, RetryableError) is again
    assert again or "MLFLOW_TRACKING_PASSWORD" in str(raised.value)


def test_an_address_that_is_empty_and_a_private_authority_are_told(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryError, match="OSTEON_MLFLOW_URL is empty"):
        connect(settings.model_copy(update={"mlflow_url": ""}))
    authority = trustme.CA()
    with answering(200, b"{}", authority) as url:
        there = settings.model_copy(update={"mlflow_url": url})
        with pytest.raises(RegistryError, match=r"not trusted: .* MLFLOW_TRACKING_SERVER_CERT_PATH") as raised:
            connect(there)
        assert not isinstance(raised.value, RetryableError), "another try would not help"
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "ca.pem"))
        connect(there)
