"""The validation of a catalog after `review`: its tables, what the checks find in them, and Data Docs in the lake."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import pandas as pd

from osteon import catalog as catalogs
from osteon import extensions, history
from osteon.curation.catalogue import read_manifests
from osteon.curation.decisions import decided_pairs, decisions
from osteon.curation.measurements import read_measurements
from osteon.images import families
from osteon.ingest import read_notes
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.quality.accepted import unchecked_of
from osteon.quality.champion import ChampionAnswers
from osteon.quality.check import Check, Table, registered
from osteon.quality.copies import group_table, pair_table
from osteon.quality.data_docs import make_offline
from osteon.quality.findings import Repair, Validation, read_validation, write_validation
from osteon.quality.label_rows import features, label_rows, rows_of_manifests, sampled
from osteon.quality.label_table import label_table
from osteon.quality.suite import find
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
    statement_table,
    with_source_values,
)
from osteon.quality.thresholds import load_thresholds
from osteon.records import IngestRecord
from osteon.schemas import Reviewed
from osteon.settings import Settings
from osteon.sources.notes import Note

VERSION = 12
MOST_REPAIRS = 12
"""Repairs that a validation lists; its `repaired` is always complete."""


def validate(  # noqa: PLR0913 - each is an input that the key is derived from
    settings: Settings,
    lake: Lake,
    labels: LabelMap,
    catalog_key: str,
    manifest_keys: list[str],
    sources: dict[str, IngestRecord],
    learnt: dict[str, int],
    unknown: str = "",
    accepted: dict[str, str] | None = None,
    champion: ChampionAnswers | None = None,
) -> Validation:
    """Run every check. The result is kept in the lake; the same inputs give it without running anything.

    A critical finding does not raise: whoever calls decides to stop, after telling people.

    Args:
        settings: Where the quality file is, and what may take part in training.
        lake: Holds the catalog and the manifests.
        labels: The label map.
        catalog_key: The reviewed catalog.
        manifest_keys: Of all sources.
        sources: What ingest left of each source, by name.
        learnt: Images by class that the champion learnt from; empty without one.
        unknown: Why it is not known what the champion learnt from.
        accepted: Manifest of the version of each source that earlier runs accepted, see `accepted_before`.
        champion: What the champion says of images of new and changed sources; None where nobody can be asked.
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
        accepted or {},
        champion and champion.key,
    ]
    key = derived_key("quality", VERSION, *inputs, suffix="/result.json")
    docs = key.replace("/result.json", "/docs")
    if lake.exists(key) and lake.exists(f"{docs}/index.html"):
        return read_validation(lake, key)
    measured = read_measurements(lake, settings.max_pixels, families.registered())
    images = images_to_check(catalog, manifests, catalogs.read_publications(lake, catalog), labels, measured)
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
        "statements": statement_table(_notes(lake, manifest_keys), manifests),
        "groups": group_table(catalog),
        "pairs": pairs,
    }
    judged, unchecked = judge_labels(lake, labels, catalog, manifest_keys, measured, accepted or {}, champion)
    if len(shift):  # a check of nothing would pass
        tables["shift"] = shift
    if len(judged):
        tables["labels"] = judged
    with tempfile.TemporaryDirectory(prefix="osteon-gx-") as folder:
        findings = find(tables, thresholds, Path(folder))
        site = Path(folder) / "gx" / "uncommitted" / "data_docs" / "local_site"
        make_offline(site)
        lake.put_folder(docs, site)
    repaired = catalog[catalog["repaired_sha256"].notna()]
    result = Validation(
        key=key,
        docs=docs,
        findings=findings,
        classes=classes_by_source(taking_part),
        unchecked=unchecked,
        repaired=len(repaired),
        repairs=[
            Repair(name=f"{row['source']}:{row['path']}", sha256=row["sha256"], repaired=row["repaired_sha256"])
            for _, row in repaired.head(MOST_REPAIRS).iterrows()
        ],
    )
    write_validation(lake, result)
    for old in lake.newest("quality/", "/docs/index.html")[settings.data_docs_kept :]:
        lake.remove_folder(old.removesuffix("/index.html"))  # the findings stay
    return result


def labels_of(lake: Lake, catalog: pd.DataFrame) -> pd.DataFrame:
    """The labels of a reviewed catalog's images as their sources give them, see `label_rows`."""
    return label_rows(catalogs.read_publications(lake, catalog), catalog)


def unchanged(manifest_keys: list[str], accepted: dict[str, str]) -> set[str]:
    """Sources whose version is the one that an earlier run accepted."""
    return {name for name, key in accepted.items() if key in manifest_keys}


def judge_labels(
    lake: Lake,
    labels: LabelMap,
    catalog: pd.DataFrame,
    manifest_keys: list[str],
    measured: pd.DataFrame,
    accepted: dict[str, str],
    champion: ChampionAnswers | None,
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The table `labels`, and by source what could not be checked, see `label_table`."""
    now = labels_of(lake, catalog)
    same = unchanged(manifest_keys, accepted)
    told = {source: list(sentences) for source in sorted(same) if (sentences := unchecked_of(lake, source))}
    if set(now["source"]) <= same:
        table, _ = label_table(now.iloc[:0], now.iloc[:0], same, pd.DataFrame(), None)
        return table, told
    earlier = rows_of_manifests(lake, list(accepted.values()), labels, catalog)
    thumbs = measured.set_index("sha256")["thumbnail.thumb"].dropna()
    wanted = thumbs.index.intersection(pd.unique(pd.concat([sampled(now)["sha256"], sampled(earlier)["sha256"]])))
    seen = features(thumbs[wanted]) if len(wanted) > 1 else pd.DataFrame(index=wanted[:0])
    table, unchecked = label_table(now, earlier, same, seen, champion.reference(now) if champion else None)
    return table, told | unchecked


def _notes(lake: Lake, manifest_keys: list[str]) -> dict[str, list[Note]]:
    """The notes on each source of some manifests."""
    return {PurePosixPath(key).parent.name: read_notes(lake, key) for key in manifest_keys}


def _of_table(name: Table) -> list[Check]:
    return [check for check in registered().values() if check.table == name]
