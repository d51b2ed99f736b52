from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osteon.errors import TrainingError
from osteon.images.fourier import FourierTransform
from osteon.images.letterbox import letterbox
from osteon.images.wavelet import LAZY, WaveletTransform
from osteon.models.design import NetworkDesign
from osteon.models.network import (
    FEATURE_MAP,
    build,
    build_ensemble,
    ensemble_members,
    marginal_cross_entropy,
    to_float32,
)
from osteon.training.augment import MAIN_AUGMENTATION, AugmentationConfig, make_augmenter
from osteon.training.fit import TrainValData, dataset
from tests.pictures import radiograph

ARCHITECTURE = NetworkDesign(
    blocks=2, filters=8, growth=2, kernel=3, block="residual", norm="batch", lstm_layers=1, lstm_units=3, dropout=0.2,
    learning_rate=1e-3,
)  # fmt: skip


def test_the_lstm_reads_as_many_steps_as_the_feature_map_has_rows() -> None:
    model = build(ARCHITECTURE, (32, 32, 4), 5)
    sequence = model.get_layer("rows_as_time_steps").output
    assert sequence.shape[1] == 32 / 2**2
    assert model.output_shape == (None, 5)


def test_of_a_row_with_pooled_columns_the_lstm_reads_mean_and_maximum() -> None:
    import keras

    model = build(ARCHITECTURE.changed(columns="pooled"), (32, 32, 4), 5)
    seen = keras.Model(model.input, [model.get_layer(name).output for name in (FEATURE_MAP, "rows_as_time_steps")])
    feature_map, steps = seen(np.random.default_rng(0).normal(size=(3, 32, 32, 4)).astype(np.float32))
    feature_map = np.asarray(feature_map)
    expected = np.concatenate([feature_map.mean(axis=2), feature_map.max(axis=2)], axis=-1)
    np.testing.assert_allclose(np.asarray(steps), expected, atol=1e-5)
    assert steps.shape[1] == feature_map.shape[1] == 32 / 2**2


def test_pooling_leaves_the_lstm_a_sequence() -> None:
    model = build(ARCHITECTURE.changed(blocks=3), (8, 8, 4), 5)
    assert model.get_layer("rows_as_time_steps").output.shape[1] == 2


def test_features_of_one_row_are_refused() -> None:
    with pytest.raises(TrainingError, match="at least 2"):
        build(ARCHITECTURE, (1, 8, 4), 5)


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


def test_an_ensemble_says_the_mean_of_its_members_and_is_saved_as_one(tmp_path: Path) -> None:
    import keras

    members = [build(ARCHITECTURE, (16, 16, 4), 3) for _ in range(3)]
    model, x = build_ensemble(members), np.random.default_rng(0).normal(size=(5, 16, 16, 4)).astype(np.float32)
    expected = np.mean([np.asarray(member(x)) for member in members], axis=0)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.models.load_model(tmp_path / "model.keras", compile=False)):
        np.testing.assert_allclose(np.asarray(one(x)), expected, atol=1e-5)
        assert len(ensemble_members(one)) == 3
    assert build_ensemble(members[:1]) is members[0] and ensemble_members(members[0]) == [members[0]]


def test_what_learnt_in_half_precision_answers_in_single(tmp_path: Path) -> None:
    import keras

    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        members = [build(ARCHITECTURE, (16, 16, 4), 3) for _ in range(2)]
        served = to_float32(build_ensemble(members))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert members[0].get_layer("rows_as_time_steps").compute_dtype == "float16"
    served.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    layers = [layer for part in (loaded, *ensemble_members(loaded)) for layer in part.layers]
    assert {layer.compute_dtype for layer in layers} == {"float32"} and len(layers) > 20
    x = np.random.default_rng(0).normal(size=(5, 16, 16, 4)).astype(np.float32)
    same = [build(ARCHITECTURE, (16, 16, 4), 3) for _ in members]
    for one, member in zip(same, members, strict=True):
        one.set_weights(member.get_weights())
    np.testing.assert_allclose(np.asarray(loaded(x)), np.asarray(build_ensemble(same)(x)), atol=1e-5)
    assert to_float32(same[0]) is same[0]


