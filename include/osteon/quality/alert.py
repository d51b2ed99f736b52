"""What the mails say: plain values in, subject, bodies and pictures out. Sending them is Airflow's part."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from osteon.quality.pictures import Picture
from osteon.quality.validate import Finding, Validation

MOST_NAMED = 8
"""Offenders named in the mail for each finding; the Data Docs name all."""


@dataclass(frozen=True)
class Mail:
    subject: str
    text: str
    html: str
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Told:
    """What is remembered of a finding that was mailed."""

    count: int
    digest: str
    """Over severity, message and offenders."""


@dataclass(frozen=True)
class Alert:
    """A validation with what the mail about it needs besides."""

    validation: Validation
    before: dict[str, Told] | None
    """What was told of each check last; None where nothing was told yet."""
    thumbnails: dict[str, list[Picture]]
    chart: Picture | None

    @property
    def findings(self) -> list[Finding]:
        return [finding for finding in self.validation.findings if finding.severity != "info"]

    @property
    def news(self) -> bool:
        """Whether there is something to tell: a critical finding, or any that was not told as it is."""
        return self.validation.stops or told(self.findings) != (self.before or {})

    def change(self, check: str, count: int) -> str:
        """How a finding stands to that of the run before; empty for the first run."""
        if self.before is None:
            return ""
        if check not in self.before:
            return "new"
        return f"{count - self.before[check].count:+d}" if count != self.before[check].count else "as many"

    @property
    def gone(self) -> list[str]:
        """Checks that found something in the run before and do no more."""
        return sorted(set(self.before or {}) - set(told(self.findings)))


def told(findings: list[Finding]) -> dict[str, Told]:
    """By check, what tells a finding that is a warning or worse from another of the same number."""
    result = {}
    for finding in findings:
        if finding.severity != "info":
            text = json.dumps([finding.severity, finding.message, finding.offenders], sort_keys=True)
            result[finding.check] = Told(finding.count, hashlib.sha256(text.encode()).hexdigest()[:16])
    return result


def environment() -> Environment:
    """Jinja with escaping on and misspelt names an error."""
    return Environment(
        loader=PackageLoader("osteon.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def quality_mail(alert: Alert, run_id: str, links: dict[str, str]) -> Mail:
    """The mail about the findings that are warnings or worse, or that those of the run before are gone."""
    findings, validation = alert.findings, alert.validation
    worst = "stopped before training" if validation.stops else "went on"
    if not findings:
        subject = "[Osteon] all data-quality findings of the run before are gone"
    elif len(findings) == 1:
        subject = f"[Osteon] {findings[0].severity}: {findings[0].message}"
    else:
        subject = f"[Osteon] {findings[0].severity}: {len(findings)} data-quality findings, the run {worst}"
    values = {"alert": alert, "worst": worst, "run_id": run_id, "links": links, "most": MOST_NAMED}
    html = environment().get_template("quality_mail.html").render(values)
    pictures = [picture for group in alert.thumbnails.values() for picture in group]
    return Mail(subject, _text(alert, worst, run_id, links), html, [*pictures, *([alert.chart] if alert.chart else [])])


def failure_mail(dag_id: str, task_id: str, run_id: str, error: str, links: dict[str, str]) -> Mail:
    """The mail about a task that failed."""
    values: dict[str, Any] = {"dag_id": dag_id, "task_id": task_id, "run_id": run_id, "error": error, "links": links}
    html = environment().get_template("failure_mail.html").render(values)
    lines = [f"Task {task_id} of {dag_id} failed in run {run_id}.", "", error, "", *_links(links)]
    return Mail(f"[Osteon] failed: {task_id} of {dag_id}", "\n".join(lines), html)


def _text(alert: Alert, worst: str, run_id: str, links: dict[str, str]) -> str:
    lines = [f"The data of run {run_id} have {len(alert.findings)} findings; the run {worst}.", ""]
    for finding in alert.findings:
        change = alert.change(finding.check, finding.count)
        told = f" ({change} since the run before)" if change else ""
        lines += [f"{finding.severity.upper()}: {finding.message}{told}", f"  What to do: {finding.remedy}"]
        lines += [f"  - {item['name']} {item['detail']}".rstrip() for item in finding.offenders[:MOST_NAMED]]
        if finding.count > MOST_NAMED:
            lines.append(f"  ... and {finding.count - MOST_NAMED} more")
        lines.append("")
    if alert.gone:
        lines += [f"No longer found: {', '.join(alert.gone)}.", ""]
    if alert.validation.repaired:
        lines += [f"Repaired: {alert.validation.repaired} images, the missing part set to zero in a copy.", ""]
    return "\n".join([*lines, *_links(links)])


def _links(links: dict[str, str]) -> list[str]:
    return [f"{name}: {target}" for name, target in links.items()]
