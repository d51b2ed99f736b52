"""A mail as an e-mail message (RFC 5322): HTML with inline pictures, and plain text."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from osteon.quality.alert import Mail
from osteon.settings import Settings


def message_of(settings: Settings, mail: Mail, mail_id: str) -> EmailMessage:
    """The message to OSTEON_MAIL_TO. Its Message-ID is made of `mail_id`: who gets it twice can tell."""
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = mail.subject, settings.mail_from, ", ".join(settings.mail_to)
    message["Date"], message["Message-ID"] = format_datetime(datetime.now(UTC)), f"<{mail_id}@osteon>"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    _, html = message.iter_parts()
    assert isinstance(html, EmailMessage)
    for picture in mail.pictures:
        html.add_related(picture.png, "image", "png", cid=f"<{picture.name}>", disposition="inline")
    return message
