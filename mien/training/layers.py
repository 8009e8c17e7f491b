"""Batch normalisation by TensorFlow's fused operation."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="mien")
class FusedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """`keras.layers.BatchNormalization` over the last axis, in one operation where the backend is TensorFlow.

    Keras 3 computes batch norm from separate means, variances and scales. In bfloat16 the fused operation, whose
    statistics are float32, makes a training step a third shorter (docs/log.md); in float32 it gains nothing. Weights
    and answers are those of Keras' own layer. Other backends use that.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not training or not self.trainable or mask is not None or keras.backend.backend() != "tensorflow":
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
