"""Pairs of images that a curator had better decide about."""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon import history
from osteon.curation.groups import PAIR, same_paths

SHOWN_DIGITS = 12
"""Of a digest that stands for an image without a name."""


def possible_copies(catalog: pd.DataFrame, copies: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    """Pairs (`first, second, score`) that may show one film, the most likely first.

    `copies` are facts of the history, `decided` the pairs (`first, second, copies`) that curators decided. Both images
    are in the catalog and no reason keeps them out; they are not in one group by other copies, and nobody has decided.
    """
    group = catalog[catalogs.usable(catalog) & catalog["reason"].isna()].set_index("sha256")["group"]
    pairs = _undecided(copies[copies["verdict"] == history.POSSIBLE], decided)
    pairs = pairs[pairs["first"].isin(group.index) & pairs["second"].isin(group.index)]
    apart = pairs["first"].map(group).fillna(pairs["first"]) != pairs["second"].map(group).fillna(pairs["second"])
    return pairs[apart].sort_values(["score", *PAIR], ascending=[False, True, True])[[*PAIR, "score"]]


def contradicting_paths(
    catalog: pd.DataFrame, names: pd.DataFrame, copies: pd.DataFrame, decided: pd.DataFrame
) -> pd.DataFrame:
    """Pairs (`first, second`) that one source published under one path, though pixels say that they are two films.

    One of the two at least is in the catalog; nobody has decided. `names` are facts of the history.
    """
    different = copies.loc[copies["verdict"] == history.DIFFERENT, PAIR]
    pairs = same_paths(names).merge(different, on=PAIR)
    held = catalog.loc[catalogs.usable(catalog), "sha256"]
    return _undecided(pairs[pairs["first"].isin(held) | pairs["second"].isin(held)], decided)


def image_names(digests: pd.Series, catalog: pd.DataFrame, names: pd.DataFrame) -> pd.Series:
    """`source:path` of each image, by the catalog or else by the history; else the beginning of its digest."""
    ever = names.dropna(subset=["source", "path"])
    known = (ever["source"] + ":" + ever["path"]).groupby(ever["sha256"]).min().to_dict()
    known |= dict(zip(catalog["sha256"], catalog["source"] + ":" + catalog["path"], strict=True))
    return digests.map(lambda digest: known.get(digest, digest[:SHOWN_DIGITS])).astype("string")


def _undecided(pairs: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    return pairs[~pd.MultiIndex.from_frame(pairs[PAIR]).isin(pd.MultiIndex.from_frame(decided[PAIR]))]
