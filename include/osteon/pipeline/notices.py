"""Which findings and merges people are told about: what is as it was in the run before is not mailed again."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace

from osteon.errors import QualityError
from osteon.pipeline.context import SENT, Context
from osteon.quality.alert import Alert, Told, told
from osteon.quality.pictures import Picture, before_and_after, class_chart, thumbnails
from osteon.quality.validate import Validation

log = logging.getLogger(__name__)
LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
NOTHING_NEW = "nothing new to tell"


def alert_people(context: Context, found: Validation, memory: str) -> str:
    """Mail findings, unless all is as it was mailed last (OSTEON_MAIL_WHEN says when else).

    Args:
        context: The run.
        found: What the checks found.
        memory: Key in the lake of what was mailed last. What was not sent is not kept there.

    Returns:
        SENT, NOTHING_NEW, or why the mail was not sent.
    """
    for finding in found.findings:
        log.log(LEVELS[finding.severity], "%s: %s %s", finding.check, finding.message, finding.remedy)
    before = context.left_by_earlier_run(memory, "told")
    earlier = None if before is None else {check: Told(**values) for check, values in before.items()}
    alert = Alert(found, earlier, {}, None)
    mail = NOTHING_NEW
    wanted = {"news": alert.news, "findings": alert.news or bool(alert.findings), "always": True}
    if wanted[context.settings.mail_when]:
        mail = context.notifier.alert(_illustrated(context, alert))
    if mail in (SENT, NOTHING_NEW):
        now = {check: asdict(values) for check, values in told(alert.findings).items()}
        context.lake.put_json(memory, {"run": context.run.run_id, "told": now, "before": before})
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


def quality_error(found: Validation) -> QualityError | None:
    """What stops a run: a critical finding; None without one."""
    critical = [finding.message for finding in found.findings if finding.severity == "critical"]
    return QualityError(f"stopped before training: {' '.join(critical)}") if critical else None