@pytest.mark.parametrize("block", ["plain", "separable"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_without_lstm_layers_the_map_is_pooled_and_every_block_of_the_space_builds(block: str, norm: str) -> None:
    model = build(ARCHITECTURE.changed(block=block, norm=norm, lstm_layers=0), (32, 32, 4), 5)
    assert model.output_shape == (None, 5) and not any("rows" in layer.name for layer in model.layers)


def test_exposure_does_not_change_the_sub_bands() -> None:
    pixels = radiograph(4, "knee") // 2
    transform = WaveletTransform(side=64)
    one, other = transform.apply(letterbox(pixels, 64)), transform.apply(letterbox(pixels * 2, 64))
    assert np.abs(one.astype(float) - other).max() < 0.1 < np.abs(one).max()


WAVELETS = ("haar", "bior1.3", "db2", LAZY)
TRANSFORMS = [WaveletTransform(64, wavelet, level) for wavelet in WAVELETS for level in (0, 1, 2)]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_features_hold_all_of_the_image(transform: WaveletTransform) -> None:
    pixels = letterbox(radiograph(3, "hand"), 64).astype(np.float32)
    square = (pixels - pixels.mean()) / (pixels.std() + 1)
    features = transform.apply(pixels.astype(np.uint8)).astype(np.float32)
    assert features.shape == transform.shape and features.size == 64 * 64
    np.testing.assert_allclose(transform.invert(features[None])[0], square, atol=5e-3)


FOURIER = [FourierTransform(64, "both"), FourierTransform(64, "pixels")]


@pytest.mark.parametrize("transform", [*TRANSFORMS, *FOURIER], ids=str)
def test_features_are_mirrored_as_the_image_is(transform: WaveletTransform | FourierTransform) -> None:
    films = [letterbox(radiograph(seed, "hand"), 64) for seed in range(2)]
    features, expected = (
        transform.apply_batch(np.stack([turn(film) for film in films])) for turn in (np.asarray, np.fliplr)
    )
    np.testing.assert_allclose(transform.mirrored(features).astype(float), expected.astype(float), atol=2e-2)
    assert np.abs(features.astype(float) - expected).max() > 0.5


def test_augmentation_moves_the_image_and_leaves_its_brightness() -> None:
    transform = WaveletTransform(64)
    film = letterbox(radiograph(5, "hand"), 64)
    augment = make_augmenter(film[None], transform, MAIN_AUGMENTATION, 1)
    changed = transform.invert(augment(np.zeros(16, np.intp)).astype(np.float16))
    assert len({image.tobytes() for image in changed.round(3)}) == 16, "each in a way of its own"
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), 0, atol=0.01)
    assert 0.75 < changed.std(axis=(1, 2)).min() < 0.95 < 1 < changed.std(axis=(1, 2)).max() < 1.25


def test_an_image_that_is_not_turned_keeps_its_pixels_and_one_that_is_turned_keeps_its_middle() -> None:
    film = letterbox(radiograph(5, "hand"), 64)
    transform = WaveletTransform(64, level=0)
    same = {transform.apply_batch(turned[None]).tobytes() for turned in (film, film[:, ::-1])}
    still = make_augmenter(film[None], transform, AugmentationConfig(degrees=10, zoom=0.1, affine_probability=0), 0)(
        np.zeros(16, np.intp)
    )
    assert {image.astype(np.float16).tobytes() for image in still} == same, "as it is, or mirrored"
    spot = np.zeros((1, 64, 64), np.uint8)
    spot[:, 30:34, 30:34] = 255
    for turned in make_augmenter(spot, transform, AugmentationConfig(degrees=45), 0)(np.zeros(8, np.intp)):
        rows, columns = np.nonzero(turned[..., 0] > 1)
        assert abs(rows.mean() - 31.5) < 0.2 > abs(columns.mean() - 31.5)


def test_augmentation_changes_no_target_and_validation_changes_nothing() -> None:
    transform = WaveletTransform(16)
    squares = np.random.default_rng(1).integers(0, 255, (20, 16, 16), np.uint8)
    features = transform.apply_batch(squares)
    allowed = np.eye(4, dtype=np.float32)[np.arange(20) % 4]
    lesson = TrainValData(lambda rows: features[rows], transform.shape, allowed, np.arange(4, 20), np.arange(4))
    plain = next(iter(dataset(lesson, lesson.train, 20)))
    np.testing.assert_array_equal(np.asarray(plain[0]), features[4:].astype(np.float32))
    changed = next(iter(dataset(lesson, lesson.train, 20, 3, make_augmenter(squares, transform, MAIN_AUGMENTATION, 3))))
    assert not np.array_equal(np.sort(np.asarray(changed[0]).ravel()), np.sort(features[4:].astype(np.float32).ravel()))
    np.testing.assert_array_equal(np.asarray(changed[1]).sum(axis=0), allowed[4:].sum(axis=0))
