"""The `group` stage: remember what was published, compare what is new, and set `group` and `cluster`."""

from __future__ import annotations

import logging

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation import copies as comparison
from osteon.curation.compared import add, read_tip
from osteon.curation.decisions import decided_pairs, decisions
from osteon.curation.groups import PAIR, Groups, find_groups, mosaic_reason, same_paths, within
from osteon.lake import Lake, derived_key
from osteon.schemas import Grouped, Repaired
from osteon.takeover import take_over

VERSION = 7
LARGEST = 10
log = logging.getLogger(__name__)


def recall(lake: Lake) -> Groups:
    """Groups and clusters of all images that the lake ever saw."""
    take_over(lake)
    names, placed = history.read(lake, history.NAMES), history.read(lake, history.PLACEMENTS)
    return find_groups(placed["sha256"], names, history.read(lake, history.COPIES), decided_pairs(decisions(lake)))


def group(lake: Lake, catalog_key: str) -> tuple[str, dict[str, int]]:
    """Set `group` and `cluster` of every image that is not quarantined, and the `reason` of mosaics.

    Only images that were never compared are compared, with all that the lake ever saw. What is known of an image's
    copies is in the key: the same catalog after the same history gives the same key. Returns it, and counts (`groups`,
    `copies`, `clusters`, `mosaics`, `skipped`: doubtful links that would have joined too many films).
    """
    take_over(lake)
    catalog = catalogs.read(lake, catalog_key, Repaired)
    usable = catalog[catalogs.usable(catalog)]
    publications = catalogs.read_publications(lake, catalog)
    remember_names(lake, publications[publications["sha256"].isin(usable["sha256"])])
    compare(lake)
    found = recall(lake)
    _log_sizes(found.group)
    digests = usable["sha256"]
    for column in ("group", "cluster"):
        catalog[column] = within(digests, found.members[column]).reindex(catalog.index)
    names = history.read(lake, history.NAMES)
    shown = {digest: mosaic_reason(found.mosaics[digest], names) for digest in digests if digest in found.mosaics}
    catalog["reason"] = catalog["reason"].fillna(catalog["sha256"].map(shown).astype("string"))
    columns = ["group", "cluster", "reason"]
    key = derived_key("group", VERSION, catalog_key, catalog[columns].astype("string").fillna("").to_numpy().tolist())
    if not lake.exists(key):
        catalogs.write(lake, key, catalog, Grouped)
    groups = int(catalog["group"].nunique())
    counts = {"groups": groups, "copies": len(digests) - groups, "clusters": int(catalog["cluster"].nunique())}
    return key, {**counts, "mosaics": len(shown), "skipped": len(found.skipped)}


def remember_names(lake: Lake, publications: pd.DataFrame) -> None:
    """Append to the history under which names images are published, where that is new."""
    names = history.conform(history.NAMES, publications[list(history.NAMES.columns)])
    known = history.read(lake, history.NAMES)
    new = ~pd.MultiIndex.from_frame(names.fillna("")).isin(pd.MultiIndex.from_frame(known.fillna("")))
    history.append(lake, history.NAMES, names[new])


def compare(lake: Lake) -> None:
    """Compare images ever seen that were not compared with all others, and pairs of one path that nobody judged.

    What is found is appended before it counts as compared: a run that is killed compares again.
    """
    names, pairs = history.read(lake, history.NAMES), history.read(lake, history.COPIES)
    seen = history.digests_in(names, history.read(lake, history.PLACEMENTS), pairs)
    ready, tip = comparison.ready(lake), read_tip(lake, comparison.VERSION)
    able = seen.intersection(ready)
    if waiting := len(seen) - len(able):
        log.warning("%d images ever seen have no fingerprint, and are compared with nothing", waiting)
    fresh = [digest for digest in able if digest not in tip.cover]
    known = [digest for digest in able if digest in tip.cover]
    paths = same_paths(names)
    judged = pd.MultiIndex.from_frame(paths).isin(pd.MultiIndex.from_frame(pairs[PAIR]))
    paths = paths[~judged & paths["first"].isin(able) & paths["second"].isin(able)]
    if fresh or len(paths):
        found = comparison.find_copies(lake, known, fresh, paths.reset_index(drop=True))
        history.append(lake, history.COPIES, found)
        add(lake, comparison.VERSION, tip, fresh)


def _log_sizes(groups: pd.Series) -> None:
    sizes = groups.value_counts().head(LARGEST)
    largest = ", ".join(f"{str(name)[:12]} {size}" for name, size in sizes.items() if size > 1)
    log.info("images in the largest groups: %s", largest or "no image has a copy")
