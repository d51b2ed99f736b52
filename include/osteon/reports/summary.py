"""What a run found and did, added up from its stages: `summary.json`, which the pages and the terminal show."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from pydantic import BaseModel, field_validator

from osteon import catalog as catalogs
from osteon.curation.catalogue import accounts, read_manifests
from osteon.curation.split import split_accounts
from osteon.lake import Lake
from osteon.quality.check import Severity
from osteon.quality.findings import ORDER, Finding, read_validation
from osteon.quality.tables import classes_by_source
from osteon.records import (
    BaseModelsRecord,
    CatalogRecord,
    CatalogueRecord,
    CheckRecord,
    InspectRecord,
    LeakageNumbers,
    RegisterRecord,
    RelabelRecord,
    SplitRecord,
    ValidateRecord,
)
from osteon.reports.patients import PatientCounts, count_patients
from osteon.reports.relabel import base_results
from osteon.results import Comparison, InputAblation, Intervals, Metrics, TrainingResult, result_key
from osteon.runs import Records, Run
from osteon.schemas import Repaired

SCHEMA_VERSION = 1


class SourceAccount(BaseModel):
    """Where the files of a source went: files = images + duplicates + quarantined."""

    files: int
    images: int
    duplicates: int
    quarantined: int


class FindingSummary(BaseModel):
    """A finding without its offenders."""

    check: str
    severity: Severity
    message: str
    count: int
    remedy: str


class BaseModelSummary(BaseModel):
    """What a base model is worth."""

    input: str
    metrics: Metrics
    intervals: Intervals
    ablation: dict[str, InputAblation]
    """By input."""


class RelabelSummary(BaseModel):
    """What was decided about ambiguous images, and by which base models."""

    decisions: dict[str, int]
    """Images by decision."""
    changes: list[str]
    untaught: dict[str, str]
    """Why base models were not trained, by name."""
    models: dict[str, BaseModelSummary]


class Registered(BaseModel):
    """What the run put into the registry."""

    model: str
    version: str
    alias: str
    promoted: bool
    reason: str


class Work(BaseModel):
    """What the run did that no run before it had done."""

    uploaded: int = 0
    """Files."""
    decoded: int | None = None
    """Images."""


class Summary(PatientCounts):
    """What a run found and did. What a run that stopped early did not reach is None or empty."""

    schema_version: int = SCHEMA_VERSION
    run: str
    report: str
    """Key of the report's page."""
    snapshot: str | None = None
    images: int | None = None
    truncated: int | None = None
    repaired: int | None = None
    """This and `truncated` count published files."""
    quarantined: int | None = None
    duplicates: int | None = None
    """Exact copies beyond an image's first publication."""
    groups: int | None = None
    sources: dict[str, SourceAccount] = {}
    classes: dict[str, dict[str, int]] = {}
    """Images by class and source."""
    left_out: dict[str, int] = {}
    """Images by reason."""
    split: dict[str, int] = {}
    leakage: LeakageNumbers | None = None
    relabel: RelabelSummary | None = None
    models: dict[str, TrainingResult] = {}
    """What trainings left, by model."""
    comparison: Comparison | None = None
    champion: str | None = None
    registered: Registered | None = None
    alerts: list[FindingSummary] | None = None
    """The worst first; None where nothing was checked."""
    data_docs: str | None = None
    """Prefix of the Data Docs in the lake."""
    seconds: dict[str, float] = {}
    """By record."""
    work: Work = Work()

    @field_validator("comparison", mode="before")
    @classmethod
    def _none_without_rows(cls, value: object) -> object:
        """Version 0.1.0 left an empty list where a run compared nothing."""
        return value or None


def summary_key(run: Run) -> str:
    """Where the lake keeps the summary of a run."""
    return f"{run.prefix}/summary.json"


class Tables(NamedTuple):
    """What a run's figures are counted from."""

    manifests: pd.DataFrame
    """Of all sources, in one."""
    catalog: pd.DataFrame
    """The latest, with the columns of all stages."""
    publications: pd.DataFrame


