"""The stages that make a snapshot: from the publishers' files to a catalog that is checked and split."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from osteon.errors import (
    ConfigurationError,
    IncompatibleTransformError,
    LakeError,
    ObjectError,
    RegistryError,
    in_words,
)
from osteon.ingest import ingest as pull
from osteon.ingest import load_state, save_state
from osteon.pipeline.context import Context
from osteon.records import (
    CatalogKey,
    CatalogRecord,
    CatalogueRecord,
    CheckRecord,
    GateRecord,
    GroupRecord,
    IngestRecord,
    InspectRecord,
    ManifestKey,
    RepairRecord,
    ReviewRecord,
    SourcesRecord,
    SplitRecord,
    ValidateRecord,
    ValidationKey,
)

if TYPE_CHECKING:
    import pandas as pd

    from osteon.quality.champion import ChampionAnswers

log = logging.getLogger(__name__)
R = TypeVar("R", bound=CatalogRecord)


def _recorded(kind: type[R], outcome: tuple[str, Mapping[str, object]]) -> R:
    """The record of a stage that leaves a catalog: its key, and what was counted."""
    key, counts = outcome
    return kind.model_validate({"catalog": key, **counts})


def list_sources(context: Context, sources: str) -> SourcesRecord:  # noqa: ARG001 - each stage has a context
    """List the sources that the sources file enables."""
    from osteon.sources.config import read_sources_file

    names = [entry.name for entry in read_sources_file(Path(sources)).sources if entry.enabled]
    if not names:
        raise ConfigurationError(f"{sources} enables no source: set `enabled: true` for one")
    return SourcesRecord(names=names)


def ingest(context: Context, source: str, sources: str) -> IngestRecord:
    """Pull one source into the lake.

    Where that fails, the run goes on with the last good version. It fails where there is none, and where it is the
    lake that fails: another try may succeed, and last week's data would be used without need.
    """
    from osteon.sources.config import open_source

    last = load_state(context.lake, source)
    try:
        opened = open_source(Path(sources), context.settings, source)
        key, counts = pull(context.settings, context.lake, opened)
        record = IngestRecord.model_validate({"source": source, **counts})
    except LakeError:
        raise
    except Exception as error:  # whatever a publisher's data or client makes happen, the others go on
        record = IngestRecord(source=source, problem=in_words(error))
        if last is None:
            return record.failing(error)
        log.exception("the run goes on with the last good version of %s, %s", source, last.manifest)
        key = last.manifest
    state = save_state(context.lake, last, source, key, context.run.run_id)
    record.manifest, record.before = ManifestKey(key), state.before
    return record


def catalogue(context: Context, manifests: list[ManifestKey]) -> CatalogueRecord:
    """Join the sources' manifests into a catalog, one row for each distinct image."""
    from osteon.curation.catalogue import catalogue

    return _recorded(CatalogueRecord, catalogue(context.lake, context.labels, list(manifests)))


def inspect_parts(context: Context, catalog: CatalogKey) -> list[str]:
    """Parts of a large catalog that several tasks measure first, each by `inspect_part`; none of a small one."""
    from osteon.curation.inspect import inspect_parts

    return inspect_parts(context.settings, context.lake, catalog)


def inspect_part(context: Context, catalog: CatalogKey, part: str) -> int:
    """Measure the images of one part. Returns their number."""
    from osteon.curation.inspect import inspect_part

    return inspect_part(context.settings, context.lake, catalog, part)


def inspect(context: Context, catalog: CatalogKey) -> InspectRecord:
    """Measure the images that were never measured."""
    from osteon.curation.inspect import inspect

    return _recorded(InspectRecord, inspect(context.settings, context.lake, catalog))


def repair(context: Context, catalog: CatalogKey) -> RepairRecord:
    """Repair truncated images in a copy, and quarantine those that nobody can use."""
    from osteon.curation.repair import repair

    return _recorded(RepairRecord, repair(context.settings, context.lake, catalog))


def group(context: Context, catalog: CatalogKey) -> GroupRecord:
    """Find the copies of each film, and the films of each patient."""
    from osteon.curation.grouping import group

    return _recorded(GroupRecord, group(context.lake, catalog))


def review(context: Context, catalog: CatalogKey) -> ReviewRecord:
    """Apply what curators decided with `osteon review`."""
    from osteon.curation.review import review

    return _recorded(ReviewRecord, review(context.settings, context.lake, context.labels, catalog))


