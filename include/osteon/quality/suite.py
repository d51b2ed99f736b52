"""The checks as expectations of Great Expectations: one suite for each table, and findings from its results."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from osteon.quality.check import Check, Rule, Table, Threshold, registered, sentence
from osteon.quality.copies import OTHER
from osteon.quality.findings import ORDER, Finding, Offender

EXPECTATIONS: dict[Rule, str] = {
    "empty": "ExpectColumnValuesToBeNull",
    "filled": "ExpectColumnValuesToNotBeNull",
    "at_least": "ExpectColumnValuesToBeBetween",
    "at_most": "ExpectColumnValuesToBeBetween",
    "rows": "ExpectTableRowCountToBeBetween",
}
"""Great Expectations' class for each rule."""
MOST_OFFENDERS = 500
"""Offenders that a finding lists; its `count` is always complete."""


@dataclass(frozen=True)
class CheckResult:
    """What Great Expectations says of one check."""

    success: bool
    rows: int
    """Rows of the table."""
    failing: int = 0
    """Rows that fail; of the rule `rows` always 0."""

    @property
    def share(self) -> float:
        """Failing rows over all rows, 0 to 1."""
        return self.failing / max(1, self.rows)


def find(tables: dict[Table, pd.DataFrame], thresholds: dict[str, Threshold], folder: Path) -> list[Finding]:
    """What the checks of some tables find, the worst first, else in the order of `thresholds`.

    Args:
        tables: What checks look at.
        thresholds: Of all checks.
        folder: As `run_suite` has it.
    """
    results = run_suite(tables, thresholds, folder)
    checks = registered()
    findings = [
        finding
        for name, threshold in thresholds.items()
        if checks[name].table in tables
        and (finding := _finding(checks[name], threshold, results[name], tables[checks[name].table]))
    ]
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


def run_suite(
    tables: dict[Table, pd.DataFrame], thresholds: dict[str, Threshold], folder: Path
) -> dict[str, CheckResult]:
    """Run the checks of some tables, and build Data Docs.

    Args:
        tables: What checks look at.
        thresholds: Of all checks; those of other tables are not run.
        folder: An empty folder; the Data Docs lie in `gx/uncommitted/data_docs` below it.

    Returns:
        Each check's result, by its name.

    Raises:
        RuntimeError: An expectation could not be evaluated at all. That is no finding but a defect.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    source = context.data_sources.add_pandas("catalog")
    checks, results = registered(), dict[str, CheckResult]()
    for name, table in tables.items():
        suite = context.suites.add(gx.ExpectationSuite(name=name))
        for check in (checks[known] for known in thresholds if checks[known].table == name):
            suite.add_expectation(_expectation(check, thresholds[check.name]))
        data = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=suite))
        identity = [column for column in ("source", "path", "class") if column in table]
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": identity},
        )
        outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": _plain(table)})
        for run in outcome.run_results.values():
            results |= dict(map(_check_result, run.results))
    context.build_data_docs()
    return results


def _expectation(check: Check, threshold: Threshold) -> Any:
    """A check as an object of Great Expectations."""
    from great_expectations import expectations

    arguments: dict[str, object] = dict(_bounds(check, threshold))
    if check.rule != "rows":
        arguments |= {"column": check.column, "mostly": 1 - threshold.max_share}
    allowed = f" Up to {threshold.max_share:.0%} may fail." if threshold.max_share else ""
    words = {"description": f"{check.name}: {check.title}{allowed}", "notes": check.remedy}
    kind = getattr(expectations, EXPECTATIONS[check.rule])
    return kind(severity=threshold.severity, meta={"check": check.name}, **words, **arguments)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table as Great Expectations can take it."""
    # object columns: it compares values with `==`, which pandas' NA answers with NA
    plain = table.astype("object").where(table.notna(), None)
    # and it puts them into its pages as they are: a file's name must not become markup there
    return plain.map(lambda value: html.escape(value, quote=False) if isinstance(value, str) else value)


