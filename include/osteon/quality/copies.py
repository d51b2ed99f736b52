"""The tables that checks of copies look at: groups, doubtful pairs, neighbours across the split, moved images."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.doubts import contradicting_paths, image_names, possible_copies
from osteon.images.registration import COPIED

MANY = 20
"""Images from which a group counts as large at all, however few images there are."""
OTHER = ("other", "other_sha256")
"""Columns of the second image of a pair: its name and its digest."""


def group_table(catalog: pd.DataFrame) -> pd.DataFrame:
    """One row per group of MANY images or more: `class` (its name), `images`, and `part`, its share of all images."""
    usable = catalog[catalogs.usable(catalog)]
    sizes = usable["group"].value_counts()
    large = sizes[sizes >= MANY]
    one = (usable["source"] + ":" + usable["path"]).groupby(usable["group"]).min().reindex(large.index)
    names = pd.Series(large.index, index=large.index, dtype="string")
    told = "group " + names.str[:12] + " of " + one.astype("string")
    table = pd.DataFrame({"class": told, "images": large, "part": large / max(1, len(usable))})
    return table.reset_index(drop=True).astype({"class": "string", "images": "Int64", "part": "Float64"})


def pair_table(catalog: pd.DataFrame, names: pd.DataFrame, copies: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """One row per pair that a curator had better decide about: both images, and `possible` or `contradiction`.

    `names` and `copies` are facts of the history, `decided` the pairs that curators decided.
    """
    maybe = possible_copies(catalog, copies, decided)
    maybe["possible"] = [score_text(score) for score in maybe["score"]]
    against = contradicting_paths(catalog, names, copies, decided).assign(
        contradiction="one path, but their pixels differ"
    )
    pairs = pd.concat([maybe, against], ignore_index=True).reindex(
        columns=["first", "second", "possible", "contradiction"]
    )
    table = _both_images(pairs, "first", "second", catalog, names)
    return table.assign(**{name: pairs[name] for name in ("possible", "contradiction")}).astype("string")


def neighbour_table(
    catalog: pd.DataFrame, names: pd.DataFrame, closest: pd.DataFrame, not_compared: pd.Series
) -> pd.DataFrame:
    """One row per test image and what is nearest to it in train and val, and one per image that was not compared.

    `closest` are pairs as `leakage.nearest` gives them, `not_compared` digests. `copy` and `possible` say what a
    pair is.
    """
    told = [
        f"{', '.join(filter(None, [score_text(score), view_text(view)]))}; the first is in test, the second in {split}"
        for score, view, split in zip(closest["score"], closest["view"], closest["neighbour_split"], strict=True)
    ]
    table = _both_images(closest, "test", "neighbour", catalog, names)
    text = pd.Series(told, index=table.index, dtype="string")
    for name in (history.COPY, history.POSSIBLE):
        table[name] = text.where((closest["verdict"] == name).to_numpy(bool))
    rest = catalog[catalog["sha256"].isin(not_compared)]
    lacking = rest[["source", "path", "sha256"]].assign(not_compared="it has no fingerprint")
    columns = ["source", "path", "sha256", *OTHER, "copy", "possible", "not_compared"]
    return pd.concat([table, lacking], ignore_index=True).reindex(columns=columns).astype("string")


def placement_table(catalog: pd.DataFrame, moved: dict[str, str]) -> pd.DataFrame:
    """One row per image that has a split: `source, path, sha256, moved`. `moved` is its split before, by digest."""
    placed = catalog.loc[catalog["split"].notna(), ["source", "path", "sha256", "split"]]
    before = placed["sha256"].map(moved).astype("string")
    table = placed.drop(columns="split").astype("string")
    return table.assign(moved=(before + " before, " + placed["split"] + " now").astype("string"))


def score_text(score: float) -> str:
    """A score beside the bar, as people are told it."""
    return "score unknown" if pd.isna(score) else f"score {score:.1f} (copies have {COPIED:g} or more)"


def view_text(view: str) -> str:
    """What has to be done to one image of a pair before it fits the other; empty for nothing."""
    return "" if pd.isna(view) or view in ("", "as it is") else f"if one of the two is {view}"


def _both_images(
    pairs: pd.DataFrame, first: str, second: str, catalog: pd.DataFrame, names: pd.DataFrame
) -> pd.DataFrame:
    """`source, path, sha256` of the first image of each pair, and OTHER of the other one.

    Where the catalog holds only the second image, they are of that.
    """
    held = catalog.set_index("sha256")[["source", "path"]]
    swapped = ~pairs[first].isin(held.index)
    one, other = pairs[first].mask(swapped, pairs[second]), pairs[second].mask(swapped, pairs[first])
    images = held.reindex(one).reset_index(drop=True).set_index(pairs.index)
    return images.assign(sha256=one, other=image_names(other, catalog, names), other_sha256=other).astype("string")
