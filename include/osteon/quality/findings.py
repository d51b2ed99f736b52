"""What checks find, as the lake keeps it and as mails and reports tell it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from osteon.lake import Lake
from osteon.quality.check import Severity

ORDER: tuple[Severity, ...] = ("critical", "warning", "info")
"""The worst first."""
MOST_NAMED = 8
"""Lines about offenders in the mail for each finding; the Data Docs name all."""
MOST_IN_LINE = 6
"""Members of one group that are named in its line."""


class Offender(BaseModel):
    """One row that fails a check: an image, a pair of images, a class or a source."""

    model_config = ConfigDict(frozen=True)

    name: str
    """`source:path` of an image, or the name of a class or a source."""
    detail: str
    """What is wrong with it."""
    sha256: str | None = None
    """Of an image."""
    group: str | None = None
    """Of an image, where members of one group are listed together."""
    other: str | None = None
    """Name of the second image of a pair."""
    other_sha256: str | None = None

    @property
    def both_names(self) -> str:
        """Its name; of a pair the names of both images."""
        return f"{self.name} and {self.other}" if self.other is not None else self.name

    @property
    def digests(self) -> list[str]:
        """SHA-256 of its image, or of both images of a pair; none of a class or a source."""
        return [digest for digest in (self.sha256, self.other_sha256) if digest is not None]


class Finding(BaseModel):
    """A check that failed."""

    model_config = ConfigDict(frozen=True)

    check: str
    severity: Severity
    message: str
    count: int
    share: float
    """Failing rows over the rows that were looked at, 0 to 1."""
    offenders: list[Offender]
    """The failing rows, up to a limit; the worst come first."""
    remedy: str
    by_source: dict[str, tuple[int, int]] = {}
    """Failing rows and all rows of each source that has failing ones, for checks of images."""

    def lines(self) -> tuple[list[Line], int]:
        """The first lines about its offenders, and how many offenders they leave out."""
        groups: dict[str, list[Offender]] = {}
        for item in self.offenders:
            groups.setdefault(item.group or item.both_names, []).append(item)
        told = []
        for members in list(groups.values())[:MOST_NAMED]:
            more = f" = {len(members) - MOST_IN_LINE} more" if len(members) > MOST_IN_LINE else ""
            names = " = ".join(item.both_names for item in members[:MOST_IN_LINE])
            told.append(Line(names + more, members[0].detail, len(members)))
        return told, self.count - sum(line.count for line in told)

    def sources_line(self) -> str:
        """`fracatlas 59 of 3064 (1.9%), ...`; empty for what is not about images."""
        return ", ".join(
            f"{name} {count} of {of} ({count / of:.1%})" for name, (count, of) in sorted(self.by_source.items())
        )


@dataclass(frozen=True)
class Line:
    """One line about offenders: an image, a pair, a class or a source, or all members of one group."""

    name: str
    detail: str
    count: int


class Repair(BaseModel):
    """An image whose truncated file was mended in a copy."""

    model_config = ConfigDict(frozen=True)

    name: str
    """`source:path`."""
    sha256: str
    repaired: str
    """SHA-256 of the mended copy."""


class Validation(BaseModel):
    """What the checks of one stage found; it lies in the lake under `key`."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    key: str
    docs: str = ""
    """Prefix of the Data Docs in the lake; `index.html` is below. Empty where there are none."""
    findings: list[Finding]
    """The worst first."""
    classes: dict[str, dict[str, int]] = {}
    """Images by class and source."""
    unchecked: dict[str, list[str]] = {}
    """By source, what could not be checked of its labels, one sentence each."""
    repaired: int = 0
    repairs: list[Repair] = []
    """Some of the repaired images."""

    @property
    def stops(self) -> bool:
        """Whether a finding is critical."""
        return any(finding.severity == "critical" for finding in self.findings)


def read_validation(lake: Lake, key: str) -> Validation:
    """Read back what `write_validation` left.

    Raises:
        LakeError: There is no such object.
        pydantic.ValidationError: It is none of ours.
    """
    return Validation.model_validate_json(lake.get_bytes(key))


def write_validation(lake: Lake, found: Validation) -> None:
    """Keep what checks found, under its key."""
    lake.put_json(found.key, found.model_dump(mode="json", exclude_none=True))
