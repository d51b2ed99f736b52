from __future__ import annotations

import numpy as np
import pytest

from osteon.errors import TrainingError
from osteon.images.wavelet import WaveletRecipe, letterbox
from osteon.models.cnn_bilstm import build, marginal_cross_entropy
from osteon.training.augment import of_wavelets
from osteon.training.fit import dataset
from tests.pictures import radiograph

ARCHITECTURE = {
    "blocks": 2, "filters": 4, "growth": 2, "kernel": 3, "residual": True, "lstm_units": 3, "dropout": 0.2,
    "learning_rate": 1e-3,
}  # fmt: skip


def test_the_lstm_reads_as_many_steps_as_the_feature_map_has_rows() -> None:
    model = build(ARCHITECTURE, (32, 32, 4), 5)
    sequence = model.get_layer("rows_as_time_steps").output
    assert sequence.shape[1] == 32 / 2**2
    assert model.output_shape == (None, 5)


def test_a_feature_map_of_one_row_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        build({**ARCHITECTURE, "blocks": 3}, (8, 8, 4), 5)


def test_with_one_allowed_class_the_loss_is_the_sparse_categorical_cross_entropy() -> None:
    import keras

    logits = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    codes = np.array([0, 1, 2, 3, 1, 0])
    expected = keras.losses.sparse_categorical_crossentropy(codes, logits, from_logits=True)
    found = marginal_cross_entropy(np.eye(4, dtype=np.float32)[codes], logits)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5)


def test_with_two_allowed_classes_the_loss_is_their_marginal_likelihood() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.5]], np.float32))
    found = marginal_cross_entropy(np.array([[1, 1, 0]], np.float32), logits)
    np.testing.assert_allclose(np.asarray(found), [-np.log(0.5)], rtol=1e-5)


def test_mirrored_sub_bands_are_the_sub_bands_of_the_mirrored_image() -> None:
    recipe = WaveletRecipe(side=64)
    pixels = letterbox(radiograph(3, "hand"), 64)
    signs = np.array([1, 1, -1, -1])
    mirrored = recipe.transform(np.ascontiguousarray(pixels[:, ::-1]))
    np.testing.assert_allclose(recipe.transform(pixels)[:, ::-1] * signs, mirrored, atol=2e-3)


def test_exposure_does_not_change_the_sub_bands() -> None:
    pixels = radiograph(4, "knee") // 2
    recipe = WaveletRecipe(side=64)
    one, other = recipe.transform(letterbox(pixels, 64)), recipe.transform(letterbox(pixels * 2, 64))
    assert np.abs(one.astype(float) - other).max() < 0.1 < np.abs(one).max()


def test_augmentation_changes_features_but_no_target_and_validation_changes_nothing() -> None:
    features = np.random.default_rng(1).normal(size=(20, 8, 8, 4)).astype(np.float16)
    allowed = np.eye(4, dtype=np.float32)[np.arange(20) % 4]
    plain = next(iter(dataset(features, allowed, 20)))
    np.testing.assert_array_equal(np.asarray(plain[0]), features.astype(np.float32))
    changed = next(iter(dataset(features, allowed, 20, 3, of_wavelets(3))))
    assert not np.array_equal(np.sort(np.asarray(changed[0]).ravel()), np.sort(features.astype(np.float32).ravel()))
    np.testing.assert_array_equal(np.asarray(changed[1]).sum(axis=0), allowed.sum(axis=0))
