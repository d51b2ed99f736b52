"""What the data-quality mail says: plain values in, subject and both bodies out. Sending it is Airflow's part."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from osteon.quality.validate import Finding, Validation

MOST_NAMED = 8
"""Offenders named in the mail for each finding; the Data Docs name all."""


@dataclass(frozen=True)
class Mail:
    subject: str
    text: str
    html: str


def environment() -> Environment:
    """Jinja with escaping on and misspelt names an error."""
    return Environment(
        loader=PackageLoader("osteon.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def quality_mail(validation: Validation, run_id: str, links: dict[str, str]) -> Mail:
    """The alert for the findings that are warnings or worse."""
    findings = [finding for finding in validation.findings if finding.severity != "info"]
    worst = "stopped before training" if validation.stops else "went on"
    lead = findings[0]
    subject = f"[Osteon] {lead.severity}: {lead.message}" if len(findings) == 1 else (
        f"[Osteon] {lead.severity}: {len(findings)} data-quality findings, the run {worst}"
    )  # fmt: skip
    values = {"findings": findings, "worst": worst, "run_id": run_id, "links": links, "most": MOST_NAMED}
    html = environment().get_template("quality_mail.html").render(values)
    return Mail(subject, _text(findings, worst, run_id, links), html)


def failure_mail(dag_id: str, task_id: str, run_id: str, error: str, links: dict[str, str]) -> Mail:
    """The mail about a task that failed."""
    values = {"dag_id": dag_id, "task_id": task_id, "run_id": run_id, "error": error, "links": links}
    html = environment().get_template("failure_mail.html").render(values)
    lines = [f"Task {task_id} of {dag_id} failed in run {run_id}.", "", error, "", *_links(links)]
    return Mail(f"[Osteon] failed: {task_id} of {dag_id}", "\n".join(lines), html)


def _text(findings: list[Finding], worst: str, run_id: str, links: dict[str, str]) -> str:
    lines = [f"The data of run {run_id} have {len(findings)} findings; the run {worst}.", ""]
    for finding in findings:
        lines += [f"{finding.severity.upper()}: {finding.message}", f"  What to do: {finding.remedy}"]
        lines += [f"  - {item['name']} {item['detail']}".rstrip() for item in finding.offenders[:MOST_NAMED]]
        if finding.count > MOST_NAMED:
            lines.append(f"  ... and {finding.count - MOST_NAMED} more")
        lines.append("")
    return "\n".join([*lines, *_links(links)])


def _links(links: dict[str, str]) -> list[str]:
    return [f"{name}: {target}" for name, target in links.items()]
