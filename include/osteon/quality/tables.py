"""The tables that the checks look at: images, classes, their shift, the label map, the sources and what they state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.groups import MOSAIC
from osteon.errors import ExtensionError
from osteon.ingest import removed_paths
from osteon.labels import REQUIRED_PARTS, REQUIRED_STATES, LabelMap, RawLabel
from osteon.lake import Lake
from osteon.quality.check import Check
from osteon.quality.images import Images
from osteon.records import IngestRecord
from osteon.sources.notes import Note, NoteKind

FLOOR = 1e-4
"""Least share of a class in the population stability index, which is not defined for empty ones."""
MOST_NAMED = 5
"""Files that one source is said to have dropped, by name."""


def label_map_table(labels: LabelMap) -> pd.DataFrame:
    """One row per joint class that must have a code, and one per further problem: `class, code, problem`."""
    rows: list[dict[str, object]] = []
    for part in REQUIRED_PARTS:
        for state in REQUIRED_STATES:
            known = part in labels.parts and state in labels.states
            code = labels.code(part, state == "fractured") if known else None
            rows.append(
                {"class": f"{part}/{state}", "code": code, "problem": None if known else f"{part}/{state} has no code"}
            )
    missing_words = ("has no code", "have no code")
    rows += [
        {"class": "label map", "code": None, "problem": text}
        for text in labels.problems()
        if not any(words in text for words in missing_words)
    ]
    return pd.DataFrame(rows).astype({"class": "string", "code": "Int64", "problem": "string"})


def statement_table(notes: dict[str, list[Note]], manifests: pd.DataFrame) -> pd.DataFrame:
    """One row per published image and per thing that a note is about: `source, path`, and a column per kind of note.

    Args:
        notes: Of each source.
        manifests: All published files.

    Returns:
        A column holds what the notes of its kind say of the file, table, folder or split; it is empty where all is
        well. The share of failing rows of a kind whose notes are about images is therefore one of images.
    """
    images = manifests.loc[manifests["claims_image"], ["source", "path"]]
    said = [(name, note.subject, note.kind, _counted(note)) for name, some in notes.items() for note in some]
    told = pd.DataFrame(said, columns=["source", "path", "kind", "text"], dtype="string")
    texts = told.groupby(["source", "path", "kind"])["text"].agg("; ".join).unstack("kind")
    rows = pd.MultiIndex.from_frame(pd.concat([images, told[["source", "path"]]]).astype("string").drop_duplicates())
    return texts.reindex(index=rows, columns=list(get_args(NoteKind))).reset_index().astype("string")


def _counted(note: Note) -> str:
    """A note's text, and how many rows, files or boxes it stands for."""
    return note.text if note.count == 1 else f"{note.text} ({note.count} in all)"


def source_table(lake: Lake, sources: dict[str, IngestRecord]) -> pd.DataFrame:
    """One row per source: `source, problem, dropped, refused`; `problem` and `dropped` are empty where all is well.

    `refused` is the share of its images that its archive does not give, 0 to 1; empty where nothing was pulled.
    """
    rows = []
    for name, record in sources.items():
        gone = removed_paths(lake, record.manifest, record.before) if record.manifest else []
        more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
        text = f"{len(gone)} images: {', '.join(gone[:MOST_NAMED])}{more}" if gone else None
        refused = record.refused / record.files if record.files else None
        rows.append({"source": name, "problem": record.problem, "dropped": text, "refused": refused})
    table = pd.DataFrame(rows, columns=["source", "problem", "dropped", "refused"])
    return table.astype({"source": "string", "problem": "string", "dropped": "string", "refused": "Float64"})


def shift_table(learnt: dict[str, int], classes: pd.DataFrame) -> pd.DataFrame:
    """How far the classes' shares are from those that the champion learnt: one row, or none without a champion.

    `psi` is the population stability index, the sum of (p - q) ln(p / q) over classes, with shares of at least FLOOR
    (N. Siddiqi, Credit Risk Scorecards, 2006). By custom, up to 0.1 is stable and above 0.25 a major shift.
    """
    rows = []
    now = dict(classes[["class", "images"]].itertuples(index=False, name=None))
    known = {name: count for name, count in learnt.items() if name in now}
    if sum(known.values()) and sum(now.values()):
        shares = pd.DataFrame({"before": pd.Series(known), "now": pd.Series(now)}).fillna(0)
        shares = (shares / shares.sum()).clip(lower=FLOOR)
        parts = (shares["now"] - shares["before"]) * np.log(shares["now"] / shares["before"])
        most = shares.loc[parts.nlargest(3).index]
        told = [f"{name!s} {row['before']:.1%} to {row['now']:.1%}" for name, row in most.iterrows()]
        rows.append({"class": "all classes", "psi": float(parts.sum()), "moved": "most: " + ", ".join(told)})
    table = pd.DataFrame(rows, columns=["class", "psi", "moved"])
    return table.astype({"class": "string", "psi": "Float64", "moved": "string"})


def champion_table(unknown: str) -> pd.DataFrame:
    """One row, `class, unknown`: why it is not known what the champion learnt; empty where it is, or there is none."""
    table = pd.DataFrame({"class": ["all classes"], "unknown": [unknown or None]})
    return table.astype("string")


