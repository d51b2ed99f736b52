"""The main model, and the base models: a CNN whose feature map a bidirectional LSTM reads row by row."""

from __future__ import annotations

from typing import Any

from osteon.errors import TrainingError


def build(architecture: dict[str, Any], shape: tuple[int, int, int], classes: int) -> Any:
    """A compiled `keras.Model` from features (rows, columns, planes) to logits (classes).

    Each row of the last feature map is one time step, so the sequence's length is the number of rows. Raises
    `TrainingError` when that is below 2: a recurrent layer has nothing to read then.
    """
    import keras

    layers = keras.layers
    inputs = keras.Input(shape, name="features")
    x = inputs
    for block in range(architecture["blocks"]):
        filters = architecture["filters"] * architecture["growth"] ** block
        before = x
        x = layers.Conv2D(filters, architecture["kernel"], padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        if architecture["residual"]:
            x = layers.Add()([x, layers.Conv2D(filters, 1, padding="same")(before)])
        x = layers.MaxPooling2D(2)(x)
    rows, columns, channels = x.shape[1:]
    if rows < 2:
        raise TrainingError(
            f"the feature map has {rows} row: a sequence needs at least 2; use fewer blocks or a larger image"
        )
    x = layers.Reshape((rows, columns * channels), name="rows_as_time_steps")(x)
    x = layers.TimeDistributed(layers.Dense(2 * architecture["lstm_units"], activation="relu"))(x)
    x = layers.Bidirectional(layers.LSTM(architecture["lstm_units"], return_sequences=True))(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    x = layers.Dropout(architecture["dropout"])(x)
    outputs = layers.Dense(classes, name="logits", dtype="float32")(x)
    model = keras.Model(inputs, outputs, name="cnn_bilstm")
    model.compile(keras.optimizers.Adam(architecture["learning_rate"]), loss=marginal_cross_entropy)
    return model


def marginal_cross_entropy(allowed: Any, logits: Any) -> Any:
    """-log of the probability of the allowed classes, (n, classes) each; with one allowed class it is the sparse
    categorical cross-entropy, with several their marginal likelihood."""
    from keras import ops

    log_probability = ops.log_softmax(logits, axis=-1)
    masked = ops.where(allowed > 0, log_probability, -1e9)
    return -ops.logsumexp(masked, axis=-1)
