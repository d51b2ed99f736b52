"""The validation gate: Great Expectations over the catalog, findings with a severity, and Data Docs in the lake."""

from __future__ import annotations

import html
import logging
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from osteon import catalog as catalogs
from osteon import extensions, history
from osteon.curation.catalogue import read_manifests
from osteon.curation.decisions import decided_pairs, decisions
from osteon.curation.measurements import read_measurements
from osteon.images import families
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.quality.check import Check, Rule, Severity, Table, Threshold, registered, sentence
from osteon.quality.copies import OTHER, group_table, pair_table
from osteon.quality.data_docs import make_offline
from osteon.quality.tables import (
    champion_table,
    class_table,
    classes_by_source,
    coverage_table,
    image_table,
    images_to_check,
    label_map_table,
    shift_table,
    source_table,
    with_source_values,
)
from osteon.quality.thresholds import load_thresholds
from osteon.records import IngestRecord
from osteon.schemas import Reviewed
from osteon.settings import Settings

VERSION = 10
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
MOST_REPAIRS = 12
ORDER: tuple[Severity, ...] = ("critical", "warning", "info")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """A check that failed."""

    check: str
    severity: Severity
    message: str
    count: int
    share: float
    """Failing rows over the rows that were looked at, 0 to 1."""
    offenders: list[dict[str, str]]
    """Up to MOST_OFFENDERS rows, each `name` (source:path or class) and `detail`; an image's `sha256`, and the `group`
    where members of one are listed together, as well; of a pair `other` and `other_sha256`. The worst come first."""
    remedy: str
    by_source: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Failing rows and all rows of each source that has failing ones, for checks of images."""


@dataclass(frozen=True)
class Validation:
    """What `validate` leaves in the lake under `key`."""

    key: str
    docs: str
    """Prefix of the Data Docs in the lake; `index.html` is below. Empty where there are none."""
    findings: list[Finding]
    classes: dict[str, dict[str, int]]
    """Images by class and source."""
    repaired: int
    repairs: list[dict[str, str]]
    """Up to MOST_REPAIRS of them: `name` (source:path), `sha256` and `repaired` (the SHA-256 of the mended copy)."""

    @property
    def stops(self) -> bool:
        return any(finding.severity == "critical" for finding in self.findings)


def validate(
    settings: Settings,
    lake: Lake,
    labels: LabelMap,
    catalog_key: str,
    manifest_keys: list[str],
    sources: dict[str, IngestRecord],
    learnt: dict[str, int],
    unknown: str = "",
) -> Validation:
    """Run every check. The result is kept in the lake; the same inputs give it without running anything.

    `sources` is what ingest left of each, by name; `learnt` the images by class that the champion
    learnt from, empty without one, and `unknown` why they are not known.

    A critical finding does not raise: whoever calls decides to stop, after telling people.
    """
    thresholds = load_thresholds(settings.quality_file)
    rules = {name: threshold.model_dump() for name, threshold in thresholds.items()}
    pulled = source_table(lake, sources)
    catalog, manifests = catalogs.read(lake, catalog_key, Reviewed), read_manifests(lake, manifest_keys)
    names, copies = history.read(lake, history.NAMES), history.read(lake, history.COPIES)
    pairs = pair_table(catalog, names, copies, decided_pairs(decisions(lake)))
    inputs = [
        catalog_key,
        manifest_keys,
        rules,
        labels.model_dump(),
        pulled.to_json(),
        pairs.to_json(),
        learnt,
        unknown,
        extensions.packages(extensions.CHECKS),
    ]
    key = derived_key("quality", VERSION, *inputs, suffix="/result.json")
    docs = key.replace("/result.json", "/docs")
    if lake.exists(key) and lake.exists(f"{docs}/index.html"):
        return read_validation(lake, key)
    measured = read_measurements(lake, settings.max_pixels, families.registered())
    images = images_to_check(catalog, catalogs.read_publications(lake, catalog), labels, measured)
    taking_part = catalog[catalogs.eligible(catalog)]
    classes = class_table(taking_part, labels)
    shift = shift_table(learnt, classes)
    tables: dict[Table, pd.DataFrame] = {
        "images": image_table(catalog, manifests, images, _of_table("images")),
        "taking_part": taking_part[["source", "path"]],
        "coverage": coverage_table(manifests),
        "classes": classes,
        "champion": champion_table(unknown),
        "label_map": label_map_table(labels),
        "sources": with_source_values(pulled, images, _of_table("sources")),
        "groups": group_table(catalog),
        "pairs": pairs,
    }
    if len(shift):  # a check of nothing would pass
        tables["shift"] = shift
    with tempfile.TemporaryDirectory(prefix="osteon-gx-") as folder:
        findings = find(tables, thresholds, Path(folder))
        site = Path(folder) / "gx" / "uncommitted" / "data_docs" / "local_site"
        make_offline(site)
        lake.put_folder(docs, site)
    repaired = catalog[catalog["repaired_sha256"].notna()]
    repairs = [
        {"name": f"{row.source}:{row.path}", "sha256": row.sha256, "repaired": row.repaired_sha256}
        for row in repaired.head(MOST_REPAIRS).itertuples()
    ]
    result = Validation(key, docs, findings, classes_by_source(taking_part), len(repaired), repairs)
    lake.put_json(key, asdict(result))
    for old in lake.newest("quality/", "/docs/index.html")[settings.data_docs_kept :]:
        lake.remove_folder(old.removesuffix("/index.html"))  # the findings stay
    return result


def read_validation(lake: Lake, key: str) -> Validation:
    """Read back what `validate` left."""
    stored = lake.get_json(key)
    findings = [
        Finding(**{**finding, "by_source": {name: tuple(pair) for name, pair in finding["by_source"].items()}})
        for finding in stored["findings"]
    ]
    return Validation(**{**stored, "findings": findings})


def find(tables: dict[Table, pd.DataFrame], thresholds: dict[str, Threshold], folder: Path) -> list[Finding]:
    """What the checks of some tables find, the worst first, else in the order of `thresholds`.

    `folder` is as `run_suite` has it.
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


