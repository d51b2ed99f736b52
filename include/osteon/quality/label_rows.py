"""Labels as sources give them, one row for each image of a source, with what simple classifiers see of the image."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import catalog as catalogs
from osteon.curation.catalogue import read_manifests
from osteon.curation.publications import publications_of
from osteon.images.measure import THUMB, coarse_thumbnails
from osteon.labels import LabelMap
from osteon.lake import Lake

MOST = 4000
"""Images of one source whose labels are judged. The digest decides which, so it is chance, and the same each time."""
COMPONENTS = 60
COLUMNS = ["source", "path", "sha256", "body_part", "fractured", "cluster"]


def label_rows(publications: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Labels of the images that can be used, each once for a source, in the order of the source's table.

    Labels are those that the source gave: what curators and base models decided is left out.

    Args:
        publications: See `osteon.schemas.Publications`.
        catalog: See `osteon.schemas.Reviewed`. An image that it lacks is a cluster of its own.

    Returns:
        COLUMNS. `body_part` and `fractured` are objects, None where the source does not say them.
    """
    known = catalog.set_index("sha256")
    # neither what cannot be used, nor a mosaic, nor what a curator dropped
    out = set(known.index[~catalogs.usable(known) | known["reason"].notna()])
    rows = publications[~publications["sha256"].isin(out)]
    clusters = rows["sha256"].map(known["cluster"])
    rows = rows.assign(cluster=clusters.fillna(rows["sha256"]))
    plain = label_order(rows)[COLUMNS].drop_duplicates(["source", "sha256"]).astype("object")
    return plain.where(plain.notna(), None).reset_index(drop=True)


def label_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows by source, in the order that publishers' tables mostly have: by file names, in which numbers are numbers."""
    place = pd.Series(sorted(range(len(rows)), key=lambda number: _natural(rows["path"].iloc[number])))
    ordered = rows.iloc[place]
    return ordered.sort_values("source", kind="stable").reset_index(drop=True)


def rows_of_manifests(lake: Lake, manifests: list[str], labels: LabelMap, catalog: pd.DataFrame) -> pd.DataFrame:
    """The same of some manifests, such as those of an earlier week."""
    if not manifests:
        return pd.DataFrame(columns=COLUMNS, dtype="object")
    return label_rows(publications_of(read_manifests(lake, manifests), labels), catalog)


def _natural(path: str) -> tuple[list[tuple[int, str]], str]:
    """The file's name with its numbers as numbers, then the path."""
    pieces = re.split(r"([0-9]+)", path.rpartition("/")[2])  # every second piece is a number
    return [(int(piece) if number % 2 else 0, piece) for number, piece in enumerate(pieces)], path


def sampled(rows: pd.DataFrame) -> pd.DataFrame:
    """At most MOST rows of each source, in their order."""
    rank = rows.groupby("source")["sha256"].rank(method="first")
    return rows[rank <= MOST]


def features(thumbs: pd.Series) -> pd.DataFrame:
    """Principal components of descriptors, standardised: (n, COMPONENTS at most), by the index of the thumbnails."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    raw = StandardScaler().fit_transform(np.stack([descriptor(thumb) for thumb in thumbs]))
    components = PCA(min(COMPONENTS, len(raw) - 1, raw.shape[1]), random_state=0).fit_transform(raw)
    return pd.DataFrame(StandardScaler().fit_transform(components), index=thumbs.index)


@lru_cache(maxsize=1 << 14)
def descriptor(thumb: bytes) -> NDArray[np.float32]:
    """Square roots of a thumbnail's gradient histograms, and its coarse pixels, standardised."""
    from skimage.feature import hog

    pixels = np.frombuffer(thumb, np.uint8).reshape(THUMB, THUMB).astype(np.float32)
    gradients = hog(pixels, orientations=8, pixels_per_cell=(8, 8), cells_per_block=(1, 1))
    small = coarse_thumbnails(pixels[None]).ravel()
    return np.concatenate([np.sqrt(gradients), (small - small.mean()) / (small.std() + 1)]).astype(np.float32)
