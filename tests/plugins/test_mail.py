"""Mails go through Airflow's connection, as they lie in the outbox."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

import pytest

from osteon.embedded.mail import read
from osteon.embedded.stack import Stack
from osteon.notify.outbox import MailNotSentError

CONNECTION = "smtp_default"


@pytest.fixture
def connection(airflow: dict[str, str], stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"smtp://127.0.0.1:{stack.settings.smtp_port}/?disable_ssl=true&disable_tls=true"
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", address)


def test_the_hook_holds_its_connection_under_the_name_that_we_read(connection: None) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    from osteon_airflow.mail import CONNECTION as OURS

    assert OURS == CONNECTION
    with SmtpHook(smtp_conn_id=CONNECTION) as hook:
        assert isinstance(hook._smtp_client, smtplib.SMTP), "osteon_airflow.mail._client reads another name by now"
        assert hook._smtp_client.noop()[0] == 250
    assert hook._smtp_client is None, "it ends with the block"


def test_a_message_arrives_with_all_its_parts(connection: None, stack: Stack) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "one of a kind", "a@x.example", "b@x.example"
    message.set_content("plain")
    message.add_alternative("<p>html</p>", subtype="html")
    known = set((stack.home / "mail").glob("*.eml"))
    from osteon_airflow.mail import send

    send(message.as_bytes())
    (kept,) = set((stack.home / "mail").glob("*.eml")) - known
    found = read(kept)
    assert found["Subject"] == "one of a kind"
    assert [part.get_content_type() for part in found.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


def test_a_server_that_is_not_there_is_named_with_its_connection(
    connection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", "smtp://127.0.0.1:9/?disable_ssl=true&disable_tls=true")
    from osteon_airflow.mail import send

    with pytest.raises(MailNotSentError, match=CONNECTION):
        send(b"Subject: x\n\ntext")
