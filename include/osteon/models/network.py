"""The networks: a CNN whose feature map a bidirectional LSTM reads row by row, or that is pooled as it is."""

from __future__ import annotations

import json
from typing import Any

from osteon.errors import TrainingError
from osteon.models.design import NetworkDesign

FEATURE_MAP = "feature_map"
"""Name of the layer whose output the head reads."""
STEPS = 2
"""Rows that a feature map keeps at least."""
SHORT = 8
"""Rows up to which a recurrent layer is written out step by step: a loop takes longer to build than it saves."""


def build(design: NetworkDesign, shape: tuple[int, int, int], classes: int) -> Any:
    """A compiled `keras.Model` from features (rows, columns, planes) to logits (classes).

    Each row of the last feature map is one time step of `lstm_layers` bidirectional LSTMs, so the sequence's length is
    the number of rows. Of a row they read the mean and the maximum over its columns (`columns: pooled`), or all of it,
    through a dense layer. Pooling stops where it would leave fewer than `STEPS` rows. Raises `TrainingError` when the
    features themselves have fewer: a recurrent layer has nothing to read then. With no LSTM layer the feature map is
    pooled, or, where the design has `dense` units, flattened into a dense layer.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input(shape, name="features")
    x = inputs
    for block in range(design.blocks):
        x = _block(x, design.filters * design.growth**block, design)
        if x.shape[1] >= 2 * STEPS:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Activation("linear", name=FEATURE_MAP)(x)
    if units := design.recurrent_units:
        rows, columns, channels = x.shape[1:]
        if rows < STEPS:
            raise TrainingError(f"features of {rows} row: a sequence needs at least {STEPS}; use a lower level")
        if design.columns == "pooled":
            x = layers.Concatenate()([pool((1, columns))(x) for pool in (layers.AveragePooling2D, layers.MaxPooling2D)])
            x = layers.Reshape((rows, 2 * channels), name="rows_as_time_steps")(x)
        else:
            x = layers.Reshape((rows, columns * channels), name="rows_as_time_steps")(x)
            x = layers.TimeDistributed(layers.Dense(2 * units, activation="relu"))(x)
        for _ in range(design.lstm_layers):
            lstm = layers.LSTM(units, return_sequences=True, unroll=rows <= SHORT)
            x = layers.Bidirectional(lstm)(x)
        x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    elif design.dense:
        x = layers.Dense(design.dense, activation="relu")(layers.Flatten()(x))
    else:
        x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dropout(design.dropout)(x)
    outputs = layers.Dense(classes, name="logits", dtype="float32")(x)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(design.learning_rate), loss=marginal_cross_entropy)
    model.optimizer.build(model.trainable_variables)  # else Keras does within the first step, and traces that twice
    return model


def build_ensemble(members: list[Any]) -> Any:
    """A `keras.Model` whose logits are its members' mean (a deep ensemble: Lakshminarayanan et al., NIPS 2017)."""
    import keras

    if len(members) == 1:
        return members[0]
    inputs = keras.Input(members[0].input_shape[1:], name="features")
    # Keras wants names that differ, and saves no loss of a part
    parts = [keras.Model(one.inputs[0], one.outputs[0], name=f"member_{number}") for number, one in enumerate(members)]
    mean = keras.layers.Average(name="logits", dtype="float32")
    return keras.Model(inputs, mean([part(inputs) for part in parts]))


def to_float32(model: Any) -> Any:
    """The model as it is measured and served: in single precision, wherever it was trained (a GPU trains in half)."""
    import keras

    half = "mixed_float16"
    if keras.config.dtype_policy().name != half:
        return model
    same = keras.Model.from_config(json.loads(json.dumps(model.get_config()).replace(half, "float32")))
    same.set_weights(model.get_weights())
    return same


def ensemble_members(model: Any) -> list[Any]:
    """The networks that `build_ensemble` put together, or the one."""
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.Model)] or [model]


def _block(x: Any, filters: int, design: NetworkDesign) -> Any:
    import keras

    layers = keras.layers

    def normalise(x: Any) -> Any:
        if design.norm == "group":
            return layers.GroupNormalization(groups=8)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    def convolve(x: Any) -> Any:
        kind = layers.SeparableConv2D if design.block == "separable" else layers.Conv2D
        return normalise(kind(filters, design.kernel, padding="same", use_bias=False)(x))

    if design.block != "residual":
        return layers.Activation("relu")(convolve(x))
    first = layers.Activation("relu")(convolve(x))
    shortcut = layers.Conv2D(filters, 1, padding="same", use_bias=False)(x)
    return layers.Activation("relu")(layers.Add()([convolve(first), shortcut]))


def marginal_cross_entropy(allowed: Any, logits: Any) -> Any:
    """-log of the probability of the allowed classes, (n, classes) each.

    With one allowed class it is the sparse categorical cross-entropy, with several their marginal likelihood.
    """
    from keras import ops

    log_probability = ops.log_softmax(logits, axis=-1)
    masked = ops.where(allowed > 0, log_probability, -1e9)
    return -ops.logsumexp(masked, axis=-1)
