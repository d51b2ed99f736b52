"""All stages of a run in this process, one after the other, without Airflow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from osteon.errors import LakeError, OsteonError, SourceError, in_words
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
        SourceError: No source could be pulled, or one of which there is no version at all. The run then ends before it
            is raised.
        OsteonError: Any other stage failed.
    """
    results: dict[str, Any] = {}
    problems: list[str] = []
    try:
        for stage in STAGES:
            if stage is REPORT or not is_wanted(stage.stop, stop_after):
                continue
            log.info("stage %s", stage.name)
            if stage is INGEST:
                pulled = _pull(context, results["sources"], options["sources"])
                results[stage.name], problems = _required(pulled), pulled.problems
                continue
            arguments = {argument: results[source] for argument, source in stage.inputs.items()}
            arguments |= {option: options[option] for option in stage.options} | {name: [] for name in stage.people}
            results[stage.name] = run_stage(stage, context, **arguments).result
    finally:
        run_stage(REPORT, context)
    if problems:
        raise SourceError(f"the run did the rest, without sources that have no version yet: {'; '.join(problems)}")


class PulledSources(NamedTuple):
    """What became of all sources of a run."""

    manifests: list[ManifestKey]
    problems: list[str]
    """Of each source that gave no manifest, why."""


def pull_sources(context: Context, sources: str) -> PulledSources:
    """Pull every source that a sources file enables. One that fails does not stop the others.

    Args:
        context: The run.
        sources: The sources file.

    Raises:
        ConfigurationError: The sources file cannot be used, or enables no source.
    """
    return _pull(context, run_stage(LIST_SOURCES, context, sources=sources).names, sources)


def _pull(context: Context, names: list[str], sources: str) -> PulledSources:
    pulled = PulledSources([], [])
    for name in names:
        try:
            pulled.manifests.append(run_stage(INGEST, context, source=name, sources=sources).result)
        except LakeError:
            raise
        except OsteonError as error:
            log.error("%s", error)
            pulled.problems.append(str(error))
        except Exception as error:  # whatever a publisher's data or client makes happen: the record says what
            log.exception("source %s", name)
            pulled.problems.append(in_words(error))
    return pulled


def _required(pulled: PulledSources) -> list[ManifestKey]:
    """The manifests. Raises `SourceError` where there is none."""
    if not pulled.manifests:
        raise SourceError(f"no source could be pulled: {'; '.join(pulled.problems)}")
    return pulled.manifests


def prepare(context: Context, sources: str, *stages: Stage[Any], **options: Any) -> CatalogKey:
    """Pull all sources, catalogue them, and run some stages that each take a catalog and give another.

    Args:
        context: The run.
        sources: The sources file.
        stages: In their order; those between them are left out.
        options: Of the stages.
    """
    manifests = _required(pull_sources(context, sources))
    return run_on_catalog(context, run_stage(CATALOGUE, context, manifests=manifests).catalog, *stages, **options)


def run_on_catalog(context: Context, catalog: CatalogKey, *stages: Stage[Any], **options: Any) -> CatalogKey:
    """Run stages that take nothing but a catalog and options, each on the catalog of the one before."""
    for stage in stages:
        given = {name: options[name] for name in stage.options}
        catalog = run_stage(stage, context, catalog=catalog, **given).catalog
    return catalog
