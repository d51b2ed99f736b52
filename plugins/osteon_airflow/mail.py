"""Mails of a DAG run: into the outbox, and from there through Airflow's `smtp_default` connection."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import get_current_context
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from osteon.errors import OsteonError, QualityError
from osteon.lake import Lake
from osteon.notify.alert import Alert, told
from osteon.notify.mails import Mail, Notice, message_of, notice_mail, quality_mail, task_failed
from osteon.notify.outbox import MailNotSentError, Outbox, mail_id
from osteon.pipeline.context import SENT
from osteon.settings import MailSettings, Settings, load_settings
from osteon_airflow.links import answer_url, page_url, run_url

CONNECTION = "smtp_default"
log = logging.getLogger(__name__)


def send(message: bytes) -> None:
    """Send a message of the outbox. Raises `MailNotSentError`."""
    try:
        with SmtpHook(smtp_conn_id=CONNECTION) as hook:
            _client(hook).send_message(message_from_bytes(message, policy=default))
    except AirflowNotFoundException as error:
        raise MailNotSentError(f"there is no connection {CONNECTION!r}: set AIRFLOW_CONN_SMTP_DEFAULT") from error
    except Exception as error:  # the hook wraps what smtplib and the socket raise in exceptions of several libraries
        raise MailNotSentError(f"the mail server behind {CONNECTION!r} did not take it: {error}") from error


def _client(hook: SmtpHook) -> smtplib.SMTP:
    """The connection that a hook opened and logged in.

    The hook has no public name for it, and builds mails of one HTML part only (`apache-airflow-providers-smtp` 3.2).
    This is the only place that reads a private name of Airflow; a test fails where it is gone.
    """
    client = hook._smtp_client
    assert isinstance(client, smtplib.SMTP)
    return client


def post(settings: Settings, mail: Mail, identity: str) -> str:
    """Put a mail into the outbox, and send what waits there. Returns SENT, or why it waits. It ends no run."""
    outbox = Outbox(Lake.from_settings(settings))
    outbox.post(identity, message_of(settings, mail, identity))
    return deliver(outbox)


def deliver(outbox: Outbox) -> str:
    """Send what waits in the outbox. Returns SENT, or why something waits."""
    if problem := outbox.deliver(send):
        log.error("%d mails wait in the outbox: %s", len(outbox.waiting()), problem)
        return f"waits in the outbox: {problem}"
    return SENT


@dataclass(frozen=True)
class AirflowNotifier:
    """Mails people about the current DAG run, through Airflow's connection. See `osteon.pipeline.context.Notifier`."""

    settings: Settings

    def alert(self, alert: Alert, stage: str) -> str:
        run_id, links = _current_run(self.settings)
        if alert.validation.docs:
            links["Data Docs"] = page_url(self.settings, f"{alert.validation.docs}/index.html")
        identity = mail_id(run_id, stage, {check: found.digest for check, found in told(alert.findings).items()})
        return post(self.settings, quality_mail(alert, run_id, links), identity)

    def notice(self, notice: Notice) -> str:
        run_id, links = _current_run(self.settings)
        return post(self.settings, notice_mail(notice, run_id, links), mail_id(run_id, notice.title, notice.text))

    def question(self, notice: Notice, asked: Sequence[str]) -> str:
        run_id, links = _current_run(self.settings)
        links = {"Answer here": answer_url(links["DAG run"])}
        return post(self.settings, notice_mail(notice, run_id, links), mail_id(run_id, list(asked)))


def _current_run(settings: MailSettings) -> tuple[str, dict[str, str]]:
    context = get_current_context()
    return context["run_id"], {"DAG run": run_url(settings, context["dag"].dag_id, context["run_id"])}


class FailureMail(BaseNotifier):
    """Mails that a task failed, with its error and a link to the run; of a `QualityError` the alert has told."""

    def notify(self, context: Mapping[str, Any]) -> None:
        if isinstance(context.get("exception"), QualityError):
            return
        settings, instance = load_settings(), context["ti"]
        links = {"DAG run": run_url(settings, instance.dag_id, instance.run_id)}
        notice = task_failed(instance.task_id, instance.dag_id, context.get("exception"))
        mail = notice_mail(notice, instance.run_id, links)
        identity = mail_id(instance.run_id, instance.task_id, instance.map_index, instance.try_number)
        try:
            post(settings, mail, identity)
        except OsteonError as lake:  # where the lake is what failed, there is no outbox
            log.error("%s: the mail is sent without the outbox", lake)
            send(message_of(settings, mail, identity).as_bytes())
