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
from osteon.reports.patients import count_patients
from osteon.runs import Run


def tables(lake: Lake, run: Run) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """A run's manifests, in one, and its latest catalog; None for a run that did not come to `repair`."""
    stages = run.stages()
    latest = next(
        (
            stages[name]["catalog"]
            for name in ("split", "answers", "relabel", "review", "group", "repair")
            if name in stages
        ),
        None,
    )
    if latest is None:
        return None
    manifests = [numbers["manifest"] for numbers in run.sources().values() if "manifest" in numbers]
    return read_manifests(lake, manifests), catalogs.read(lake, latest)


def summarise(lake: Lake, run: Run, found: tuple[pd.DataFrame, pd.DataFrame] | None) -> dict[str, Any]:
    """The summary of a run, with its `tables`. What a run that stopped early did not reach is None or empty.

    `truncated` and `repaired` count published files, `duplicates` exact copies beyond an image's first publication.
    Patients are counted as `reports.patients.count_patients` does, of images that have a split.
    Raises `CatalogError` when the counts do not add up from ingest to split.
    """
    stages = run.stages()
    sources = run.sources()
    summary: dict[str, Any] = {
        "run": run.run_id,
        "snapshot": stages.get("split", {}).get("snapshot"),
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
        "data_docs": stages.get("validate", {}).get("docs"),
        "seconds": {name: numbers["seconds"] for name, numbers in stages.items()},
        "work": {
            "uploaded": sum(numbers.get("uploaded", 0) for numbers in sources.values()),
            "decoded": stages.get("inspect", {}).get("decoded"),
        },
        "report": f"{run.prefix}/report/index.html",
    }
    if found is not None:
        summary |= _counts(*found, split="split" in stages)
    if "validate" in stages:
        summary["alerts"] = [
            {name: getattr(finding, name) for name in ("check", "severity", "message", "count", "remedy")}
            for finding in all_findings(lake, stages)
        ]
    if "check" in stages:
        names = ("tests", "closest", "bar", "not_compared", "waiting")
        summary["leakage"] = {name: stages["check"][name] for name in names}
    if "relabel" in stages:
        numbers = stages["relabel"]
        models = [lake.get_json(f"{training}/result.json") for training in numbers["trainings"]]
        summary["relabel"] = {name: numbers[name] for name in ("decisions", "changes")}
        summary["relabel"]["untaught"] = stages.get("base_models", {}).get("untaught", {})
        summary["relabel"]["models"] = {
            result["model"]: {name: result[name] for name in ("input", "metrics", "intervals", "ablation")}
            for result in models
        }
    if "register" in stages:
        numbers = stages["register"]
        result = lake.get_json(f"{numbers['training']}/result.json")
        summary["models"] = {result["model"]: result}
        summary["comparison"] = lake.get_json(numbers["comparison"])
        summary["registered"] = {name: numbers[name] for name in ("model", "version", "alias", "promoted", "reason")}
        summary["champion"] = numbers["champion"]
    return summary


def all_findings(lake: Lake, stages: dict[str, dict[str, Any]]) -> list[Finding]:
    """What the checks after `review` and those after `split` found, the worst first."""
    keys = [stages[name][output] for name, output in (("validate", "validation"), ("check", "check")) if name in stages]
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
