"""Sending mails through Airflow's `smtp_default` connection."""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.bases.notifier import BaseNotifier
from airflow.sdk.exceptions import AirflowNotFoundException

from osteon.quality.alert import Alert, Mail, failure_mail, quality_mail
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


def send_quality_mail(settings: Settings, alert: Alert, dag_id: str, run_id: str) -> str:
    """Send the alert. Returns `sent`, or why it was not: a mail that fails never loses a finding or ends a run."""
    docs = page_url(settings, f"{alert.validation.docs}/index.html")
    links = {"DAG run": run_url(settings, dag_id, run_id), "Data Docs": docs}
    try:
        send(settings, quality_mail(alert, run_id, links))
    except MailNotSentError as error:
        log.error("the data-quality alert was not mailed: %s", error)
        return str(error)
    return "sent"


class FailureMail(BaseNotifier):
    """Mails that a task failed, with its error and a link to the run."""

    def notify(self, context: Mapping[str, Any]) -> None:  # type: ignore[override]
        settings, instance = load_settings(), context["ti"]
        links = {"DAG run": run_url(settings, instance.dag_id, instance.run_id)}
        error = str(context.get("exception") or "The task gave no error; see its log.")
        send(settings, failure_mail(instance.dag_id, instance.task_id, instance.run_id, error, links))
