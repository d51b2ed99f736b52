"""The table of publications: every file that the images of a catalog were published as, and what its label says."""

from __future__ import annotations

import pandas as pd

from osteon.labels import LabelMap, RawLabel
from osteon.schemas import JOINT, PublishedFile, columns_of


def publications_of(manifests: pd.DataFrame, labels: LabelMap) -> pd.DataFrame:
    """The files of some manifests that are images, in their order, with what each label means by itself."""
    files = manifests.loc[manifests["sha256"].notna(), [*columns_of(PublishedFile), "sha256", "bytes"]]
    rows = []
    for raw in files["raw_label"].unique():
        meaning = labels.resolve(None if pd.isna(raw) else raw)
        said = {"body_part": meaning.body_part, "fractured": meaning.fractured}
        words = {"named_parts": meaning.parts, "unknown_words": tuple(dict.fromkeys(meaning.unknown))}
        rows.append({"raw_label": raw, **said, **{name: JOINT.join(some) or None for name, some in words.items()}})
    columns = ["raw_label", "body_part", "fractured", "named_parts", "unknown_words"]
    meanings = pd.DataFrame(rows, columns=columns).astype({name: "string" for name in columns if name != "fractured"})
    merged = files.merge(meanings.astype({"fractured": "boolean"}), on="raw_label", how="left", validate="many_to_one")
    return merged.reset_index(drop=True)


def is_about_parts(publications: pd.DataFrame) -> pd.Series:
    """Whether each label says something of the body part: a word that the label map calls ambiguous says nothing."""
    words = {raw: bool(RawLabel.parse(raw).parts) for raw in publications["raw_label"].dropna().unique()}
    has_words = publications["raw_label"].map(words).fillna(False).astype(bool)
    return has_words & (publications["named_parts"].notna() | publications["unknown_words"].notna())


def first_of_each(publications: pd.DataFrame) -> pd.DataFrame:
    """The publication that each image belongs to, by `sha256`."""
    return publications.drop_duplicates("sha256").set_index("sha256")


def names_of(publications: pd.DataFrame) -> pd.Series:
    """`source:path` of each publication."""
    return publications["source"] + ":" + publications["path"]


def words_of(publications: pd.DataFrame, column: str) -> pd.Series:
    """All words in a column of an image's publications, in order and each once: `a, b`, by `sha256`.

    Args:
        publications: See `osteon.schemas.Publications`.
        column: `named_parts` or `unknown_words`.

    Returns:
        One value for each image that has such a word.
    """
    said = publications[["sha256", column]].dropna()
    words = said.assign(word=said[column].str.split(JOINT)).explode("word")
    return joined(words["word"], words["sha256"])


def joined(words: pd.Series, by: pd.Series) -> pd.Series:
    """The words of each image in order and each once, joined by commas."""
    once = pd.DataFrame({"word": words, "by": by}).drop_duplicates().sort_values("word")
    several = once["by"].duplicated(keep=False)
    one, more = once[~several].set_index("by")["word"], once[several].groupby("by")["word"].agg(", ".join)
    joined: pd.Series = pd.concat([one, more]).astype("string")
    return joined
