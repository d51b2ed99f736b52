"""Place clusters into train, val and test: stratified, and for good."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.grouping import recall
from osteon.errors import CatalogError
from osteon.labels import LabelMap
from osteon.lake import Lake, derived_key
from osteon.schemas import Reviewed, Split
from osteon.settings import SplitSettings

log = logging.getLogger(__name__)
VERSION = 5
MOST_RESTRICTIVE_FIRST = ("test", "val", "train")
"""Where clusters merge that stood in different splits, the whole cluster goes to the first of these."""

AGAIN = "run again from `group`, which says what belongs together"
APART = {
    "group": AGAIN,
    "cluster": AGAIN,
    "patient": f"a mosaic that a curator keeps may be why, then drop it; else {AGAIN}",
}
"""Columns of a catalog of which no name may stand in two splits, and what to do where one does."""


def assign_clusters(
    clusters: pd.DataFrame, placed: dict[str, str], shares: dict[str, float], seed: int
) -> dict[str, str]:
    """Split of each cluster. `clusters` has `cluster, stratum, size`; `placed` are clusters that have a split.

    Within a stratum, new clusters go one by one, the largest first, to the split that lacks most images against its
    share. Where two splits lack as many, `test` comes before `val`. Clusters of one size are ordered by a hash of the
    seed.
    """
    result = dict(placed)
    for stratum, members in clusters.groupby("stratum", sort=True):
        total = members["size"].sum()
        lack = {name: share * total for name, share in shares.items()}
        for cluster, size in zip(members["cluster"], members["size"], strict=True):
            if cluster in placed:
                lack[placed[cluster]] -= size
        new = members[~members["cluster"].isin(placed.keys())].copy()
        new["order"] = [_hash(seed, stratum, cluster) for cluster in new["cluster"]]
        ordered = new.sort_values(["size", "order"], ascending=[False, True])
        for cluster, size in zip(ordered["cluster"].tolist(), ordered["size"].tolist(), strict=True):
            best = max(shares, key=lambda name: (round(lack[name], 6), round(shares[name], 6), name == "test"))
            result[cluster] = best
            lack[best] -= size
    return result


def split(
    settings: SplitSettings, lake: Lake, labels: LabelMap, catalog_key: str, seed: int
) -> tuple[str, dict[str, object]]:
    """Set the `split` of every image that takes part. Returns the key and counts.

    The placements of earlier weeks hold: the output's key contains them, so the same data after the same history give
    the same key. `moved` are images that stood in another split before. Their cluster was joined with one in a split
    that comes first in STICKIEST_FIRST. `moved_from` is the split of each before, by `sha256`.
    """
    catalog, clusters = catalogs.read(lake, catalog_key, Reviewed), recall(lake).cluster
    recorded = recorded_placements(lake)
    before = placements(recorded, clusters)
    key = _key(settings, catalog_key, seed, catalog, before)
    if not lake.exists(key):
        taking_part = catalogs.eligible(catalog)
        catalog["split"] = assign_splits(catalog[taking_part], before, settings, seed).reindex(catalog.index)
        here = catalog[taking_part]
        placed: dict[str, str] = dict(zip(here["sha256"].tolist(), here["split"].tolist(), strict=True))
        after = placements({**before, **placed}, clusters)
        key = _key(settings, catalog_key, seed, catalog, after)
        catalogs.write(lake, key, catalog, Split)
    else:
        catalog, after = catalogs.read(lake, key, Split), before
    new = sorted(after.items() - recorded.items())
    history.append(lake, history.PLACEMENTS, pd.DataFrame(new, columns=["sha256", "split"]))
    taking_part = catalog["split"].notna()
    kept = int(catalog.loc[taking_part, "sha256"].isin(before.keys()).sum())
    log.info("%d of %d images were placed before and stay there, whatever the seed", kept, int(taking_part.sum()))
    earlier = catalog["sha256"].map(recorded)
    moved = catalog.loc[earlier.notna() & taking_part & (earlier != catalog["split"]), "sha256"]
    if len(moved):
        log.warning("%d images stood in another split before: their clusters were joined", len(moved))
    sizes = catalog["split"].value_counts()
    return key, {
        "snapshot": catalogs.snapshot_id(catalog, labels),
        "left_out": int(catalog["exclusion_reason"].notna().sum() - (~catalogs.usable(catalog)).sum()),
        "moved": len(moved),
        "moved_from": {digest: recorded[digest] for digest in moved},
        **{name: int(sizes.get(name, 0)) for name in catalogs.SPLITS},
    }


def split_accounts(catalog: pd.DataFrame, images: int) -> tuple[dict[str, int], dict[str, int]]:
    """Images of a catalog that was split, by why they are left out, and by split: together `images`.

    Raises `CatalogError` where they are not, or where a group, a cluster or a patient stands in two splits.
    """
    usable = catalog[catalogs.usable(catalog)]
    reasons = usable.loc[usable["split"].isna(), "exclusion_reason"].fillna("no reason given").str.split(":").str[0]
    left = {str(name): int(count) for name, count in reasons.value_counts().items()}
    sizes = usable["split"].value_counts()
    placed = {name: int(sizes.get(name, 0)) for name in catalogs.SPLITS}
    if (accounted := sum(placed.values()) + sum(left.values())) != images:
        raise CatalogError(f"{images} images, but {accounted} in splits or left out: run again from `split`")
    for column, remedy in APART.items():
        splits = catalog.dropna(subset=["split", column]).groupby(column)["split"].unique()
        for name, several in splits[splits.map(len) > 1].items():
            raise CatalogError(f"{column} {name} stands in {' and '.join(sorted(several))}: {remedy}")
    return left, placed


def assign_splits(images: pd.DataFrame, before: dict[str, str], settings: SplitSettings, seed: int) -> pd.Series:
    """Split of each image (`source, body_part, fractured, cluster, sha256, label_origin`).

    Clusters of images `before` keep theirs. New ones that base models alone have labelled go to `train`, and do not
    count towards its share. So what people labelled is split as if there were no others.
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
    of_cluster = rarest.groupby("cluster", sort=True)
    clusters = of_cluster.agg(stratum=("stratum", "first"), size=("sha256", "size")).reset_index()
    members = zip(images["sha256"], images["cluster"], strict=True)
    placed = most_restrictive_split((cluster, before[digest]) for digest, cluster in members if digest in before)
    for cluster in images.loc[~images["cluster"].isin(judging["cluster"]), "cluster"]:
        placed.setdefault(cluster, "train")
    return images["cluster"].map(assign_clusters(clusters, placed, shares, seed)).astype("string")