def validate(context: Context, catalog: CatalogKey, manifests: list[ManifestKey], sources: str) -> ValidateRecord:
    """Run the data-quality checks. The stage after this one stops the run on a critical finding.

    A registry that cannot be asked for the champion stops nothing. A finding says what was not compared.
    """
    from osteon.quality.accepted import accepted_before
    from osteon.quality.check import registered
    from osteon.quality.validate import validate

    registered()  # a package that cannot be used is named before anything is read
    pulled = context.run.sources()
    learnt, unknown = champions_classes(context, catalog, sources)
    accepted = accepted_before(context.lake, context.run.run_id, pulled)
    answers = champions_answers(context, catalog, list(manifests), accepted, sources)
    found = validate(
        context.settings,
        context.lake,
        context.labels,
        catalog,
        list(manifests),
        pulled,
        learnt,
        unknown,
        accepted=accepted,
        champion=answers,
    )
    severities = [finding.severity for finding in found.findings]
    return ValidateRecord(
        validation=ValidationKey(found.key),
        docs=found.docs,
        stops=found.stops,
        info=severities.count("info"),
        warning=severities.count("warning"),
        critical=severities.count("critical"),
    )


def champions_classes(context: Context, catalog: CatalogKey, sources: str) -> tuple[dict[str, int], str]:
    """Images by class that the champion learnt from, and why they are not known.

    Both are empty where there is no champion, or where it learnt from this very catalog: nothing can have shifted.
    """
    from osteon.registry.versions import champion

    learnt, unknown = dict[str, int](), ""
    try:
        held = champion(context.settings, context.model_name(sources))
        if held is not None and held.catalog != catalog:
            learnt = held.result(context.lake).images_by_class_of_people
    except (RegistryError, ObjectError) as error:
        unknown = str(error)
    if unknown:
        log.warning("the classes' shares are not compared with those that the champion learnt: %s", unknown)
    return learnt, unknown


def champions_answers(
    context: Context, catalog: CatalogKey, manifests: list[ManifestKey], accepted: dict[str, str], sources: str
) -> ChampionAnswers | None:
    """What the champion says of images of sources that are new or have changed; None where it cannot be asked."""
    from osteon import catalog as catalogs
    from osteon.quality.champion import ChampionAnswers, images_to_ask, promised_by
    from osteon.quality.validate import labels_of, unchanged
    from osteon.registry.versions import champion
    from osteon.schemas import Reviewed
    from osteon.training.answers import answers, answers_key

    images = catalogs.read(context.lake, catalog, Reviewed)
    asked = images_to_ask(labels_of(context.lake, images), unchanged(list(manifests), accepted))
    try:
        held = champion(context.settings, context.model_name(sources)) if asked else None
        if held is None:
            return None
        promised = promised_by(held.result(context.lake).evaluation)
        chosen = images[images["sha256"].isin(asked)]
        said = answers(context.settings, context.lake, held.training, chosen) if promised else None
    except (RegistryError, ObjectError, IncompatibleTransformError) as error:
        log.warning("labels are not compared with answers of the champion: %s", error)
        return None
    if said is None:
        return None
    return ChampionAnswers(held.version, promised, said, answers_key(held.training, chosen["sha256"].tolist()))


def gate(context: Context, validation: ValidationKey, sources: str) -> GateRecord:
    """Mail what the checks found. Stop the run on a critical finding; otherwise the sources' versions are accepted."""
    from osteon.pipeline.notices import alert_people, quality_error
    from osteon.quality.accepted import accept
    from osteon.quality.findings import read_validation

    found = read_validation(context.lake, validation)
    mail = alert_people(context, found, GateRecord.stage, context.model_name(sources))
    if not found.stops:
        accept(context.lake, context.run.run_id, context.run.sources(), found.unchecked)
    return GateRecord(mail=mail).failing(quality_error(found))


def split(context: Context, catalog: CatalogKey, seed: int) -> SplitRecord:
    """Place clusters of films into train, val and test."""
    from osteon.curation.split import split

    return _recorded(SplitRecord, split(context.settings, context.lake, context.labels, catalog, seed))


def check(context: Context, catalog: CatalogKey, manifests: list[ManifestKey], sources: str) -> CheckRecord:
    """Look for copies across the splits, and whether counts add up. Stop the run on a critical finding."""
    from osteon import catalog as catalogs
    from osteon.pipeline.notices import alert_people, quality_error
    from osteon.quality.split_check import check_split
    from osteon.reports.leakage import read_leakage
    from osteon.schemas import Split

    last = context.run.read(SplitRecord)
    moved = last.moved_from if last and last.catalog == catalog else {}
    found = check_split(context.settings, context.lake, catalog, list(manifests), moved)
    leakage = read_leakage(context.lake, catalogs.read(context.lake, catalog, Split))
    mail = alert_people(context, found, CheckRecord.stage, f"{context.model_name(sources)}-split")
    numbers = leakage.numbers.model_dump() if leakage else {}
    record = CheckRecord(catalog=catalog, check=ValidationKey(found.key), stops=found.stops, mail=mail, **numbers)
    return record.failing(quality_error(found))


def usable_images(context: Context, catalog: CatalogKey) -> pd.DataFrame:
    """The rows of a catalog whose image is not quarantined."""
    from osteon import catalog as catalogs
    from osteon.schemas import Repaired

    images = catalogs.read(context.lake, catalog, Repaired)
    return images[catalogs.usable(images)]