def tables(lake: Lake, records: Records) -> Tables | None:
    """The tables of a run; None for one that did not come to `repair`."""
    catalogs_since_repair = [
        record.catalog
        for record in records.values()
        if isinstance(record, CatalogRecord) and not isinstance(record, CatalogueRecord | InspectRecord)
    ]
    if not catalogs_since_repair:
        return None
    manifests = [str(record.manifest) for record in records.sources().values() if record.manifest]
    catalog = catalogs.complete(catalogs.read(lake, catalogs_since_repair[-1], Repaired))
    return Tables(read_manifests(lake, manifests), catalog, catalogs.read_publications(lake, catalog))


def summarise(lake: Lake, run: Run, records: Records, found: Tables | None) -> Summary:
    """The summary of a run.

    Args:
        lake: Holds what the records name.
        run: The run.
        records: What its stages left.
        found: Its `tables`.

    Raises:
        CatalogError: The counts do not add up from ingest to split.
    """
    split, inspected, validated = records.of(SplitRecord), records.of(InspectRecord), records.of(ValidateRecord)
    summary = Summary(
        run=run.run_id,
        report=f"{run.prefix}/report/index.html",
        snapshot=split.snapshot if split else None,
        data_docs=validated.docs if validated else None,
        seconds={name: record.seconds for name, record in records.items()},
        work=Work(
            uploaded=sum(record.uploaded for record in records.sources().values()),
            decoded=inspected.decoded if inspected else None,
        ),
    )
    if found is not None:
        summary = summary.model_copy(update=_counts(found, split=split is not None))
    if validated:
        findings = all_findings(lake, records)
        summary.alerts = [FindingSummary.model_validate(finding, from_attributes=True) for finding in findings]
    if check := records.of(CheckRecord):
        summary.leakage = LeakageNumbers(**check.model_dump(include=set(LeakageNumbers.model_fields)))
    if relabelled := records.of(RelabelRecord):
        summary.relabel = _relabelled(lake, relabelled, records.of(BaseModelsRecord))
    if registered := records.of(RegisterRecord):
        if result := lake.find_model(TrainingResult, result_key(registered.training)):
            summary.models = {result.model: result}
        summary.comparison = lake.find_model(Comparison, registered.comparison)
        summary.registered = Registered.model_validate(registered, from_attributes=True)
        summary.champion = registered.champion
    return summary


def _relabelled(lake: Lake, record: RelabelRecord, base: BaseModelsRecord | None) -> RelabelSummary:
    results = base_results(lake, record)
    return RelabelSummary(
        decisions=record.decisions,
        changes=record.changes,
        untaught=base.untaught if base else {},
        models={one.model: BaseModelSummary.model_validate(one, from_attributes=True) for one in results},
    )


def all_findings(lake: Lake, records: Records) -> list[Finding]:
    """What the checks after `review` and those after `split` found, the worst first."""
    validated, checked = records.of(ValidateRecord), records.of(CheckRecord)
    keys = [validated.validation] if validated else []
    keys += [checked.check] if checked else []
    findings = [finding for key in keys for finding in read_validation(lake, key).findings]
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


def _counts(found: Tables, split: bool) -> dict[str, object]:
    """Fields of the summary."""
    table, catalog = accounts(*found), found.catalog
    files = catalog["sha256"].map(found.publications["sha256"].value_counts())
    usable = catalog[catalogs.usable(catalog)]
    images = int(table["images"].sum())
    patients = count_patients(usable[usable["split"].notna()] if split else usable, list(table.index))
    left_out, placed = split_accounts(catalog, images) if split else ({}, {})
    return {
        "images": images,
        "truncated": int(files[catalog["truncated"].fillna(False)].sum()),
        "repaired": int(files[catalog["repaired_sha256"].notna()].sum()),
        "quarantined": int(table["quarantined"].sum()),
        "duplicates": int(table["duplicates"].sum()),
        "groups": int(catalog["group"].nunique()),
        "sources": {str(name): SourceAccount.model_validate(row) for name, row in table.to_dict("index").items()},
        "classes": classes_by_source(catalog),
        "left_out": left_out,
        "split": placed,
        **dict(patients),
    }