def _check_result(result: Any) -> tuple[str, CheckResult]:
    """A check's name and its result. Raises `RuntimeError` where there is none."""
    expectation, body = result.expectation_config, result.result
    if result.exception_info.get("raised_exception"):
        raise RuntimeError(f"{expectation}: {result.exception_info['exception_message']}")
    name, success = str(expectation.meta["check"]), bool(result.success)
    if "unexpected_count" not in body:
        return name, CheckResult(success, int(body["observed_value"]))
    return name, CheckResult(success, int(body["element_count"]), int(body["unexpected_count"]))


def _finding(check: Check, threshold: Threshold, result: CheckResult, table: pd.DataFrame) -> Finding | None:
    if result.success:
        return None
    severity = threshold.severity
    if check.rule == "rows":
        message = sentence(check.message, 1, "", str(result.rows), (), threshold.minimum)
        return Finding(
            check=check.name, severity=severity, message=message, count=1, share=1, offenders=[], remedy=check.remedy
        )
    if threshold.critical_share is not None and result.share >= threshold.critical_share:
        severity = "critical"
    failing = _failing(check, threshold, table)
    count = int(failing.sum())
    if count != result.failing:
        raise RuntimeError(
            f"check {check.name}: {result.failing} rows fail by Great Expectations, {count} by the table"
        )
    rows = _worst_first(check, table.loc[failing]).head(MOST_OFFENDERS)
    offenders = [_offender(check, row) for _, row in rows.iterrows()]
    named = [(item.name, item.detail) for item in offenders]
    return Finding(
        check=check.name,
        severity=severity,
        message=sentence(check.message, count, f"{result.share:.1%}", "", named),
        count=count,
        share=round(result.share, 4),
        offenders=offenders,
        remedy=check.remedy,
        by_source=_by_source(failing, table["source"]) if check.table == "images" else {},
    )


def _by_source(failing: pd.Series, sources: pd.Series) -> dict[str, tuple[int, int]]:
    """Failing rows and all rows of each source that has failing ones."""
    every, wrong = sources.value_counts(), sources[failing].value_counts()
    return {str(name): (int(wrong[name]), int(every[name])) for name in sorted(wrong.index)}


def _offender(check: Check, row: pd.Series) -> Offender:
    name = f"{row['source']}:{row['path']}" if "path" in row else row.get("class", row.get("source"))
    texts = {column: row[column] for column in ("sha256", *OTHER) if isinstance(row.get(column), str)}
    if check.order == "group":
        texts["group"] = row["group"]
    return Offender(name=str(name), detail=_told(row[check.detail], check.unit), **texts)


def _worst_first(check: Check, failing: pd.DataFrame) -> pd.DataFrame:
    if check.order:
        return failing.sort_values(check.order, kind="stable")
    if check.rule in ("at_least", "at_most"):
        return failing.sort_values(check.column, ascending=check.rule == "at_least", kind="stable")
    return failing


def _told(value: Any, unit: str) -> str:
    if pd.isna(value) or isinstance(value, str):
        return "" if pd.isna(value) else value
    return f"{100 * value:.0f} %" if unit == "%" else f"{value:.3g} {unit}".rstrip()


def _failing(check: Check, threshold: Threshold, table: pd.DataFrame) -> pd.Series:
    """Which rows fail the check: Great Expectations gives complete indices for some expectations only."""
    values = table[check.column]
    if check.rule == "empty":
        return values.notna()
    if check.rule == "filled":
        return values.isna()
    numbers, least = values.astype("Float64"), check.rule == "at_least"
    bound = threshold.minimum if least else threshold.maximum
    assert bound is not None  # every threshold has the bound of its check's rule
    outside = numbers < bound if least else numbers > bound
    return outside.fillna(False).astype(bool)


def _bounds(check: Check, threshold: Threshold) -> dict[str, float | None]:
    """The bound that the check's rule takes from the threshold, as Great Expectations names it."""
    if check.rule == "at_most":
        return {"max_value": threshold.maximum}
    return {"min_value": threshold.minimum} if check.rule in ("at_least", "rows") else {}
