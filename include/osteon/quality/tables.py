"""The tables that the checks look at: images, classes, their shift, the label map and the sources."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.curation.conflicts import conflicts
from osteon.curation.groups import MOSAIC
from osteon.curation.review import HUMAN
from osteon.images.measure import THUMB, coarse_thumbnails
from osteon.ingest import dropped
from osteon.labels import REQUIRED_PARTS, REQUIRED_STATES, LabelMap, RawLabel
from osteon.lake import Lake
from osteon.records import IngestRecord

FOLDS = 5
MEASURED = ("colour", "contrast", "median", "gutter", "oval", "text")
"""Measurements that checks bound, of all images that are not quarantined."""
NUMBERS = (*MEASURED, "dark_band", "bright_band", "aspect", "doubt_rank")
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


def source_table(lake: Lake, sources: dict[str, IngestRecord]) -> pd.DataFrame:
    """One row per source: `source, problem, dropped`; the last two are empty where all is well."""
    rows = []
    for name, record in sources.items():
        gone = dropped(lake, record.manifest, record.before) if record.manifest else []
        more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
        text = f"{len(gone)} images: {', '.join(gone[:MOST_NAMED])}{more}" if gone else None
        rows.append({"source": name, "problem": record.problem, "dropped": text})
    return pd.DataFrame(rows, columns=["source", "problem", "dropped"], dtype="string")


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
        told = [
            f"{name} {shares.at[name, 'before']:.1%} to {shares.at[name, 'now']:.1%}"
            for name in parts.nlargest(3).index
        ]
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
    """Images that no `reason` leaves out, by class (`hand/fractured`, `spine/unknown`) and source."""
    usable = catalog[catalog["reason"].isna()]
    named = usable[usable["body_part"].notna()]
    table = pd.crosstab(catalogs.class_names(named), named["source"])
    return {
        str(name): {str(key): int(value) for key, value in row.items()} for name, row in table.to_dict("index").items()
    }


def image_table(
    catalog: pd.DataFrame, manifests: pd.DataFrame, labels: LabelMap, measured: pd.DataFrame
) -> pd.DataFrame:
    """One row per distinct image, and one per file that ingest refused.

    A check's column is empty where all is well, or holds a measurement (`measured`, by `sha256`) that the check bounds.
    What a curator dropped is not looked at, a label that a curator set is none of the publisher's, and of mosaics it is
    only said that they are some.
    """
    mosaics = catalog[catalog["reason"].fillna("").str.startswith(MOSAIC)]
    catalog = catalog[catalog["reason"].isna() | ~catalogs.usable(catalog)]
    human = catalog["label_origin"].fillna("") == HUMAN
    rows = catalog[["source", "path", "sha256", "raw_label", "group"]].astype("object")
    published = catalog["published"]
    meanings = {raw: labels.resolve(raw) for raws in published for raw in {item["raw_label"] for item in raws}}
    part_words = catalog["raw_label"].notna() & catalog["body_part"].isna()
    unknown = [
        ", ".join(sorted({word for item in items for word in meanings[item["raw_label"]].unknown}))
        for items in published
    ]
    rows["unusable"] = catalog["reason"].where(~catalogs.usable(catalog))
    rows["broken_stream"] = (
        catalog["mode"]
        .where(catalog["truncated"].fillna(False))
        .map(lambda mode: f"truncated {mode} image", na_action="ignore")
    )
    rows["unknown_label"] = pd.Series([words or None for words in unknown], index=rows.index, dtype="object").mask(
        human
    )
    rows["raw_label"] = rows["raw_label"].mask(human & rows["raw_label"].isna(), "set by a curator")
    rows["conflict"] = conflicts(catalog, labels)
    rows["ambiguous_label"] = catalog["raw_label"].where(
        part_words & rows["unknown_label"].isna() & rows["conflict"].isna()
    )
    rows["exact_copies"] = [_listing(items[1:]) if len(items) > 1 else None for items in published]
    size = catalog.groupby("group")["sha256"].transform("size")
    alone = "group " + catalog["group"].str[:12] + ", " + size.astype("string") + " images"
    rows["near_copies"] = alone.where((size > 1).fillna(False))
    rows["leaking_split"] = _leaking(catalog)
    rows[["suspected_label", "doubt_rank"]] = suspected_labels(catalog[~human], measured["thumb"]).reindex(rows.index)
    usable = catalogs.usable(catalog).to_numpy()
    whole = usable & ~catalog["truncated"].fillna(False).to_numpy(bool)  # a broken stream is a finding of its own
    found = measured.reindex(catalog["sha256"]).set_index(catalog.index)
    for name in MEASURED:
        rows[name] = found[name].where(usable)
    for name in ("dark_band", "bright_band"):
        rows[name] = found[name].where(whole)
    rows["band_where"] = found["band_where"]
    sides = catalog[["width", "height"]].astype("Float64")
    rows["aspect"] = (sides.max(axis=1) / sides.min(axis=1)).where(usable)
    refused = manifests[manifests["claims_image"] & manifests["sha256"].isna()]
    extra = refused[["source", "path", "raw_label"]].astype("object").assign(unusable=refused["reason"])
    # a refused file is one finding, not two: its label is not judged
    several = mosaics[["source", "path", "sha256", "raw_label"]].astype("object").assign(mosaic=mosaics["reason"])
    extra = pd.concat([extra, several])
    extra["raw_label"] = extra["raw_label"].fillna("not judged")
    table = pd.concat([rows.assign(mosaic=None), extra], ignore_index=True)
    return table.astype({name: "Float64" if name in NUMBERS else "string" for name in table.columns})


def suspected_labels(catalog: pd.DataFrame, thumbs: pd.Series) -> pd.DataFrame:
    """Doubtful body parts as `suspected_label` (what is doubtful, and why) and `doubt_rank` (1 is most doubtful).

    Confident learning (C. Northcutt et al., JAIR 70, 2021, by cleanlab) estimates how many labels are wrong, and those
    that the classifier believes least are named. It is a multinomial logistic regression on principal components of
    gradient histograms (N. Dalal and B. Triggs, CVPR 2005) and of 16x16 pixels, out of fold by cluster, so no
    image is judged by a model that saw it or a copy of it. Parts with fewer than 2 * FOLDS groups are not judged.
    """
    from cleanlab.filter import find_label_issues
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    nothing = pd.DataFrame(columns=["suspected_label", "doubt_rank"], dtype="object")
    rows = catalog[catalogs.usable(catalog) & catalog["body_part"].notna()]
    originals = rows.groupby("body_part")["group"].nunique()
    rows = rows[rows["body_part"].isin(originals[originals >= 2 * FOLDS].index)]
    if rows["body_part"].nunique() < 2:
        return nothing
    features = np.stack([_descriptor(thumbs[digest]) for digest in rows["sha256"]])
    components = min(60, len(rows) * (FOLDS - 1) // FOLDS - 1)
    model = make_pipeline(
        StandardScaler(),
        PCA(components, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=500, C=0.3, class_weight="balanced"),  # or a rare part would be doubtful as such
    )
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    parts, labels = np.unique(rows["body_part"].astype("object").to_numpy(), return_inverse=True)
    groups = rows["cluster"].to_numpy()
    chances = cross_val_predict(model, features, labels, groups=groups, cv=folds, method="predict_proba")
    doubtful = find_label_issues(
        labels, chances, filter_by="low_self_confidence", return_indices_ranked_by="self_confidence", n_jobs=1
    )
    doubtful = doubtful[chances[doubtful].argmax(axis=1) != labels[doubtful]]
    told = [
        f"number {rank} of {len(doubtful)}: labelled {parts[labels[row]]} ({chances[row, labels[row]]:.0%}), "
        f"looks like {parts[chances[row].argmax()]} ({chances[row].max():.0%})"
        for rank, row in enumerate(doubtful, start=1)
    ]
    return pd.DataFrame(
        {"suspected_label": told, "doubt_rank": range(1, len(doubtful) + 1)}, index=rows.index[doubtful]
    )


def _descriptor(thumb: bytes) -> NDArray[np.float32]:
    """Square roots of a thumbnail's gradient histograms, and its coarse pixels, standardised."""
    from skimage.feature import hog

    pixels = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB).astype(np.float32)
    gradients = hog(pixels, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(1, 1))
    small = coarse_thumbnails(pixels[None]).ravel()
    return np.concatenate([np.sqrt(gradients), (small - small.mean()) / (small.std() + 1)])


def _leaking(catalog: pd.DataFrame) -> pd.Series:
    splits: dict[tuple[str, str], set[str]] = {}
    for group, items in zip(catalog["group"], catalog["published"], strict=True):
        for item in items:
            if item["raw_split"] and pd.notna(group):
                splits.setdefault((group, item["source"]), set()).add(item["raw_split"])
    texts = {key: " and ".join(sorted(names)) for key, names in splits.items() if len(names) > 1}

    def told(group: object, items: list[dict[str, str]]) -> str | None:
        sources = dict.fromkeys(item["source"] for item in items)
        found = [texts[key] for source in sources if pd.notna(group) and (key := (str(group), source)) in texts]
        return "; ".join(found) or None

    pairs = zip(catalog["group"], catalog["published"], strict=True)
    return pd.Series([told(group, items) for group, items in pairs], index=catalog.index)


def _listing(items: list[dict[str, str]]) -> str:
    return "also as " + ", ".join(f"{item['source']}:{item['path']}" for item in items)
