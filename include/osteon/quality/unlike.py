"""Films of a source that are unlike all others, such as photographs among radiographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.quality.agreement import FOLDS, Scores
from osteon.quality.label_sets import Answers, agreement_on

RARE = 0.99
"""An image is unlike those of a reference if a classifier takes it for one of this source more than this share of
them."""
DOUBTFUL = 0.3
"""Chance that the label of an image contradicts it, from which on labels say little about such images."""
FITTING, UNFIT = 0.85, 0.75
"""Agreement with the body parts that the other images of the source have at least, and the unlike ones at most."""
NEW_KIND = 0.9
"""A new source of which more than this share is unlike others shows films of another kind, not foreign ones."""
LEAST, LEAST_INSIDE = 40, 300
"""Images of a source that are needed to tell by other films, and by its own body parts alone: of fewer, a classifier
errs at too many looks."""
MOST_NAMED = 3


@dataclass(frozen=True)
class Unlike:
    """Images of a source that are unlike others."""

    share: float
    """Of the images that could be compared, 0 to 1."""
    text: str | None = None


NOTHING = Unlike(0.0)


def unlike_films(
    rows: pd.DataFrame, features: pd.DataFrame, own: Answers, others: pd.DataFrame, known: bool
) -> Unlike | None:
    """The share of a source that is unlike all other films, where their labels do not fit either.

    Films of a new detector are unlike others, but their body parts can be learnt. Of photographs they cannot. Where a
    source has one body part, its look alone decides.

    Args:
        rows: Images of the source, as `label_rows` gives them.
        features: Of all images by `sha256`.
        own: Answers of a classifier that learnt from the other images of the source.
        others: Images of other sources, and of the accepted version of this one.
        known: Whether `others` hold an accepted version of this source.

    Returns:
        None where neither others nor body parts can tell.
    """
    others = others[~others["body_part"].notna() | others["body_part"].isin(set(rows["body_part"].dropna()))]
    compared = (rows["body_part"].isna() | rows["body_part"].isin(set(others["body_part"].dropna()))).to_numpy()
    inside = _inside(rows, features, own)
    found = [] if inside is None else [inside]
    if compared.sum() >= LEAST and len(others) >= LEAST:
        unlike = np.zeros(len(rows), bool)
        unlike[compared] = _against(rows[compared], others, features)
        share = unlike.sum() / compared.sum()
        if known or share <= NEW_KIND:
            found.append(_told(rows, unlike, float(share), own, "unlike films of other sources or of last week"))
    return max(found, key=lambda one: one.share, default=None)


def _told(rows: pd.DataFrame, unlike: NDArray[np.bool_], share: float, own: Answers, words: str) -> Unlike:
    """What is said of some images; of none where their labels can be learnt."""
    fits = agreement_on("body part", rows[unlike], own.take(unlike), every=True)
    if fits is not None and fits.value > UNFIT:
        return NOTHING
    names = ", ".join(rows.loc[unlike, "path"].head(MOST_NAMED))
    return Unlike(share, f"{share:.0%} of {len(rows)} images are {words}, such as {names}")


def _against(rows: pd.DataFrame, others: pd.DataFrame, features: pd.DataFrame) -> NDArray[np.bool_]:
    """Which images a classifier tells from nearly all others that it did not see."""
    seen = features.loc[[*rows["sha256"], *others["sha256"]]].to_numpy()
    mine = np.arange(len(seen)) < len(rows)
    chances = _out_of_fold(seen, mine, np.concatenate([rows["cluster"], others["cluster"]]), balanced=True)
    unlike: NDArray[np.bool_] = chances[mine] > np.quantile(chances[~mine], RARE)
    return unlike


def _inside(rows: pd.DataFrame, features: pd.DataFrame, own: Answers) -> Unlike | None:
    """Images of a look at which body parts are wrong, in a source whose other images have the right ones.

    None where it has one body part, or too few images.
    """
    judged = own.about("body part") & rows["body_part"].notna().to_numpy()
    if own.parts is None or judged.sum() < LEAST_INSIDE:
        return None
    some, said = rows[judged].reset_index(drop=True), own.take(judged)
    assert said.parts is not None
    guess = said.parts.columns.to_numpy()[said.parts.to_numpy().argmax(axis=1)]
    wrong = guess != some["body_part"].to_numpy()
    if min(wrong.sum(), (~wrong).sum()) < FOLDS:
        return NOTHING
    clusters = some["cluster"].to_numpy()
    doubtful = _out_of_fold(features.loc[some["sha256"]].to_numpy(), wrong, clusters, balanced=False) > DOUBTFUL
    rest = agreement_on("body part", some[~doubtful], said.take(~doubtful), every=True)
    if rest is None or rest.value < FITTING:
        return NOTHING
    return _told(some, doubtful, float(doubtful.mean()), said, "of a look that fits no label, as photographs have it")


def _out_of_fold(
    features: Scores, positive: NDArray[np.bool_], clusters: NDArray[np.object_], balanced: bool
) -> Scores:
    """(n,): chances of being positive, by classifiers that see how features spread as well as where they lie."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    spread = np.hstack([features, features**2, np.linalg.norm(features, axis=1, keepdims=True)])
    model = LogisticRegression(C=0.01, max_iter=500, class_weight="balanced" if balanced else None)
    folds = GroupKFold(min(FOLDS, len(set(clusters))))
    scaled = StandardScaler().fit_transform(spread)
    chances = cross_val_predict(model, scaled, positive, groups=clusters, cv=folds, method="predict_proba")
    found: Scores = chances[:, 1]
    return found
