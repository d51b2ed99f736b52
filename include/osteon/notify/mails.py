"""Every mail: its subject, its words and its pictures. The folder `templates` beside this file holds the layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from osteon.notify.alert import Alert
from osteon.quality.pictures import Picture
from osteon.records import PartQuestion, PromotionQuestion
from osteon.settings import MailSettings
from osteon.templates import environment

TEMPLATES = "osteon.notify"


@dataclass(frozen=True)
class Mail:
    """A mail without addresses."""

    subject: str
    text: str
    html: str
    pictures: Sequence[Picture] = ()
    """What the HTML shows where it says `cid:NAME`."""


@dataclass(frozen=True)
class Notice:
    """What a mail without findings tells."""

    title: str
    """As `Task inspect of xray_weekly failed`."""
    text: str
    """Lines."""
    pictures: Sequence[Picture] = ()


def quality_mail(alert: Alert, run_id: str, links: dict[str, str]) -> Mail:
    """The mail about the findings that are warnings or worse, or that those of the run before are gone.

    Args:
        alert: What was found.
        run_id: The run.
        links: Addresses, or keys of the lake, by what they lead to.
    """
    pictures = [picture for group in [*alert.thumbnails.values(), *alert.repairs] for picture in group]
    pictures += [alert.chart] if alert.chart else []
    return _mail("quality", _quality_subject(alert), pictures, alert=alert, run_id=run_id, links=links)


def notice_mail(notice: Notice, run_id: str, links: dict[str, str]) -> Mail:
    """The mail of a notice; `run_id` and `links` as `quality_mail` has them."""
    return _mail("notice", notice.title, notice.pictures, notice=notice, run_id=run_id, links=links)


def message_of(settings: MailSettings, mail: Mail, mail_id: str) -> EmailMessage:
    """A mail to OSTEON_MAIL_TO as a message (RFC 5322): HTML with inline pictures, and plain text.

    Its Message-ID is made of `mail_id`: who gets it twice can tell.
    """
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


# What notices say


def merges_changed(changes: list[str]) -> Notice:
    """Sources that are merged and were not in the run before, or the other way round: one sentence each."""
    return Notice("Merged sources changed", "\n".join(changes))


def version_registered(name: str, version: str, alias: str, figures: list[str], picture: Picture) -> Notice:
    """A new version is in the registry: its figures, one a line, and the picture of its evaluation."""
    return Notice(f"Version {version} of {name} is {alias}", "\n".join(figures), [picture])


def parts_asked(questions: list[PartQuestion], deadline: datetime, pictures: Sequence[Picture]) -> Notice:
    """The run waits for curators: how many questions, until when, and every image."""
    count = f"{len(questions)} {'image needs' if len(questions) == 1 else 'images need'} a body part"
    text = [f"{count}. Answer until {_moment(deadline)}.", "The run leaves out what nobody answers.", ""]
    text += [f"{question.name}: {question.why}." for question in questions]
    return Notice(f"A run waits for you: {count}", "\n".join(text), pictures)


def promotion_asked(question: PromotionQuestion, deadline: datetime) -> Notice:
    """The run waits for an approval."""
    title = f"A run waits for you: may the new version of {question.name} become champion?"
    champion = f"It would replace version {question.champion}." if question.champion else ""
    text = f"{question.why} {champion}\nAnswer until {_moment(deadline)}. Unanswered, the champion stays."
    return Notice(title, text)


def task_failed(task: str, dag: str, error: object) -> Notice:
    """A task failed, with its error where it gave one."""
    return Notice(f"Task {task} of {dag} failed", str(error or "The task gave no error; see its log."))


def _moment(when: datetime) -> str:
    return f"{when:%A %d %B %Y, %H:%M} UTC"


def _quality_subject(alert: Alert) -> str:
    findings = alert.findings
    if not findings:
        gone = "all data-quality findings of the run before are gone"
        return gone if alert.gone else "all is well: no data-quality findings"
    if len(findings) == 1:
        return f"{findings[0].severity}: {findings[0].message}"
    return f"{findings[0].severity}: {len(findings)} data-quality findings, the run {alert.outcome}"


def _mail(template: str, subject: str, pictures: Sequence[Picture], **values: object) -> Mail:
    html = environment(TEMPLATES).get_template(f"{template}.html").render(values)
    text = environment(TEMPLATES, autoescape=False).get_template(f"{template}.txt").render(values)
    return Mail(f"[Osteon] {subject}", text, html, pictures)