def class_table(catalog: pd.DataFrame, labels: LabelMap) -> pd.DataFrame:
    """One row per joint class of the label map: `class, images, originals, originals_if_any, imbalance`.

    `catalog` is of images that take part in training.
    `imbalance` is the size of the largest class over this one's; it and `originals_if_any` are empty for classes
    without images, which are a finding of their own.
    """
    usable = catalog[catalog["fractured"].notna()]
    names = catalogs.class_names(usable)
    images, originals = names.value_counts(), usable["group"].groupby(names).nunique()
    rows = []
    for part, entry in labels.parts.items():
        for state in labels.states:
            name = f"{part}/{state}"
            count = int(images.get(name, 0))
            rows.append(
                {
                    "code": 2 * entry.code + labels.states[state].code,
                    "class": name,
                    "images": count,
                    "originals": int(originals.get(name, 0)),
                    "originals_if_any": int(originals[name]) if count else None,
                    "imbalance": float(images.max() / count) if count else None,
                }
            )
    table = pd.DataFrame(rows).astype({"originals_if_any": "Int64", "imbalance": "Float64"})
    return table.sort_values("code", ignore_index=True)


def coverage_table(manifests: pd.DataFrame) -> pd.DataFrame:
    """One row per source and thing that it says of some of its images: `class, silent`.

    `silent` is the share of its images of which it does not say it, 0 to 1. What it says of none has no row: that it
    says nothing where it was to, ingest has refused.
    """
    images = manifests[manifests["claims_image"]]
    said = [RawLabel.parse(raw) for raw in images["raw_label"].fillna("")]
    things = {"body part": [bool(raw.parts) for raw in said], "fracture state": [bool(raw.fracture) for raw in said]}
    rows = []
    for thing, told in things.items():
        for source, some in pd.Series(told, index=images.index, dtype=bool).groupby(images["source"]):
            if some.any():
                rows.append({"class": f"{source}: {thing}", "silent": 1 - float(some.mean())})
    return pd.DataFrame(rows, columns=["class", "silent"]).astype({"class": "string", "silent": "Float64"})


def classes_by_source(catalog: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images that take part in training, by class (`hand/fractured`, `spine/unknown`) and source."""
    usable = catalog[catalogs.eligible(catalog)]
    named = usable[usable["body_part"].notna()]
    table = pd.crosstab(catalogs.class_names(named), named["source"])
    return {
        str(name): {str(key): int(value) for key, value in row.items()} for name, row in table.to_dict("index").items()
    }


def image_table(
    catalog: pd.DataFrame, manifests: pd.DataFrame, images: Images, checks: Iterable[Check]
) -> pd.DataFrame:
    """One row per distinct image, and one per file that ingest refused.

    Of mosaics it is only said that they are some. What a curator dropped has no row.

    Args:
        catalog: All images; `images` are those of it that checks look at.
        manifests: All published files.
        images: What checks compute their columns from.
        checks: Those of the table `images`.
    """
    rows = images.catalog[["source", "path", "sha256", "group"]].astype("object")
    rows = _with_values(rows, checks, images)
    kinds = {name: "Float64" if pd.api.types.is_numeric_dtype(rows[name]) else "string" for name in rows}
    refused = manifests[manifests["claims_image"] & manifests["sha256"].isna()]
    extra = refused[["source", "path", "raw_label"]].astype("object").assign(unusable=refused["reason"])
    mosaics = catalog[catalog["reason"].fillna("").str.startswith(MOSAIC)]
    several = mosaics[["source", "path", "sha256", "raw_label"]].astype("object").assign(mosaic=mosaics["reason"])
    extra = pd.concat([extra, several])
    # a refused file is one finding, not two: its label is not judged
    extra["raw_label"] = extra["raw_label"].fillna("not judged")
    return pd.concat([rows.astype("object"), extra], ignore_index=True).reindex(columns=list(kinds)).astype(kinds)


def images_to_check(
    catalog: pd.DataFrame, publications: pd.DataFrame, labels: LabelMap, measured: pd.DataFrame
) -> Images:
    """The images that checks look at: not what a curator dropped, nor mosaics.

    `measured` is what was measured of all images, by `sha256`.
    """
    looked_at = catalog[catalog["reason"].isna() | ~catalogs.usable(catalog)]
    found = measured.set_index("sha256").reindex(looked_at["sha256"]).set_index(looked_at.index)
    return Images(looked_at, publications, labels, found)


def with_source_values(table: pd.DataFrame, images: Images, checks: Iterable[Check]) -> pd.DataFrame:
    """The table of sources with the columns that checks compute, and a row for each source that has images."""
    names = pd.Index(dict.fromkeys([*table["source"], *images.catalog["source"].unique()]), name="source")
    return _with_values(table.set_index("source").reindex(names), checks, images).reset_index()


def _with_values(rows: pd.DataFrame, checks: Iterable[Check], images: Images) -> pd.DataFrame:
    """Rows with what each check computes, by their index."""
    for check in checks:
        values = check.values(images)
        if values is None:
            continue
        columns = values.to_frame(check.column) if isinstance(values, pd.Series) else values
        if check.column not in columns:
            raise ExtensionError(
                f"check {check.name} computes {', '.join(map(str, columns))}, not its column {check.column}"
            )
        if unknown := sorted(set(map(str, columns.index)) - set(map(str, rows.index))):
            raise ExtensionError(f"check {check.name} gives a value for {unknown[0]}, which its table does not have")
        for name in columns:
            rows[name] = columns[name].reindex(rows.index)
    return rows
