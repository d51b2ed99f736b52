"""Mails of a run: findings of checks, questions to curators, approvals.

Findings that are the same as those mailed last are not mailed again.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from osteon.errors import QualityError
from osteon.images.errors import UndecodableError
from osteon.notify.alert import Alert, Told, told
from osteon.notify.mails import parts_asked, promotion_asked
from osteon.pipeline.context import NO_MAIL, Context
from osteon.pipeline.memory import Memory
from osteon.quality.findings import Validation
from osteon.quality.pictures import Picture, before_and_after, class_chart, png, scaled, thumbnails
from osteon.records import PartQuestion, PromotionQuestion

log = logging.getLogger(__name__)
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
NOTHING_NEW = "nothing new to tell"


def alert_people(context: Context, found: Validation, stage: str, subject: str) -> str:
    """Mail the findings if any is new or has changed since the last mail. OSTEON_MAIL_WHEN may ask for more mails.

    What was mailed is remembered under the subject. A run that sends no mail adds nothing to that.

    Args:
        context: The run.
        found: What the checks found.
        stage: The stage that ran the checks.
        subject: The name that these mails are remembered under.

    Returns:
        NOTHING_NEW, or what the notifier answers.
    """
    for finding in found.findings:
        log.log(LEVELS[finding.severity], "%s: %s %s", finding.check, finding.message, finding.remedy)
    memory = Memory.read(context.lake, f"alerts/{subject}", context.run.run_id, Told)
    alert = Alert(found, memory.before, {}, None)
    mail = NOTHING_NEW
    wanted = {"news": alert.news, "findings": alert.news or bool(alert.findings), "always": True}
    if wanted[context.settings.mail_when]:
        mail = context.notifier.alert(_illustrated(context, alert), stage)
    if mail != NO_MAIL:
        memory.keep(told(alert.findings))
    return mail


def _illustrated(context: Context, alert: Alert) -> Alert:
    found, most = alert.validation, context.settings.max_pixels
    chart = class_chart(found.classes) if found.classes else None
    return replace(
        alert,
        thumbnails=thumbnails(context.lake, alert.findings, most),
        chart=Picture("classes", chart, "Images by class and source") if chart else None,
        repairs=before_and_after(context.lake, found, most),
    )


def ask_curators(context: Context, questions: list[PartQuestion]) -> str | None:
    """Mail that the run waits for curators.

    Args:
        context: The run.
        questions: One for each image that curators are asked about.

    Returns:
        What the notifier answers; None where nothing is asked.
    """
    if not questions:
        return None
    pictures = [
        Picture(f"question-{number}", picture, question.name)
        for number, question in enumerate(questions)
        if (picture := _thumbnail(context, question.image))
    ]
    asked = sorted(question.image for question in questions)
    return context.notifier.question(parts_asked(questions, _deadline(context), pictures), asked)


def ask_for_approval(context: Context, question: PromotionQuestion) -> str:
    """Mail that the run waits for an approval. Returns what the notifier answers."""
    return context.notifier.question(promotion_asked(question, _deadline(context)), [question.name, question.champion])


def _deadline(context: Context) -> datetime:
    return datetime.now(UTC) + timedelta(hours=context.settings.ask_hours)


def _thumbnail(context: Context, sha256: str) -> bytes | None:
    """An image as a PNG; None for one that cannot be decoded."""
    try:
        return png(scaled(context.lake, sha256, context.settings.max_pixels))
    except UndecodableError:
        return None


def quality_error(found: Validation) -> QualityError | None:
    """The error that stops a run with critical findings. None where there is no such finding."""
    critical = [finding.message for finding in found.findings if finding.severity == "critical"]
    return QualityError(f"stopped before training: {' '.join(critical)}") if critical else None