def _of_table(name: Table) -> list[Check]:
    return [check for check in registered().values() if check.table == name]


def run_suite(tables: dict[Table, pd.DataFrame], thresholds: dict[str, Threshold], folder: Path) -> dict[str, Any]:
    """Run the checks as one checkpoint and build Data Docs below `folder`. Returns each check's result by its name.

    Raises `RuntimeError` when an expectation could not be evaluated at all: that is no finding but a defect.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations import expectations

    context = gx.get_context(mode="file", project_root_dir=str(folder))
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    source = context.data_sources.add_pandas("catalog")
    results: dict[str, Any] = {}
    checks = registered()
    for name, table in tables.items():
        suite = context.suites.add(gx.ExpectationSuite(name=name))
        for check in (checks[known] for known in thresholds if checks[known].table == name):
            threshold = thresholds[check.name]
            arguments: dict[str, Any] = dict(_bounds(check, threshold))
            if check.rule != "rows":
                arguments |= {"column": check.column, "mostly": 1 - threshold.max_share}
            kind = getattr(expectations, EXPECTATIONS[check.rule])
            allowed = f" Up to {threshold.max_share:.0%} may fail." if threshold.max_share else ""
            words = {"description": f"{check.name}: {check.title}{allowed}", "notes": check.remedy}
            suite.add_expectation(kind(severity=threshold.severity, meta={"check": check.name}, **words, **arguments))
        data = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=data, suite=suite))
        identity = [column for column in ("source", "path", "class") if column in table]
        checkpoint = gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": identity},
        )
        # object columns: Great Expectations compares values with `==`, which pandas' NA answers with NA
        plain = table.astype("object").where(table.notna(), None)
        # and puts them into its pages as they are: a file's name must not become markup there
        plain = plain.map(lambda value: html.escape(value, quote=False) if isinstance(value, str) else value)
        outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": plain})
        for run in outcome.run_results.values():
            for result in run.results:
                expectation: Any = result.expectation_config
                if result.exception_info.get("raised_exception"):
                    raise RuntimeError(f"{expectation}: {result.exception_info['exception_message']}")
                results[expectation.meta["check"]] = result
    context.build_data_docs()
    return results


def _finding(check: Check, threshold: Threshold, result: Any, table: pd.DataFrame) -> Finding | None:
    if result.success:
        return None
    body = result.result
    if check.rule == "rows":
        message = sentence(check.message, 1, "", body["observed_value"], (), threshold.minimum)
        return Finding(check.name, threshold.severity, message, 1, 1.0, [], check.remedy)
    count, share = int(body["unexpected_count"]), body["unexpected_count"] / max(1, body["element_count"])
    severity = threshold.severity
    if threshold.critical_share is not None and share >= threshold.critical_share:
        severity = "critical"
    failing = _failing(check, threshold, table)
    if int(failing.sum()) != count:
        raise RuntimeError(f"check {check.name}: {count} rows fail by Great Expectations, {failing.sum()} by the table")
    rows = _worst_first(check, table.loc[failing]).head(MOST_OFFENDERS)
    offenders = [_offender(check, row) for row in rows.to_dict("records")]
    named = [(item["name"], item["detail"]) for item in offenders]
    message = sentence(check.message, count, f"{share:.1%}", "", named)
    finding = Finding(check.name, severity, message, count, round(share, 4), offenders, check.remedy)
    if check.table != "images":
        return finding
    counts = pd.DataFrame({"failing": failing, "source": table["source"]}).groupby("source")["failing"]
    counts = counts.agg(["sum", "size"])
    counts = counts[counts["sum"] > 0]
    return replace(finding, by_source={str(row.Index): (int(row.sum), int(row.size)) for row in counts.itertuples()})


def _offender(check: Check, row: dict[str, Any]) -> dict[str, str]:
    name = f"{row['source']}:{row['path']}" if "path" in row else row.get("class", row.get("source"))
    offender = {"name": str(name), "detail": _told(row[check.detail], check.unit)}
    if isinstance(row.get("sha256"), str):
        offender["sha256"] = row["sha256"]
    if check.order == "group":
        offender["group"] = row["group"]
    return offender | {name: row[name] for name in OTHER if isinstance(row.get(name), str)}


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
    numbers, bounds = values.astype("Float64"), _bounds(check, threshold)
    outside = numbers < bounds["min_value"] if "min_value" in bounds else numbers > bounds["max_value"]
    return outside.fillna(False).astype(bool)


def _bounds(check: Check, threshold: Threshold) -> dict[str, float | None]:
    """The bound that the check's rule takes from the threshold, as Great Expectations names it."""
    if check.rule == "at_most":
        return {"max_value": threshold.maximum}
    return {"min_value": threshold.minimum} if check.rule in ("at_least", "rows") else {}
