"""Place leakage groups into train, val and test: stratified, and for good."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.conflicts import conflicts
from osteon.curation.groups import every_group
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.settings import Settings

log = logging.getLogger(__name__)
VERSION = 3
ASSIGNMENTS = "splits/assignments.parquet"
STICKIEST_FIRST = ("test", "val", "train")
"""Where groups merge that stood in different splits, the whole group goes to the first of these."""


def place(groups: pd.DataFrame, placed: dict[str, str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Split of each group. `groups` has `group, stratum, size`; `placed` are groups that already have a split.

    Within a stratum, new groups go one by one, the largest first, to the split that lacks most images against its
    share; what is equal in size is ordered by a hash of the seed.
    """
    result = dict(placed)
    for stratum, members in groups.groupby("stratum", sort=True):
        total = members["size"].sum()
        lack = {name: share * total for name, share in shares.items()}
        for group, size in zip(members["group"], members["size"], strict=True):
            if group in placed:
                lack[placed[group]] -= size
        new = members[~members["group"].isin(placed.keys())].copy()
        new["order"] = [_hash(seed, stratum, group) for group in new["group"]]
        for row in new.sort_values(["size", "order"], ascending=[False, True]).itertuples():
            best = max(shares, key=lambda name: (lack[name], shares[name]))
            result[row.group] = best
            lack[best] -= row.size
    return result


def left_out(catalog: pd.DataFrame, labels: LabelMap, keep_unknown_fracture: bool) -> pd.Series:
    """Why an image of the catalog takes no part in training; empty where it does. Keeps reasons already given."""

    disputed = conflicts(catalog, labels)

    def reason(row: pd.Series) -> str | None:
        if pd.notna(row["reason"]):
            return str(row["reason"])
        if pd.notna(disputed[row.name]):
            return f"conflicting labels: {disputed[row.name]}"
        if pd.isna(row["body_part"]):
            words = sorted({str(item["raw_label"]) for item in row["published"] if item["raw_label"]})
            unknown = sorted({word for raw in words for word in labels.resolve(raw).unknown})
            if unknown:
                return f"unknown label: {', '.join(unknown)}"
            return f"no single body part: {', '.join(words)}" if words else "no label"
        if pd.isna(row["fractured"]) and not keep_unknown_fracture:
            return "fracture state unknown"
        return None

    return catalog.apply(reason, axis=1).astype("string") if len(catalog) else pd.Series(dtype="string")


def split(
    settings: Settings, lake: Lake, labels: LabelMap, catalog_key: str, seed: int
) -> tuple[str, dict[str, object]]:
    """Set `split`, and the `reason` of what is left out. Returns the key and counts.

    The placements of earlier weeks are kept in the lake and hold: the output's key contains them, so the same data
    after the same history give the same key.
    """
    catalog = catalogs.read(lake, catalog_key)
    groups = every_group(lake)
    before = assignments(lake, groups)
    key = _key(settings, catalog_key, seed, catalog, before)
    if not lake.exists(key):
        catalog["reason"] = left_out(catalog, labels, settings.unknown_fracture == "marginal")
        taking_part = catalog["reason"].isna()
        if catalog.loc[taking_part, "group"].isna().any():
            raise catalogs.CatalogError("an image takes part that has no leakage group: run `group` first")
        catalog["split"] = place_images(catalog[taking_part], before, settings, seed).reindex(catalog.index)
        after = {**before, **dict(catalog.loc[taking_part, ["sha256", "split"]].itertuples(index=False))}
        after = _with_copies(after, groups)
        key = _key(settings, catalog_key, seed, catalog, after)
        catalogs.write(lake, key, catalog)
        if after != before:
            table = pd.DataFrame(sorted(after.items()), columns=["sha256", "split"], dtype="string")
            lake.put_table(ASSIGNMENTS, table)
    else:
        catalog = catalogs.read(lake, key)
    taking_part = catalog["split"].notna()
    kept = int(catalog.loc[taking_part, "sha256"].isin(before.keys()).sum())
    log.info("%d of %d images were placed before and stay there, whatever the seed", kept, int(taking_part.sum()))
    sizes = catalog["split"].value_counts()
    return key, {
        "snapshot": catalogs.snapshot_id(catalog, labels),
        "left_out": int(catalog["reason"].notna().sum() - (~catalogs.usable(catalog)).sum()),
        **{name: int(sizes.get(name, 0)) for name in catalogs.SPLITS},
    }


def place_images(images: pd.DataFrame, before: dict[str, str], settings: Settings, seed: int) -> pd.Series:
    """Split of each image (`source, body_part, fractured, group, sha256, label_origin`).

    Groups of images `before` keep theirs; new ones that base models alone have labelled go to `train`, and do not count
    towards its share: what people labelled is split as if there were no others.
    """
    shares = {
        "train": settings.train_share,
        "val": settings.val_share,
        "test": 1 - settings.train_share - settings.val_share,
    }
    judging = images[catalogs.labelled_by_people(images)]
    state = judging["fractured"].astype("string").fillna("unknown")
    stratum = judging["source"] + "|" + judging["body_part"] + "|" + state
    rarity = stratum.map(stratum.value_counts())
    rarest = judging.assign(stratum=stratum, rarity=rarity).sort_values(["rarity", "stratum"])
    groups = rarest.groupby("group", sort=True).agg(stratum=("stratum", "first"), size=("sha256", "size")).reset_index()
    members = zip(images["sha256"], images["group"], strict=True)
    placed = _stickiest((group, before[digest]) for digest, group in members if digest in before)
    for group in images.loc[~images["group"].isin(judging["group"]), "group"]:
        placed.setdefault(group, "train")
    return images["group"].map(place(groups, placed, shares, seed)).astype("string")


def assignments(lake: Lake, groups: pd.Series) -> dict[str, str]:
    """Split of every image that was ever placed, and of its copies, by `sha256`; `groups` are `every_group`."""
    if not lake.exists(ASSIGNMENTS):
        return {}
    placed = lake.get_table(ASSIGNMENTS)[["sha256", "split"]].itertuples(index=False, name=None)
    return _with_copies(dict(placed), groups)


def _with_copies(placed: dict[str, str], groups: pd.Series) -> dict[str, str]:
    group_of = {**{digest: digest for digest in placed}, **groups.to_dict()}
    splits = _stickiest((group_of[digest], split) for digest, split in placed.items())
    return {digest: splits[group] for digest, group in group_of.items() if group in splits}


def _stickiest(members: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Split of each group, from the splits of its members."""
    splits: dict[str, str] = {}
    for group, split in members:
        splits[group] = min(split, splits.get(group, split), key=STICKIEST_FIRST.index)
    return splits


def _key(settings: Settings, catalog_key: str, seed: int, catalog: pd.DataFrame, placed: dict[str, str]) -> str:
    history = [(digest, placed[digest]) for digest in catalog["sha256"] if digest in placed]
    shares = [settings.train_share, settings.val_share, settings.unknown_fracture]
    return derived_key("split", VERSION, catalog_key, shares, seed, history)


def _hash(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
