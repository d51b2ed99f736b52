"""What a run found and did, added up from its stages: the values of `summary.json`, the page and the table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.catalogue import accounts, read_manifests
from osteon.curation.split import split_accounts
from osteon.lake import Lake
from osteon.quality.tables import classes_by_source
from osteon.quality.validate import ORDER, Finding, read_validation
from osteon.records import (
    BaseModelsRecord,
    CatalogRecord,
    CatalogueRecord,
    CheckRecord,
    InspectRecord,
    RegisterRecord,
    RelabelRecord,
    SplitRecord,
    ValidateRecord,
)
from osteon.reports.patients import count_patients
from osteon.reports.relabel import base_results
from osteon.results import Comparison, TrainingResult, read_or_skip, result_key
from osteon.runs import Records, Run


def tables(lake: Lake, records: Records) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """A run's manifests, in one, and its latest catalog; None for a run that did not come to `repair`."""
    catalogs_since_repair = [
        record.catalog
        for record in records.values()
        if isinstance(record, CatalogRecord) and not isinstance(record, CatalogueRecord | InspectRecord)
    ]
    if not catalogs_since_repair:
        return None
    manifests = [str(record.manifest) for record in records.sources().values() if record.manifest]
    return read_manifests(lake, manifests), catalogs.read(lake, catalogs_since_repair[-1])


def summarise(
    lake: Lake, run: Run, records: Records, found: tuple[pd.DataFrame, pd.DataFrame] | None
) -> dict[str, Any]:
    """The summary of a run, with its `tables`. What a run that stopped early did not reach is None or empty.

    `truncated` and `repaired` count published files, `duplicates` exact copies beyond an image's first publication.
    Patients are counted as `reports.patients.count_patients` does, of images that have a split.
    Raises `CatalogError` when the counts do not add up from ingest to split.
    """
    split, inspected, validated = records.of(SplitRecord), records.of(InspectRecord), records.of(ValidateRecord)
    summary: dict[str, Any] = {
        "run": run.run_id,
        "snapshot": split.snapshot if split else None,
        **dict.fromkeys(("images", "truncated", "repaired", "quarantined", "duplicates", "groups")),
        "sources": {},
        "patients": {},
        "without_patient": {},
        "patients_across_splits": None,
        "classes": {},
        "left_out": {},
        "split": {},
        "leakage": None,
        "relabel": None,
        "models": {},
        "comparison": [],
        "champion": None,
        "registered": None,
        "alerts": None,
        "data_docs": validated.docs if validated else None,
        "seconds": {name: record.seconds for name, record in records.items()},
        "work": {
            "uploaded": sum(record.uploaded for record in records.sources().values()),
            "decoded": inspected.decoded if inspected else None,
        },
        "report": f"{run.prefix}/report/index.html",
    }
    if found is not None:
        summary |= _counts(*found, split=split is not None)
    if validated:
        summary["alerts"] = [
            {name: getattr(finding, name) for name in ("check", "severity", "message", "count", "remedy")}
            for finding in all_findings(lake, records)
        ]
    if check := records.of(CheckRecord):
        summary["leakage"] = check.model_dump(include={"tests", "closest", "bar", "not_compared", "waiting"})
    if relabelled := records.of(RelabelRecord):
        base = records.of(BaseModelsRecord)
        summary["relabel"] = {
            "decisions": relabelled.decisions,
            "changes": relabelled.changes,
            "untaught": base.untaught if base else {},
            "models": {
                result.model: result.model_dump(mode="json", include={"input", "metrics", "intervals", "ablation"})
                for result in base_results(lake, relabelled)
            },
        }
    if registered := records.of(RegisterRecord):
        if result := read_or_skip(lake, TrainingResult, result_key(registered.training)):
            summary["models"] = {result.model: result.model_dump(mode="json")}
        if comparison := read_or_skip(lake, Comparison, registered.comparison):
            summary["comparison"] = comparison.model_dump(mode="json")["rows"]
        summary["registered"] = registered.model_dump(include={"model", "version", "alias", "promoted", "reason"})
        summary["champion"] = registered.champion
    return summary


def trained_models(summary: dict[str, Any]) -> list[TrainingResult]:
    """The models that a summary tells of."""
    return [TrainingResult.model_validate(result, extra="ignore") for result in summary["models"].values()]


def comparison_of(summary: dict[str, Any]) -> Comparison | None:
    """The comparison that a summary tells of; None where the run made none."""
    return Comparison.model_validate(summary["comparison"], extra="ignore") if summary["comparison"] else None


def all_findings(lake: Lake, records: Records) -> list[Finding]:
    """What the checks after `review` and those after `split` found, the worst first."""
    validated, checked = records.of(ValidateRecord), records.of(CheckRecord)
    keys = [validated.validation] if validated else []
    keys += [checked.check] if checked else []
    findings = [finding for key in keys for finding in read_validation(lake, key).findings]
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))


def _counts(manifests: pd.DataFrame, catalog: pd.DataFrame, split: bool) -> dict[str, Any]:
    table = accounts(manifests, catalog)
    copies = catalog["published"].map(len)
    usable = catalog[catalogs.usable(catalog)]
    counts: dict[str, Any] = {
        "images": int(table["images"].sum()),
        "truncated": int(copies[catalog["truncated"].fillna(False)].sum()),
        "repaired": int(copies[catalog["repaired_sha256"].notna()].sum()),
        "quarantined": int(table["quarantined"].sum()),
        "duplicates": int(table["duplicates"].sum()),
        "groups": int(catalog["group"].nunique()),
        "sources": table.to_dict("index"),
        "classes": classes_by_source(catalog),
        **count_patients(usable[usable["split"].notna()] if split else usable, list(table.index)),
    }
    if split:
        counts["left_out"], counts["split"] = split_accounts(catalog, counts["images"])
    return counts
