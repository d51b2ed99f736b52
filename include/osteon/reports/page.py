"""The run's report: `summary.json` and one self-contained page, both below the run's prefix in the lake."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from osteon.images.registration import COPIED, DOUBTFUL
from osteon.lake import Lake
from osteon.quality.copies import view_text
from osteon.quality.findings import Finding, read_validation
from osteon.quality.pictures import Picture, before_and_after, class_chart, data_url, thumbnails
from osteon.records import CheckRecord, RelabelRecord, ValidateRecord
from osteon.reports.evaluation import write_evaluation
from osteon.reports.inventory import head_count, passed_over, published_files, sankey
from osteon.reports.leakage import UNDECIDED, closest_pairs, leakage_line, read_leakage, score_chart, undecided_pairs
from osteon.reports.model_card import interval, number
from osteon.reports.patients import patient_line
from osteon.reports.relabel import write_relabel_report
from osteon.reports.summary import Summary, all_findings, summarise, summary_key, tables
from osteon.results import Comparison, TrainingResult
from osteon.runs import Records, Run
from osteon.settings import Settings
from osteon.templates import environment
from osteon.training.evaluate import MEASURES

if TYPE_CHECKING:
    from rich.table import Table

THUMBNAILS_EACH = 6
"""Of a finding's offenders."""
COMPARED = ("macro_f1", "part_accuracy", "fracture_auroc_within_part", "fracture_auroc")


def write_report(settings: Settings, lake: Lake, run: Run, records: Records) -> str:
    """Write the summary, the page and the inventory. Returns the page's key."""
    found = tables(lake, records)
    summary = summarise(lake, run, records, found)
    key = summary.report
    folder = key.removesuffix("index.html")
    validated, relabelled = records.of(ValidateRecord), records.of(RelabelRecord)
    validation = read_validation(lake, validated.validation) if validated else None
    findings = all_findings(lake, records)
    leakage = read_leakage(lake, found.catalog) if found is not None and records.of(CheckRecord) else None
    page = (
        environment()
        .get_template("report.html")
        .render(
            s=summary,
            patients=patient_line(summary) if summary.split else "",
            leakage=leakage_line(leakage),
            view_text=view_text,
            closest=closest_pairs(lake, leakage, found.catalog, settings.max_pixels) if leakage and found else [],
            scores=data_url(score_chart(leakage.closest["score"].dropna()))
            if leakage and leakage.numbers.closest is not None
            else None,
            copied=COPIED,
            doubtful=DOUBTFUL,
            waiting=sum(finding.count for finding in findings if finding.check in UNDECIDED),
            undecided=undecided_pairs(lake, findings, settings.max_pixels),
            findings=findings,
            unchecked=validation.unchecked if validation else {},
            rows=rows,
            thumbnails=thumbnails(lake, findings, settings.max_pixels, most=THUMBNAILS_EACH * len(findings)),
            repairs=before_and_after(lake, validation, settings.max_pixels, THUMBNAILS_EACH) if validation else [],
            data_url=data_url,
            measures=MEASURES,
            number=number,
            interval=interval,
            chart=data_url(class_chart(summary.classes)) if summary.classes else None,
            registry=f"{settings.mlflow_link or settings.mlflow_url}/#/models",
        )
    )
    lake.put_bytes(key, page.encode(), "text/html; charset=utf-8")
    if found is not None:
        files = published_files(found.manifests, found.catalog)
        _write_inventory(lake, run, files, passed_over(found.manifests), folder)
        if relabelled:
            write_relabel_report(settings, lake, relabelled, found.catalog, folder)
    for result in summary.models.values():
        write_evaluation(lake, run.run_id, result, folder)
    lake.put_json(summary_key(run), summary.model_dump(mode="json"))
    return key


