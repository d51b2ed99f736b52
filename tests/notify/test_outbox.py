"""The outbox: each mail is sent at least once, and once where nothing breaks."""

from __future__ import annotations

import email
import logging
import smtplib
from collections.abc import Callable
from datetime import timedelta
from email.policy import default

import pytest

from osteon.embedded.stack import Stack
from osteon.lake import Lake
from osteon.notify import outbox
from osteon.notify.mails import Notice, message_of, notice_mail
from osteon.notify.outbox import MailNotSentError, Outbox, mail_id
from osteon.quality.pictures import Picture
from osteon.settings import Settings

Send = Callable[[bytes], None]


@pytest.fixture
def send(stack: Stack) -> Send:
    """Sends to the mail catcher."""

    def to_catcher(message: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", stack.settings.smtp_port, timeout=10) as client:
            client.send_message(email.message_from_bytes(message, policy=default))

    return to_catcher


def refuse(message: bytes) -> None:
    raise MailNotSentError("the server is busy")


def post(settings: Settings, lake: Lake, title: str) -> tuple[Outbox, str]:
    """Post a notice of that title."""
    identity = mail_id(lake.bucket, title)
    mail = notice_mail(Notice(title, "Text.", [Picture("p", b"png", "a picture")]), "run", {})
    Outbox(lake).post(identity, message_of(settings, mail, identity))
    return Outbox(lake), identity


def caught(stack: Stack, lake: Lake, title: str) -> list[str]:
    """Message-IDs of the mails of that title that the catcher took."""
    wanted = mail_id(lake.bucket, title)
    found = [
        email.message_from_bytes(path.read_bytes(), policy=default) for path in (stack.home / "mail").glob("*.eml")
    ]
    return [str(mail["Message-ID"]) for mail in found if wanted in str(mail["Message-ID"])]


def test_a_mail_waits_until_a_server_takes_it_and_is_sent_once(
    settings: Settings, lake: Lake, stack: Stack, send: Send
) -> None:
    box, _ = post(settings, lake, "first")
    post(settings, lake, "second")
    assert box.deliver(refuse) == "the server is busy" and len(box.waiting()) == 2
    post(settings, lake, "first")
    assert box.deliver(send) == "" and box.waiting() == []
    post(settings, lake, "first")
    assert box.waiting() == [] and box.deliver(send) == ""
    assert [len(caught(stack, lake, title)) for title in ("first", "second")] == [1, 1]


def test_a_process_that_ends_after_sending_sends_again_under_the_same_id(
    settings: Settings, lake: Lake, stack: Stack, send: Send
) -> None:
    box, identity = post(settings, lake, "killed")

    def send_and_end(message: bytes) -> None:
        send(message)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        box.deliver(send_and_end)
    assert box.deliver(send) == ""
    assert caught(stack, lake, "killed") == [f"<{identity}@osteon>"] * 2


def test_what_no_server_takes_for_two_weeks_is_given_up_with_an_error(
    settings: Settings, lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box, identity = post(settings, lake, "old")
    box.deliver(refuse)
    assert len(box.waiting()) == 1
    monkeypatch.setattr(outbox, "KEPT", timedelta(seconds=-5))
    with caplog.at_level(logging.ERROR):
        box.deliver(refuse)
    assert box.waiting() == [] and identity in caplog.text


def test_the_same_facts_are_the_same_mail() -> None:
    assert mail_id("run", "gate", {"a": 1}) == mail_id("run", "gate", {"a": 1}) != mail_id("run", "check", {"a": 1})
