"""What the mails say: plain values in, subject, bodies and pictures out. Sending them is Airflow's part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined

from osteon.quality.pictures import Picture, both_names
from osteon.quality.validate import Finding, Validation

MOST_NAMED = 8
"""Lines about offenders in the mail for each finding; the Data Docs name all."""
MOST_IN_LINE = 6
"""Members of one group that are named in its line."""


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
class Line:
    """One line about offenders: an image, a pair, a class or a source, or all members of one group."""

    name: str
    detail: str
    count: int


def lines(finding: Finding) -> tuple[list[Line], int]:
    """The first lines about a finding's offenders, and how many offenders they leave out."""
    groups: dict[str, list[dict[str, str]]] = {}
    for item in finding.offenders:
        groups.setdefault(item.get("group", both_names(item)), []).append(item)
    told = []
    for members in list(groups.values())[:MOST_NAMED]:
        more = f" = {len(members) - MOST_IN_LINE} more" if len(members) > MOST_IN_LINE else ""
        names = " = ".join(both_names(item) for item in members[:MOST_IN_LINE])
        told.append(Line(names + more, members[0]["detail"], len(members)))
    return told, finding.count - sum(line.count for line in told)


def by_source(finding: Finding) -> str:
    """`fracatlas 59 of 3064 (1.9%), ...`; empty for what is not about images."""
    return ", ".join(
        f"{name} {count} of {of} ({count / of:.1%})" for name, (count, of) in sorted(finding.by_source.items())
    )


@dataclass(frozen=True)
class Alert:
    """A validation with what the mail about it needs besides."""

    validation: Validation
    before: dict[str, Told] | None
    """What was told of each check last; None where nothing was told yet."""
    thumbnails: dict[str, list[Picture]]
    chart: Picture | None
    repairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    """Before and after."""

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


def environment(autoescape: bool = True) -> Environment:
    """Jinja with misspelt names an error, and escaping on, but for what is no HTML."""
    return Environment(
        loader=PackageLoader("osteon.reports"), autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True
    )


def quality_mail(alert: Alert, run_id: str, links: dict[str, str]) -> Mail:
    """The mail about the findings that are warnings or worse, or that those of the run before are gone."""
    findings, validation = alert.findings, alert.validation
    worst = "stopped before training" if validation.stops else "went on"
    if not findings and alert.gone:
        subject = "[Osteon] all data-quality findings of the run before are gone"
    elif not findings:
        subject = "[Osteon] all is well: no data-quality findings"
    elif len(findings) == 1:
        subject = f"[Osteon] {findings[0].severity}: {findings[0].message}"
    else:
        subject = f"[Osteon] {findings[0].severity}: {len(findings)} data-quality findings, the run {worst}"
    values = {"alert": alert, "worst": worst, "run_id": run_id, "links": links, "lines": lines, "by_source": by_source}
    html = environment().get_template("quality_mail.html").render(values)
    pictures = [picture for group in [*alert.thumbnails.values(), *alert.repairs] for picture in group]
    return Mail(subject, _text(alert, worst, run_id, links), html, [*pictures, *([alert.chart] if alert.chart else [])])


def notice_mail(title: str, text: str, run_id: str, links: dict[str, str], pictures: Sequence[Picture] = ()) -> Mail:
    """A mail of one title, as `Task inspect of xray_weekly failed`, a text in lines, and pictures."""
    values = {"title": title, "text": text, "run_id": run_id, "links": links, "pictures": pictures}
    html = environment().get_template("notice_mail.html").render(values)
    body = "\n".join([f"{title}, run {run_id}.", "", text, "", *_links(links)])
    return Mail(f"[Osteon] {title}", body, html, list(pictures))


def _text(alert: Alert, worst: str, run_id: str, links: dict[str, str]) -> str:
    text = [f"The data of run {run_id} have {len(alert.findings)} findings; the run {worst}.", ""]
    for finding in alert.findings:
        change = alert.change(finding.check, finding.count)
        told = f" ({change} since the run before)" if change else ""
        text += [f"{finding.severity.upper()}: {finding.message}{told}", f"  What to do: {finding.remedy}"]
        text += [f"  By source: {by_source(finding)}"] if finding.by_source else []
        named, more = lines(finding)
        text += [f"  - {line.name} {line.detail}".rstrip() for line in named]
        if more:
            text.append(f"  ... and {more} more")
        text.append("")
    if alert.gone:
        text += [f"No longer found: {', '.join(alert.gone)}.", ""]
    if alert.validation.repaired:
        text += [f"Repaired: {alert.validation.repaired} images, the missing part set to zero in a copy.", ""]
    return "\n".join([*text, *_links(links)])


def _links(links: dict[str, str]) -> list[str]:
    return [f"{name}: {target}" for name, target in links.items()]