def rows(finding: Finding, pictures: list[Picture]) -> list[list[Picture]]:
    """Pictures of a finding's offenders in rows: one of each group where it lists groups, else one of all."""
    group = {item.both_names: item.group for item in finding.offenders}
    return [list(members) for _, members in groupby(pictures, lambda picture: group[picture.caption])]


def _write_inventory(lake: Lake, run: Run, files: pd.DataFrame, aside: pd.DataFrame, folder: str) -> None:
    table = head_count(files)
    page = (
        environment()
        .get_template("inventory.html")
        .render(
            run=run.run_id,
            diagram=Markup(sankey(files)),  # noqa: S704 - Plotly escapes what its JSON holds
            columns=list(table.columns),
            numbers=("files", "images", "originals"),
            rows=table.to_dict("records"),
            aside=aside.to_dict("records"),
        )
    )
    lake.put_bytes(f"{folder}inventory.html", page.encode(), "text/html; charset=utf-8")
    lake.put_bytes(f"{folder}inventory.csv", table.to_csv(index=False).encode(), "text/csv; charset=utf-8")


def table_lines(summary: Summary) -> list[Table]:
    """The summary as rich tables, for the terminal."""
    from rich.table import Table

    sources = Table("source", "files", "images", "duplicates", "quarantined", title="Files by source")
    for name, row in summary.sources.items():
        sources.add_row(name, str(row.files), str(row.images), str(row.duplicates), str(row.quarantined))
    classes = Table("class", *summary.sources, title="Images by class and source")
    for name, counts in summary.classes.items():
        classes.add_row(name, *(str(counts.get(source, 0)) for source in summary.sources))
    facts = Table(title="Found and done", show_header=False)
    for name in ("truncated", "repaired", "quarantined", "duplicates", "groups"):
        facts.add_row(name, str(getattr(summary, name)))
    for name, count in {**summary.left_out, **summary.split}.items():
        facts.add_row(name if name in summary.split else f"left out: {name}", str(count))
    alerts = Table("severity", "finding", title="Data quality")
    for alert in summary.alerts or []:
        alerts.add_row(alert.severity, alert.message)
    if summary.alerts is None:
        alerts.add_row("", "not checked: the run did not come to validation")
    tables = [sources, classes, facts, alerts]
    for result in summary.models.values():
        tables += _model_tables(result)
    if summary.comparison:
        tables.append(_comparison_table(summary.comparison))
    return tables


def _model_tables(result: TrainingResult) -> list[Table]:
    from rich.table import Table

    found = result.evaluation
    metrics = Table("measure", "test", "95 % interval", title=f"{result.model} on the test split")
    for metric, words in MEASURES.items():
        metrics.add_row(words, number(found.metrics.get(metric)), interval(found.intervals.get(metric)))
    for floor, value in found.metadata_baseline.items():
        metrics.add_row(f"floor: AUROC from {floor}", number(value), "")
    parts = Table(
        "images",
        "of",
        "judge fractures",
        "fractured",
        "fracture AUROC",
        "95 % interval",
        title="By body part and source",
    )
    for row in found.slices:
        figures = ("too few", "")
        if row.metrics is not None and row.intervals is not None:
            figures = number(row.metrics.get("fracture_auroc")), interval(row.intervals.get("fracture_auroc"))
        parts.add_row(row.name, str(row.n_images), str(row.n_evaluable), str(row.n_fractured), *figures)
    return [metrics, parts]


def _comparison_table(comparison: Comparison) -> Table:
    from rich.table import Table

    table = Table(
        "model",
        "learnt from",
        *(MEASURES[metric] for metric in COMPARED),
        f"{comparison.rows[0].model} is",
        title="On the same test images",
    )
    for row in comparison.rows:
        verdict: str = row.against.verdict if row.against else ""
        if row.matched_sample:
            verdict += f"; from as many images {row.matched_sample.verdict}"
        figures = [number(row.metrics.get(metric)) for metric in COMPARED]
        table.add_row(row.model, f"{row.n_train} of {row.n_train_main}", *figures, verdict)
    return table
