"""Grouped convolution that trains on TensorFlow's CPU backend, with Conv2D's own weights.

There, the gradient of a grouped convolution exists only under XLA, in a scalar loop tens to
hundreds of times slower than a dense convolution. Dense convolutions and depthwise ones are fast. So
the channels are split into sub-convolutions of about 16 channels, each dense with a block-diagonal
kernel where it spans several groups: the zeros cost less than convolutions narrower than a vector
register would. 16 channels beat 8, 64 and one single block-diagonal convolution on every shape
tried, and 32 on all but one. Figures: benchmarks/grouped_conv.py.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

CHUNK_CHANNELS = 16


def chunk_count(channels: int, filters: int, groups: int) -> int:
    """Into how many sub-convolutions of whole groups to split: about 16 channels each."""
    widest = max(channels, filters)
    counts = [n for n in range(1, groups + 1) if groups % n == 0]
    return min(counts, key=lambda n: abs(np.log2(widest / n / CHUNK_CHANNELS)))


def block_mask(depth: int, filters: int, groups: int) -> npt.NDArray[np.float32]:
    """Say which inputs each filter of a chunk of groups reads: its own group's, of this depth and filters."""
    return np.kron(np.eye(groups), np.ones((depth, filters))).astype(np.float32)


def split_conv2d(
    x: Any, kernel: Any, *, groups: int, strides: tuple[int, int], padding: str
) -> Any:
    """Convolve in TensorFlow by groups, out of operations that have gradients on a CPU.

    Args:
        x: (n, height, width, channels).
        kernel: (height, width, channels / groups, filters), as Conv2D keeps it.
        groups: divides channels and filters.
        strides: (vertical, horizontal).
        padding: "SAME" or "VALID".
    """
    import tensorflow as tf

    channels, (rows, columns, depth, filters) = x.shape[-1], kernel.shape
    if channels == groups and strides[0] == strides[1]:
        # (rows, columns, 1, channels · multiplier) is depthwise's layout but for the last two axes.
        depthwise = tf.reshape(kernel, (rows, columns, channels, filters // channels))
        return tf.nn.depthwise_conv2d(x, depthwise, (1, *strides, 1), padding)
    chunks = chunk_count(channels, filters, groups)
    if chunks == 1 and groups == 1:
        return tf.nn.conv2d(x, kernel, strides, padding)
    per_chunk = groups // chunks
    mask = tf.cast(block_mask(depth, filters // groups, per_chunk), kernel.dtype)
    parts = [
        tf.nn.conv2d(part, tf.tile(weights, (1, 1, per_chunk, 1)) * mask, strides, padding)
        for part, weights in zip(
            tf.split(x, chunks, axis=-1), tf.split(kernel, chunks, axis=-1), strict=True
        )
    ]
    return tf.concat(parts, axis=-1)


@keras.saving.register_keras_serializable("archsearch")
class GroupedConv2D(keras.layers.Conv2D):  # type: ignore[misc]  # Keras ships no types
    """`keras.layers.Conv2D(groups=…)`: same arguments, weights and numbers, faster where it can be.

    On other backends, in training on a GPU, with dilation or channels first, it is the plain layer.

    Attributes:
        differentiable: whether gradients are wanted outside training, too.
    """

    differentiable = False

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve, add the bias, activate."""
        if not self._lowers(training):
            return super().call(inputs)
        padding = self.padding.upper()
        if training or self.differentiable:
            outputs = split_conv2d(
                inputs, self.kernel, groups=self.groups, strides=self.strides, padding=padding
            )
        else:  # the forward pass alone has a grouped kernel of its own, and that is the fastest
            import tensorflow as tf

            outputs = tf.nn.conv2d(inputs, self.kernel, self.strides, padding)
        if self.use_bias:
            outputs = keras.ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _lowers(self, training: bool | None) -> bool:
        if keras.backend.backend() != "tensorflow" or self.data_format != "channels_last":
            return False
        import tensorflow as tf

        # Keras has XLA compute grouped convolutions, which a saved model should not need anywhere.
        on_gpu = training and tf.config.get_visible_devices("GPU")
        return self.dilation_rate == (1, 1) and not on_gpu
