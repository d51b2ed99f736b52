"""Features of a snapshot, from shards in a real lake."""

from __future__ import annotations

import numpy as np
import pandas as pd

from osteon.features import load_features, transform
from osteon.images.wavelet import WaveletRecipe
from osteon.lake import Lake
from osteon.settings import Settings
from tests.pictures import encode, radiograph

RECIPE = WaveletRecipe(side=32)


def test_features_come_in_the_snapshots_order_also_where_two_images_share_a_mended_copy(
    settings: Settings, lake: Lake
) -> None:
    images = [encode(radiograph(seed)) for seed in range(3)]
    digests = [lake.put_image(data)[0] for data in images]
    rows = [("x", digests[0]), (digests[2], None), ("y", digests[0]), (digests[1], None)]
    snapshot = pd.DataFrame(rows, columns=["sha256", "repaired_sha256"]).astype("string")
    expected = np.stack([transform(images[number], RECIPE, 10**7) for number in (0, 2, 0, 1)])
    np.testing.assert_array_equal(load_features(settings, lake, snapshot, RECIPE), expected)
    shards = list(lake.keys("features/"))
    np.testing.assert_array_equal(load_features(settings, lake, snapshot, RECIPE), expected)
    assert list(lake.keys("features/")) == shards, "nothing is transformed again"
