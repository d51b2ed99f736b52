"""Groups and clusters of all images ever seen. A group is one film; a cluster is what must stand in one split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon.history import COPY, DIFFERENT, POSSIBLE

PAIR = ["first", "second"]
MOST_DOUBTFUL = 20
"""Films, or patients where they are known, that doubtful links alone may join in one cluster."""
OVERLAP = 0.15
"""Share of the smaller of two regions that may lie in the other, where they show two films side by side."""
SMALL, MANY = 0.35, 3
"""Two films are enough for a mosaic if each fills no more than this share of it; so many are enough of any size."""
MOST_NAMED = 3
MOSAIC = "mosaic of several films"
"""How the reason of a mosaic starts."""
Region = tuple[float, float, float, float]
"""x0, y0, x1, y1, from 0 to 1."""


@dataclass(frozen=True)
class Groups:
    """What is known of all images ever seen, whichever catalogs held them."""

    members: pd.DataFrame
    """`group, cluster` by `sha256`, each named by the smallest digest in it."""
    mosaics: dict[str, tuple[str, ...]]
    """Images that several films were put together in, and the digests of some that each shows."""
    skipped: pd.DataFrame
    """Doubtful pairs (`first, second, score`) that would have joined too many films, and join none."""

    @property
    def group(self) -> pd.Series:
        """The group of each image, by SHA-256."""
        return self.members["group"]

    @property
    def cluster(self) -> pd.Series:
        """The cluster of each image, by SHA-256: groups that must stand in one split."""
        return self.members["cluster"]


def find_groups(digests: Iterable[str], names: pd.DataFrame, copies: pd.DataFrame, decided: pd.DataFrame) -> Groups:
    """Groups and clusters, in any order of rows the same.

    `names` and `copies` are facts of the history, merged; `decided` are the pairs (`first, second, copies`) that
    curators decided, once each. Copies of one film, and what one source published under one path, make a group, unless
    the comparison or a curator says that they differ. Clusters join groups of one patient, and possible copies.
    A mosaic is in a group and a cluster with nothing but what a curator joined it with.
    """
    every = pd.Index(sorted({*digests, *names["sha256"], *copies["first"], *copies["second"]}), dtype=object)
    open_copies = _without(copies, decided)
    found = open_copies[open_copies["verdict"] == COPY]
    joins = decided["copies"].astype(bool)
    said, refused = decided.loc[joins, PAIR], decided.loc[~joins, PAIR]
    different = open_copies.loc[open_copies["verdict"] == DIFFERENT, PAIR]
    by_path = _without(_without(same_paths(names), different), decided)
    seen = _without(copies[copies["verdict"] == COPY], refused)
    mosaics = find_mosaics(every, seen, pd.concat([by_path, said]))
    edges = pd.concat([found[PAIR], by_path])
    films = _joined(every, pd.concat([_apart_from(edges, mosaics), said]))
    patients = _patients(names[~names["sha256"].isin(list(mosaics))])
    sure = _joined(every, pd.concat([_star(films), _star(patients)]))
    doubtful = _apart_from(open_copies[open_copies["verdict"] == POSSIBLE], mosaics)
    clusters, skipped = _link(sure, doubtful)
    return Groups(pd.DataFrame({"group": films, "cluster": clusters}, dtype="string"), mosaics, skipped)


def same_paths(names: pd.DataFrame) -> pd.DataFrame:
    """Pairs (`first, second`) of images that one source published under one path, in one version and another.

    Of the images of a path, in order of their digests, each stands with the one before it and with the first of all.
    So pairs grow as versions do, and one image that is another film does not part the others.
    """
    path = ["source", "path"]
    held = names.dropna(subset=path)[["sha256", *path]].drop_duplicates().sort_values([*path, "sha256"])
    of_path = held.groupby(path)["sha256"]
    before = [of_path.shift(), of_path.transform("first")]
    pairs = pd.concat([pd.DataFrame({"first": one, "second": held["sha256"]}) for one in before]).dropna()
    return pairs[pairs["first"] != pairs["second"]].drop_duplicates().sort_values(PAIR, ignore_index=True)


def find_mosaics(every: pd.Index, found: pd.DataFrame, others: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Images that show several films side by side, and the digest of one copy of each film.

    `found` are copies, with regions; `others` are pairs that join without regions. Films count as several if nothing
    but images that may be mosaics joins them: the same mosaic, saved twice, does not hide itself.
    """
    views = _views(found)
    maybe = {image for image, seen in views.items() if _side_by_side([region for _, _, region in seen])}
    if not maybe:
        return {}
    films = _joined(every, _apart_from(pd.concat([found[PAIR], others]), maybe))
    mosaics = {}
    for image in sorted(maybe):
        by_film: dict[str, tuple[str, Region]] = {}
        for other, _, region in views[image]:  # the best view of a film is the first
            by_film.setdefault(films[other], (other, region))
        shown = list(by_film.values())
        if chosen := _side_by_side([region for _, region in shown]):
            mosaics[image] = tuple(sorted(shown[number][0] for number in chosen))
    return mosaics


