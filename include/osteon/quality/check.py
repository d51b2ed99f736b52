"""What a check is, and the registry that each check enters with `@register`.

One file in `osteon.quality.checks`, or in another package, holds a check. It says what the check measures, on which
table it works, when it fails, what people read, and which defect proves it. `docs/add-a-check.md` walks through one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from osteon import extensions
from osteon.errors import ExtensionError
from osteon.images import families
from osteon.images.families import Family
from osteon.sources import defects
from osteon.sources.defects import Defect

if TYPE_CHECKING:
    from osteon.quality.images import Images

Severity = Literal["info", "warning", "critical"]
Table = Literal[
    "images", "taking_part", "coverage", "classes", "shift", "champion", "label_map", "sources", "groups", "pairs",
    "labels", "neighbours", "placements", "statements",
]  # fmt: skip
"""What checks look at: `neighbours` and `placements` after `split`, the others after `review`."""
COMPUTED = ("images", "sources")
"""Tables to which a check may add its own column."""
Rule = Literal["empty", "filled", "at_least", "at_most", "rows"]
"""What a row's value has to be: `empty`, `filled` (not empty), `at_least` the threshold's `minimum`, or `at_most` its
`maximum`. `rows`: the table has at least `minimum` rows."""
BOUND: dict[Rule, Literal["minimum", "maximum"]] = {"at_least": "minimum", "at_most": "maximum", "rows": "minimum"}
"""The bound that a rule takes from the threshold."""
CHOICE = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")


class Threshold(BaseModel):
    """How bad a check's failure is, and from where on; see `config/quality.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    severity: Severity
    max_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the rows that may fail before there is a finding."""
    critical_share: float | None = Field(default=None, gt=0, le=1)
    """Share of the rows from which on the finding is critical."""
    minimum: int | float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _critical_is_a_finding(self) -> Threshold:
        if self.critical_share is not None and self.critical_share <= self.max_share:
            raise ValueError(f"nothing up to max_share {self.max_share} is a finding: critical_share must be above it")
        return self


class Check:
    """One thing that may be wrong with the data. A check is a subclass that sets these, and is decorated by `register`.

    `message` may hold placeholders. `{count}` and `{share}` are of failing rows. `{names}`, `{listed}` and `{details}`
    are of the offenders: names, names with details, details. `{observed}` and `{minimum}` are of the rule `rows`. Of
    `{singular|plural}`, the count picks one.
    """

    name: ClassVar[str]
    """Its entry in `config/quality.yaml`."""
    table: ClassVar[Table] = "images"
    column: ClassVar[str] = ""
    """Column of the table that the rule looks at; the check's name without one."""
    rule: ClassVar[Rule] = "empty"
    default: ClassVar[Threshold]
    title: ClassVar[str]
    """What is expected, one sentence, as Data Docs say it."""
    message: ClassVar[str]
    """What happened, to which items."""
    remedy: ClassVar[str]
    """What to do."""
    detail: ClassVar[str] = ""
    """Column that says, for a failing row, what is wrong with it; `column` without one."""
    unit: ClassVar[str] = ""
    """Of `detail`, where that is a number; `%` shows a share of 0 to 1 in percent."""
    order: ClassVar[str] = ""
    """Column that offenders are listed by, instead of the worst first; `group` lists copies of one film together."""
    measures: ClassVar[Family | None] = None
    """What it needs measured of each image."""
    defects: ClassVar[tuple[Defect, ...]] = ()
    """Defects of generated radiographs that it must find."""

    def values(self, images: Images) -> pd.Series | pd.DataFrame | None:
        """Its column of the table, and others that it needs; None where the table has them.

        Args:
            images: The images of this run, and what was measured of them.

        Returns:
            Of the table `images`, values by the index of `images.catalog`; of `sources`, by the source's name. A frame
            holds several columns. By default an image's measured column, where the image can be used.
        """
        if self.table == "images" and self.measures is not None:
            return images.measured[self.column].where(images.usable)
        return None


_CHECKS = extensions.Registry[Check]("checks", extensions.CHECKS, type)
Kind = TypeVar("Kind", bound=type[Check])


def register(kind: Kind) -> Kind:
    """Make a check known, with what it measures and its defects. A decorator of its class.

    Raises:
        ExtensionError: It lacks something, or something else has its name. The message names its class.
    """
    check = kind()
    who = f"check {extensions.full_name(kind)}"
    for attribute in ("name", "default", "title", "message", "remedy"):
        if not getattr(check, attribute, None):
            raise ExtensionError(f"{who} has no `{attribute}`: set it")
    kind.column = kind.column or check.name
    kind.detail = kind.detail or kind.column
    bound = BOUND.get(check.rule)
    if bound and getattr(check.default, bound) is None:
        raise ExtensionError(f"{who} could never fail: give its `default` a `{bound}`")
    if kind.values is not Check.values and check.table not in COMPUTED:
        raise ExtensionError(f"{who} gives `values` for the table {check.table}: only {', '.join(COMPUTED)} take them")
    try:
        sentence(check.message, 2, "", "", ())
    except (KeyError, IndexError, ValueError) as error:
        raise ExtensionError(f"{who}: its message has a placeholder that is not known: {error}") from error
    _CHECKS.add(check.name, check)
    if check.measures is not None:
        families.register(check.measures)
    for defect in check.defects:
        defects.register(defect)
    return kind


def registered() -> dict[str, Check]:
    """All checks by name, in the order of their names.

    Raises:
        ExtensionError: A check of another package cannot be loaded.
    """
    return _CHECKS.all()


MOST_LISTED = 20
"""Offenders that a message lists."""


def sentence(
    message: str, count: int, share: str, observed: str, offenders: Sequence[tuple[str, str]], minimum: float | None = 0
) -> str:
    """A check's message with its placeholders filled in.

    Args:
        message: See `Check`.
        count: Failing rows; `{one|several}` becomes its first half for 1.
        share: Of the rows, as people read it.
        observed: Rows that the table has.
        offenders: Name and detail of each; of more than MOST_LISTED the rest are counted.
        minimum: Rows that the table needs.
    """
    chosen = CHOICE.sub(lambda found: found[1 if count == 1 else 2], message)
    more = [f"and {len(offenders) - MOST_LISTED} more"] if len(offenders) > MOST_LISTED else []
    shown = offenders[:MOST_LISTED]
    names = ", ".join([*(name for name, _ in shown), *more])
    listed = ", ".join([*(f"{name} ({detail})" for name, detail in shown), *more])
    details = "; ".join([*(detail for _, detail in shown), *more])
    return chosen.format(
        count=count, share=share, names=names, listed=listed, details=details, observed=observed, minimum=minimum
    )
