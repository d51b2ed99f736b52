"""Features of a snapshot, from shards in a real lake."""

from __future__ import annotations

import numpy as np
import pandas as pd

from osteon.features import load_features
from osteon.images.wavelet import WaveletTransform
from osteon.lake import Lake
from osteon.settings import Settings
from tests.pictures import encode, features_of, radiograph

RECIPE = WaveletTransform(side=32)


def test_features_come_in_the_snapshots_order_also_where_two_images_share_a_mended_copy(
    settings: Settings, lake: Lake
) -> None:
    images = [encode(radiograph(seed)) for seed in range(3)]
    digests = [lake.put_image(data)[0] for data in images]
    rows = [("x", digests[0]), (digests[2], None), ("y", digests[0]), (digests[1], None)]
    snapshot = pd.DataFrame(rows, columns=["sha256", "repaired_sha256"]).astype("string")
    expected = np.stack([features_of(images[number], RECIPE) for number in (0, 2, 0, 1)])
    np.testing.assert_array_equal(load_features(settings, lake, snapshot, RECIPE), expected)
    shards = list(lake.keys("squares/"))
    np.testing.assert_array_equal(load_features(settings, lake, snapshot, RECIPE), expected)
    other = WaveletTransform(side=32, wavelet="db2", level=2)
    found = load_features(settings, lake, snapshot, other)
    np.testing.assert_array_equal(found[1], features_of(images[2], other))
    assert list(lake.keys("squares/")) == shards, "no image is decoded again, for another transform neither"
    in_file = load_features(settings.model_copy(update={"feature_memory": 0}), lake, snapshot, RECIPE)
    assert isinstance(in_file, np.memmap) and not list(settings.state_dir.iterdir()), "the file has no name"
    np.testing.assert_array_equal(in_file, expected)
