"""Which findings people are told about, and how they stand to those that were told before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from osteon.quality.findings import Finding, Validation
from osteon.quality.pictures import Picture


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
    repairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    """Before and after."""

    @property
    def findings(self) -> list[Finding]:
        """Those that are warnings or worse."""
        return [finding for finding in self.validation.findings if finding.severity != "info"]

    @property
    def news(self) -> bool:
        """Whether there is something to tell: a critical finding, or any that was not told as it is."""
        return self.validation.stops or told(self.findings) != (self.before or {})

    @property
    def outcome(self) -> str:
        """What the findings made the run do."""
        return "stopped before training" if self.validation.stops else "went on"

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
            offenders = [item.model_dump(exclude_none=True) for item in finding.offenders]
            text = json.dumps([finding.severity, finding.message, offenders], sort_keys=True)
            result[finding.check] = Told(finding.count, hashlib.sha256(text.encode()).hexdigest()[:16])
    return result
