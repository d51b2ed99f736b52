"""Doubtful labels: a simple classifier that never saw the image disagrees with its body part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from osteon import catalog as catalogs
from osteon.images.decode import Decoded
from osteon.images.families import Family
from osteon.images.measure import thumbnail
from osteon.quality.check import Check, Threshold, register
from osteon.quality.images import Images
from osteon.quality.label_rows import descriptor
from osteon.sources.base import PublishedFile
from osteon.sources.defects import Change, defect
from osteon.sources.phantom import PARTS

FOLDS = 5


def measure(image: Decoded) -> dict[str, object]:
    return {"thumb": thumbnail(image.grey).tobytes()}


THUMBNAIL = Family("thumbnail", version=1, columns={"thumb": "bytes"}, measure=measure, in_catalog=False)
"""`thumb`: THUMB x THUMB grey levels, row by row."""


@defect
def wrong_label(file: PublishedFile, number: int, rng: np.random.Generator) -> Change:
    part, state = str(file.raw_label).split("|")
    others = [name for name in PARTS if name != part]
    return replace(file, raw_label=f"{rng.choice(others)}|{state}"), None


@register
class SuspectedLabels(Check):
    name = "suspected_labels"
    column = "suspected_label"
    default = Threshold(severity="warning", critical_share=0.2)
    title = "A classifier that never saw the image agrees with its label."
    message = "{count} {label is|labels are} doubtful: a classifier that never saw the image disagrees ({share})."
    remedy = "Look at them, the most doubtful first. Osteon changed nothing."
    order = "doubt_rank"
    measures = THUMBNAIL
    defects = (wrong_label,)

    def values(self, images: Images) -> pd.DataFrame:
        by_source = images.catalog[~images.labelled_by_curators]
        found = suspected_labels(by_source, images.measured["thumbnail.thumb"]).reindex(images.catalog.index)
        return found.astype({"suspected_label": "string", "doubt_rank": "Float64"})


def suspected_labels(catalog: pd.DataFrame, thumbs: pd.Series) -> pd.DataFrame:
    """Doubtful body parts as `suspected_label` (what is doubtful, and why) and `doubt_rank` (1 is most doubtful).

    Confident learning (C. Northcutt et al., JAIR 70, 2021, by cleanlab) estimates how many labels are wrong, and those
    that the classifier believes least are named. It is a multinomial logistic regression on principal components of
    gradient histograms (N. Dalal and B. Triggs, CVPR 2005) and of 16x16 pixels, out of fold by cluster, so no
    image is judged by a model that saw it or a copy of it. Parts with fewer than 2 * FOLDS groups are not judged.

    Args:
        catalog: Images with the labels that their sources gave.
        thumbs: Thumbnail of each, by the catalog's index.
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
    features = np.stack([descriptor(thumb) for thumb in thumbs[rows.index]])
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