def mosaic_reason(shown: Sequence[str], names: pd.DataFrame) -> str:
    """Why a mosaic is left out, with the names of some films that it shows."""
    held = names[names["sha256"].isin(shown)].dropna(subset=["source", "path"])
    known = (held["source"] + ":" + held["path"]).groupby(held["sha256"]).min()
    listed = [str(known.get(digest, digest[:12])) for digest in shown]
    more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
    return f"{MOSAIC}: {', '.join(listed[:MOST_NAMED])}{more}"


def within(digests: pd.Series, names: pd.Series) -> pd.Series:
    """Groups or clusters of a catalog's images, named by the smallest digest in each that the catalog holds.

    So copies elsewhere make no other catalog of it.
    """
    return digests.groupby(digests.map(names)).transform("min")


def _without(pairs: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Pairs that are not among others."""
    return pairs[~pd.MultiIndex.from_frame(pairs[PAIR]).isin(pd.MultiIndex.from_frame(others[PAIR]))]


def _apart_from(pairs: pd.DataFrame, images: Iterable[str]) -> pd.DataFrame:
    """Pairs of which no image is among some."""
    some = list(images)
    return pairs[~pairs["first"].isin(some) & ~pairs["second"].isin(some)]


def _joined(every: pd.Index, pairs: pd.DataFrame) -> pd.Series:
    """The smallest digest that each is connected to, by digest; `every` is sorted."""
    ends = every.get_indexer(pd.Index(pairs["first"])), every.get_indexer(pd.Index(pairs["second"]))
    held = (ends[0] >= 0) & (ends[1] >= 0)
    graph = coo_array((np.ones(held.sum(), bool), (ends[0][held], ends[1][held])), shape=(max(1, len(every)),) * 2)
    _, smallest, component = np.unique(
        connected_components(graph, directed=False)[1][: len(every)], return_index=True, return_inverse=True
    )
    return pd.Series(every.to_numpy()[smallest[component]], index=every, dtype=object)


def _star(names: pd.Series) -> pd.DataFrame:
    """Pairs that connect all images of one name with the first of them."""
    first = pd.Series(names.index, index=names.index).groupby(names.to_numpy()).transform("min")
    pairs = pd.DataFrame({"first": first.to_numpy(), "second": names.index})
    return pairs[pairs["first"] != pairs["second"]]


def _patients(names: pd.DataFrame) -> pd.Series:
    """Patient by digest, which may have several."""
    return names.dropna(subset=["patient"]).drop_duplicates(["sha256", "patient"]).set_index("sha256")["patient"]


def _link(sure: pd.Series, doubtful: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Join what is sure by doubtful pairs, the best first, and the pairs that would join more than MOST_DOUBTFUL."""
    ordered = doubtful.sort_values(["score", *PAIR], ascending=[False, True, True], na_position="last")
    parts: dict[str, set[str]] = {}
    skipped = []
    columns = (ordered[name].tolist() for name in (*PAIR, "score"))
    for first, second, score in zip(*columns, strict=True):
        one, other = (parts.get(name, {name}) for name in (sure[first], sure[second]))
        both = one | other
        if len(both) > MOST_DOUBTFUL:
            skipped.append((first, second, score))
            continue
        parts.update(dict.fromkeys(both, both))
    names = {name: min(part) for name, part in parts.items()}
    return sure.map(lambda name: names.get(name, name)), pd.DataFrame(skipped, columns=[*PAIR, "score"])


def _views(found: pd.DataFrame) -> dict[str, list[tuple[str, float, Region]]]:
    """For images that several others show parts of: `other, score, region`, the best first."""
    views: dict[str, list[tuple[str, float, Region]]] = {}
    columns = (found[name].tolist() for name in (*PAIR, "score", "region_first", "region_second"))
    for first, second, score, region_first, region_second in zip(*columns, strict=True):
        score = -1.0 if pd.isna(score) else float(score)
        for image, other, region in ((first, second, region_first), (second, first, region_second)):
            if region is not None and _area(region) > 0:
                views.setdefault(image, []).append((other, score, region))
    return {image: sorted(seen, key=lambda view: (-view[1], view[0])) for image, seen in views.items() if len(seen) > 1}


def _side_by_side(regions: list[Region]) -> list[int]:
    """Numbers of regions that do not overlap, the smallest first.

    Empty if they are too few, or too large, for a mosaic.
    """
    chosen: list[int] = []
    for number in sorted(range(len(regions)), key=lambda number: _area(regions[number])):
        region = regions[number]
        if all(_overlap(region, regions[other]) < OVERLAP * _area(regions[other]) for other in chosen):
            chosen.append(number)
    small = [number for number in chosen if _area(regions[number]) <= SMALL]
    return chosen if len(chosen) >= MANY else small if len(small) > 1 else []


def _area(region: Region) -> float:
    return max(0.0, region[2] - region[0]) * max(0.0, region[3] - region[1])


def _overlap(one: Region, other: Region) -> float:
    return _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
