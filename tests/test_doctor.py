from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from osteon.doctor import MAIL_VARIABLE, Line, MailExtra, MailServer, examine
from osteon.embedded.ports import free_ports
from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.pseudonyms import patient_key
from osteon.settings import Settings


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    path = tmp_path / "sources.yaml"
    phantom = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0"}
    labels = {"part": {"constant": "hand"}}
    missing = {
        "name": "hands",
        "kind": "roboflow",
        "licence": "x",
        "project": "a/b",
        "format": "folder",
        "labels": labels,
    }
    path.write_text(yaml.safe_dump({"sources": [phantom, missing, {**missing, "name": "off", "enabled": False}]}))
    return path


def found(settings: Settings, sources: Path, *only: str) -> dict[str, Line]:
    return {line.name: line for line in examine(settings, sources, list(only) or None)}


def test_what_works_is_ok_and_a_source_without_a_key_says_what_to_do(
    stack: Stack, settings: Settings, lake: Lake, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MAIL_VARIABLE, stack.environment()[MAIL_VARIABLE])
    before = list(lake.keys(""))
    lines = found(settings, sources)
    assert {name for name, line in lines.items() if not line.ok} == {"source hands"}, lines
    assert "OSTEON_ROBOFLOW_API_KEY" in lines["source hands"].text
    assert re.search(r"osteon \d+\.\d+\.\d+\+[0-9a-f]{8}$", lines["code"].text)
    assert "sees no GPU" in lines["gpu"].text and settings.mail_to[0] in lines["mail"].text
    assert list(lake.keys("")) == before, "the probe is gone"


def test_what_does_not_work_says_where(settings: Settings, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv(MAIL_VARIABLE, f"smtp://ann:secret@127.0.0.1:{port}/?disable_ssl=true")
    wrong = settings.model_copy(
        update={"needs_gpu": True, "s3_secret_key": SecretStr("wrong"), "mlflow_url": f"http://127.0.0.1:{port}"}
    )
    lines = found(wrong, sources, "lake", "mlflow", "mail", "gpu")
    assert not any(line.ok for line in lines.values())
    assert str(port) in lines["mlflow"].text and "GPU variant" in lines["gpu"].text
    assert "secret" not in lines["mail"].text
    assert not found(settings, sources.with_name("none.yaml"), "sources")["sources"].ok
    monkeypatch.delenv(MAIL_VARIABLE)
    assert MAIL_VARIABLE in found(settings, sources, "mail")["mail"].text


GIVEN = {"host": "mail.org", "port": 2525, "login": "ann", "password": "p@ss"}


@pytest.mark.parametrize(
    ("told", "extra"),
    [
        ("smtp://ann:p%40ss@mail.org:2525/?disable_ssl=True", MailExtra(disable_ssl=True)),
        (json.dumps({**GIVEN, "port": "2525", "extra": None}), MailExtra()),
        (
            json.dumps({**GIVEN, "extra": json.dumps({"disable_tls": True})}),
            MailExtra(disable_tls=True),
        ),
    ],
)
def test_a_mail_server_is_read_as_airflow_writes_it(told: str, extra: MailExtra) -> None:
    server = MailServer.from_connection(told)
    assert server == MailServer.model_validate({**GIVEN, "extra": extra})


@pytest.mark.parametrize("told", ['{"password": "hidden"}', '{"password": "hidden"', "smtp://ann:hidden@/"])
def test_a_connection_that_names_no_server_is_refused_without_its_password(
    settings: Settings, sources: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv(MAIL_VARIABLE, told)
    line = found(settings, sources, "mail")["mail"]
    assert not line.ok and MAIL_VARIABLE in line.text and "hidden" not in line.text


def test_a_key_of_pseudonyms_that_the_lake_does_not_know_is_told_before_a_pull(
    settings: Settings, lake: Lake, sources: Path
) -> None:
    assert "no key is needed" in found(settings, sources, "patients")["patients"].text
    labels = {"part": {"constant": "hand"}, "patient": {"folder": 0}}
    entry = {"name": "s", "kind": "archive", "licence": "x", "location": "/none", "labels": labels}
    sources.write_text(yaml.safe_dump({"sources": [entry]}))
    line = found(settings, sources, "patients")["patients"]
    assert line.ok and "the first pull makes the key" in line.text and not list(lake.keys(""))
    patient_key(settings, lake)
    assert "is here" in found(settings, sources, "patients")["patients"].text
    other = settings.model_copy(update={"state_dir": settings.state_dir.with_name("other")})
    line = found(other, sources, "patients")["patients"]
    assert not line.ok and "OSTEON_PATIENT_KEY" in line.text
