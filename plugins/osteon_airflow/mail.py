"""Sending mails through Airflow's `smtp_default` connection."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import get_current_context
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from osteon.errors import QualityError
from osteon.pipeline.context import SENT
from osteon.quality.alert import Alert, Mail, notice_mail, quality_mail
from osteon.quality.pictures import Picture
from osteon.settings import Settings, load_settings
from osteon_airflow.links import page_url, run_url

CONNECTION = "smtp_default"
log = logging.getLogger(__name__)


class MailNotSentError(Exception):
    """The mail server is not configured, cannot be reached, or refuses; the message says which and the remedy."""


def send(settings: Settings, mail: Mail) -> None:
    """Send to `OSTEON_MAIL_TO`, HTML with inline pictures and a plain-text part. Raises `MailNotSentError`."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = mail.subject, settings.mail_from, ", ".join(settings.mail_to)
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    for picture in mail.pictures:
        html.add_related(picture.png, "image", "png", cid=f"<{picture.name}>", disposition="inline")  # type: ignore[union-attr]
    try:
        with SmtpHook(smtp_conn_id=CONNECTION) as hook:
            client = hook._smtp_client  # the hook itself builds only mails of one HTML part
            assert isinstance(client, smtplib.SMTP)
            client.send_message(message)
    except AirflowNotFoundException as error:
        raise MailNotSentError(f"there is no connection {CONNECTION!r}: set AIRFLOW_CONN_SMTP_DEFAULT") from error
    except Exception as error:  # the hook wraps what smtplib and the socket raise in exceptions of several libraries
        raise MailNotSentError(f"the mail server behind {CONNECTION!r} did not take it: {error}") from error


@dataclass(frozen=True)
class AirflowNotifier:
    """Mails people about the current DAG run, through Airflow's connection. See `osteon.pipeline.context.Notifier`."""

    settings: Settings

    def alert(self, alert: Alert) -> str:
        run_id, links = _current_run(self.settings)
        if alert.validation.docs:
            links["Data Docs"] = page_url(self.settings, f"{alert.validation.docs}/index.html")
        return _try_to_send(self.settings, quality_mail(alert, run_id, links))

    def notice(self, title: str, text: str, *pictures: Picture) -> str:
        return _try_to_send(self.settings, notice_mail(title, text, *_current_run(self.settings), pictures))


def _current_run(settings: Settings) -> tuple[str, dict[str, str]]:
    context = get_current_context()
    return context["run_id"], {"DAG run": run_url(settings, context["dag"].dag_id, context["run_id"])}


def _try_to_send(settings: Settings, mail: Mail) -> str:
    """A mail that fails never loses what it tells, which the lake keeps, or ends a run."""
    try:
        send(settings, mail)
    except MailNotSentError as error:
        log.error("%s was not mailed: %s", mail.subject, error)
        return str(error)
    return SENT


class FailureMail(BaseNotifier):
    """Mails that a task failed, with its error and a link to the run; of a `QualityError` the alert has told."""

    def notify(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        if isinstance(context.get("exception"), QualityError):
            return
        settings, instance = load_settings(), context["ti"]
        links = {"DAG run": run_url(settings, instance.dag_id, instance.run_id)}
        error = str(context.get("exception") or "The task gave no error; see its log.")
        title = f"Task {instance.task_id} of {instance.dag_id} failed"
        send(settings, notice_mail(title, error, instance.run_id, links))