def recorded_placements(lake: Lake) -> dict[str, str]:
    """Split of every image that was ever placed, by `sha256`."""
    placed = history.read(lake, history.PLACEMENTS)
    return dict(zip(placed["sha256"], placed["split"], strict=True))


def placements(recorded: dict[str, str], clusters: pd.Series) -> dict[str, str]:
    """Split of every image ever placed, and of all that stands in one cluster with it: the stickiest of the cluster's.

    `clusters` is the cluster of every image that the lake ever saw, by `sha256`.
    """
    known = zip(clusters.index.tolist(), clusters.tolist(), strict=True)
    cluster_of: dict[str, str] = {digest: digest for digest in recorded} | dict(known)
    splits = most_restrictive_split((cluster_of[digest], split) for digest, split in recorded.items())
    return {digest: splits[cluster] for digest, cluster in cluster_of.items() if cluster in splits}


def most_restrictive_split(members: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Split of each cluster, from the splits of its members."""
    splits: dict[str, str] = {}
    for cluster, split in members:
        splits[cluster] = min(split, splits.get(cluster, split), key=MOST_RESTRICTIVE_FIRST.index)
    return splits


def _key(settings: SplitSettings, catalog_key: str, seed: int, catalog: pd.DataFrame, placed: dict[str, str]) -> str:
    before = [(digest, placed[digest]) for digest in catalog["sha256"] if digest in placed]
    shares = [settings.train_share, settings.val_share]
    return derived_key("split", VERSION, catalog_key, shares, seed, before)


def _hash(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()
