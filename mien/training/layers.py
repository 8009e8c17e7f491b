"""Keras layers: batch norm by TensorFlow's fused operation, and enlarging by matrix products."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mien.constants import FACE_SIDE


@keras.saving.register_keras_serializable(package="mien")
class FusedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """`keras.layers.BatchNormalization` over the last axis, in one operation of TensorFlow.

    Keras 3 computes batch norm from separate means, variances and scales. In bfloat16 the fused
    operation, whose statistics are float32, makes a training step a third shorter (docs/log.md); in
    float32 it gains nothing. Weights and outputs are the same. With other backends, and outside
    training, it calls Keras' own layer.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if (
            len(inputs.shape) != 4  # the operation takes only pictures
            or not training
            or not self.trainable
            or mask is not None
            or keras.backend.backend() != "tensorflow"
        ):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,  # (N, H, W, C), float32, bfloat16 or float16
            scale=tf.convert_to_tensor(self.gamma, tf.float32),
            offset=tf.convert_to_tensor(self.beta, tf.float32),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) / tf.shape(inputs)[-1], tf.float32)
        variance *= (count - 1) / count  # the operation divides by n - 1, Keras by n
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="mien")
class Enlarge(keras.layers.Layer):  # type: ignore[misc]
    """Gray faces (N, 48, 48, 1) -> three equal channels (N, side, side, 3), bilinear as in
    `tf.image.resize`.

    It computes two matrix products, since bundles may not contain the ONNX operation `Resize`
    (`mien.bundle.onnx_file`).
    """

    def __init__(self, side: int, **options: Any) -> None:
        super().__init__(**options)
        self.side = side
        at = np.clip((np.arange(side) + 0.5) * FACE_SIDE / side - 0.5, 0, FACE_SIDE - 1)
        low = np.floor(at).astype(int)
        self.matrix = np.zeros((side, FACE_SIDE), np.float32)
        np.add.at(self.matrix, (np.arange(side), low), 1 - (at - low))
        np.add.at(self.matrix, (np.arange(side), np.minimum(low + 1, FACE_SIDE - 1)), at - low)

    def call(self, inputs: Any) -> Any:
        x = keras.ops.reshape(inputs, (-1, FACE_SIDE, FACE_SIDE))
        x = keras.ops.matmul(keras.ops.matmul(self.matrix, x), self.matrix.T)
        x = keras.ops.reshape(x, (-1, self.side, self.side, 1))
        return keras.ops.concatenate([x, x, x], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "side": self.side}
