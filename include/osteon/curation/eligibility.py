"""Whether and why an image takes part in training: worked out by the stages that change labels, and by no other.

Whoever wants to know it reads the columns `conflict` and `exclusion_reason`.
"""

from __future__ import annotations

import pandas as pd

from osteon import catalog as catalogs
from osteon.curation.publications import joined, names_of, words_of

MAX_NAMED = 3
SAID = ["part", "fractured"]


def with_eligibility(catalog: pd.DataFrame, publications: pd.DataFrame, unknown_fracture: str) -> pd.DataFrame:
    """The catalog with `conflict` and `exclusion_reason` as its labels are now.

    Args:
        catalog: A grouped catalog, whose `reason` says what repair and curators keep out.
        publications: All files that its images were published as.
        unknown_fracture: The setting: `marginal` lets images take part of whose fracture state nothing is known.

    Returns:
        A copy. `conflict` says who says what, where copies contradict each other. `exclusion_reason` says why an image
        takes no part, and is empty where it does.
    """
    conflict = catalog["sha256"].map(conflicts(catalog, publications)).astype("string")
    raw = publications[publications["raw_label"].fillna("") != ""]
    words = catalog["sha256"].map(joined(raw["raw_label"], raw["sha256"])).astype("string")
    unknown = catalog["sha256"].map(words_of(publications, "unknown_words")).astype("string")
    no_part = ("unknown label: " + unknown).fillna("no single body part: " + words).fillna("no label")
    reason = (
        catalog["reason"].fillna("conflicting labels: " + conflict).fillna(no_part.where(catalog["body_part"].isna()))
    )
    if unknown_fracture != "marginal":
        reason = reason.mask(reason.isna() & catalog["fractured"].isna(), "fracture state unknown")
    return catalog.assign(conflict=conflict, exclusion_reason=reason)


def conflicts(catalog: pd.DataFrame, publications: pd.DataFrame) -> pd.Series:
    """For each image of a disputed group who says what, by `sha256`: `hand/fractured, but s:b.jpg is hand/unknown`.

    Copies are the other publications of the same bytes and the other members of the group. Who does not name a part,
    or a fracture state, contradicts nobody about it. What a curator labelled counts as labelled so; what is left out
    does not count.
    """
    said = _statements(catalog, publications)
    disputed = said.groupby("group")[SAID].transform("nunique").gt(1).any(axis=1)
    said = said[disputed]
    kinds = said.groupby(["group", "label"], as_index=False).agg(
        part=("part", "first"), fractured=("fractured", "first"), count=("name", "size")
    )
    pairs = kinds.merge(kinds, on="group", suffixes=("", "_other"))
    apart = [(pairs[name] != pairs[f"{name}_other"]).fillna(False).astype(bool) for name in SAID]
    pairs = pairs[apart[0] | apart[1]]
    text = _texts(pairs, said).rename("text")
    first = said.merge(text.reset_index(), on=["group", "label"]).sort_values("order").drop_duplicates("sha256")
    names = _groups(catalog)
    others = pd.Series("its copies contradict each other", catalog.loc[names.isin(said["group"]), "sha256"])
    return first.set_index("sha256")["text"].combine_first(others).astype("string")


def _statements(catalog: pd.DataFrame, publications: pd.DataFrame) -> pd.DataFrame:
    """What each publication, or a curator, says of an image: `sha256, group, name, part, fractured, label, order`."""
    counted = catalog[catalog["reason"].isna()]
    by_people = counted["label_origin"] == catalogs.HUMAN
    columns = {"body_part": "part"}
    people = counted[by_people].assign(name=names_of(counted)).rename(columns=columns)
    files = publications[publications["sha256"].isin(counted.loc[~by_people, "sha256"])]
    files = files.assign(name=names_of(files)).rename(columns=columns)
    said = pd.concat([table[["sha256", "name", *SAID]] for table in (people, files)], ignore_index=True)
    said = said.sort_values("sha256", kind="stable", ignore_index=True)
    group = pd.Series(_groups(catalog).array, catalog["sha256"])
    state = catalogs.state_names(said)
    label = said["part"].fillna("no single part") + "/" + state
    return said.assign(group=said["sha256"].map(group).astype("string"), label=label, order=said.index)


def _groups(catalog: pd.DataFrame) -> pd.Series:
    """The group of each image; what is in none is one by itself."""
    return catalog["group"].fillna(catalog["sha256"])


def _texts(pairs: pd.DataFrame, said: pd.DataFrame) -> pd.Series:
    """What contradicts each label of a group: the first files by name, and how many more.

    Args:
        pairs: Labels of one group that cannot both be true: `group, label, label_other, count_other`.
        said: As `_statements` gives it.
    """
    by = ["group", "label"]
    first = said.groupby(by).head(MAX_NAMED)[[*by, "name", "order"]].rename(columns={"label": "label_other"})
    named = pairs[[*by, "label_other"]].merge(first, on=["group", "label_other"]).sort_values("order")
    named = named.groupby(by).head(MAX_NAMED)
    texts = (named["name"] + " is " + named["label_other"]).groupby([named[name] for name in by]).agg(", ".join)
    more = pairs.groupby(by)["count_other"].sum() - MAX_NAMED
    texts = texts + (", " + more.astype("string") + " more disagree").where(more > 0, "")
    return texts.index.get_level_values("label") + ", but " + texts
