"""All stages of a run in this process, one after the other, without Airflow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from osteon.errors import SourceError
from osteon.pipeline.context import Context
from osteon.pipeline.stages import (
    CATALOGUE,
    INGEST,
    LIST_SOURCES,
    REPORT,
    STAGES,
    Stage,
    is_wanted,
    run_stage,
)
from osteon.records import CatalogKey, ManifestKey

log = logging.getLogger(__name__)


def run_all(context: Context, options: Mapping[str, Any], stop_after: str = "report") -> None:
    """Run the stages in order, each on what the stages before it yield. Nobody is asked anything.

    The report is always written, also of a run that a stage stops.

    Args:
        context: The run.
        options: What the form asks for: `sources, budget, seed, force_retrain, require_approval`.
        stop_after: The last stage to run.

    Raises:
        QualityError: A critical finding stopped the run before training.
        SourceError: No source could be pulled.
        OsteonError: Any other stage failed.
    """
    results: dict[str, Any] = {}
    try:
        for stage in STAGES:
            if stage is REPORT or not is_wanted(stage.stop, stop_after):
                continue
            log.info("stage %s", stage.name)
            if stage is INGEST:
                results[stage.name] = ingest_all(context, results["sources"], options["sources"])
                continue
            arguments = {argument: results[source] for argument, source in stage.inputs.items()}
            arguments |= {option: options[option] for option in stage.options} | {name: [] for name in stage.people}
            results[stage.name] = run_stage(stage, context, **arguments).result
    finally:
        run_stage(REPORT, context)


def ingest_all(context: Context, names: list[str], sources: str) -> list[ManifestKey]:
    """Pull every source; one that fails does not stop the others. Raises `SourceError` where all fail."""
    manifests, problems = list[ManifestKey](), list[str]()
    for name in names:
        try:
            manifests.append(run_stage(INGEST, context, source=name, sources=sources).result)
        except Exception as error:  # whatever a publisher's data or client makes happen: the record says what
            log.exception("source %s", name)
            problems.append(f"{name}: {error}")
    if not manifests:
        raise SourceError(f"no source could be pulled: {'; '.join(problems)}")
    return manifests


def prepare(context: Context, sources: str, *stages: Stage[Any], **options: Any) -> CatalogKey:
    """Pull all sources, catalogue them, and run some stages that each take a catalog and give another.

    Args:
        context: The run.
        sources: The sources file.
        stages: In their order; those between them are left out.
        options: Of the stages.
    """
    names = run_stage(LIST_SOURCES, context, sources=sources).names
    manifests = ingest_all(context, names, sources)
    return run_on_catalog(context, run_stage(CATALOGUE, context, manifests=manifests).catalog, *stages, **options)


def run_on_catalog(context: Context, catalog: CatalogKey, *stages: Stage[Any], **options: Any) -> CatalogKey:
    """Run stages that take nothing but a catalog and options, each on the catalog of the one before."""
    for stage in stages:
        given = {name: options[name] for name in stage.options}
        catalog = run_stage(stage, context, catalog=catalog, **given).catalog
    return catalog
