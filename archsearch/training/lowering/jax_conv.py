"""Convolution that trains on JAX's CPU backend, with Keras's own weights.

There XLA computes a grouped or depthwise convolution in a scalar loop, and one over a map of a few pixels as
if the map were the kernel, in another. Dense convolutions over larger maps, matrix products and element-wise
sums are fast, so that is what these layers are made of. Figures: benchmarks/RESULTS.md.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import jax
import jax.numpy as jnp
import keras
from jax import lax

from archsearch.training.lowering.grouped_conv import block_mask, chunk_count

_SMALL_MAP: Final = 16
"""Positions up to which a matrix of all of a map's windows is no large one."""

Pads = Sequence[tuple[int, int]]


def grouped_conv2d(
    x: Any, kernel: Any, *, groups: int, strides: tuple[int, int], padding: str
) -> Any:
    """Convolve in JAX by groups.

    Args:
        x: (n, height, width, channels).
        kernel: (height, width, channels / groups, filters), as Conv2D keeps it.
        groups: divides channels and filters.
        strides: (vertical, horizontal).
        padding: "SAME" or "VALID".
    """
    channels, (rows, columns, depth, filters) = x.shape[-1], kernel.shape
    pads = lax.padtype_to_pads(x.shape[1:3], (rows, columns), strides, padding)
    if groups == channels == filters:
        return _depthwise(x, kernel[:, :, 0], strides, pads)
    chunks = chunk_count(channels, filters, groups)
    per_chunk = groups // chunks
    mask = jnp.asarray(block_mask(depth, filters // groups, per_chunk), kernel.dtype)
    parts = [
        _dense(part, jnp.tile(weights, (1, 1, per_chunk, 1)) * mask, strides, pads)
        for part, weights in zip(
            jnp.split(x, chunks, -1), jnp.split(kernel, chunks, -1), strict=True
        )
    ]
    return jnp.concatenate(parts, -1)


def _dense(x: Any, kernel: Any, strides: tuple[int, int], pads: Pads) -> Any:
    rows, columns, _, filters = kernel.shape
    if rows * columns > 1 and x.shape[1] * x.shape[2] <= _SMALL_MAP:
        windows = jnp.concatenate(list(_shifted(x, (rows, columns), strides, pads)), -1)
        return windows @ kernel.reshape(-1, filters)
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _depthwise(x: Any, kernel: Any, strides: tuple[int, int], pads: Pads) -> Any:
    """Convolve each channel on its own; the kernel is (height, width, channels)."""
    rows, columns, channels = kernel.shape
    shifted = _shifted(x, (rows, columns), strides, pads)
    weights = kernel.reshape(-1, channels)
    return sum(part * weight for part, weight in zip(shifted, weights, strict=True))


def _shifted(
    x: Any, window: tuple[int, int], strides: tuple[int, int], pads: Pads
) -> Iterator[Any]:
    """Give what each position of a window sees as it moves, row by row: (n, height, width, channels)."""
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    down, right = (padded.shape[axis + 1] - window[axis] + 1 for axis in (0, 1))
    for row in range(window[0]):
        for column in range(window[1]):
            yield padded[:, row : row + down : strides[0], column : column + right : strides[1]]


@keras.saving.register_keras_serializable("archsearch")
class JaxConv2D(keras.layers.Conv2D):  # type: ignore[misc]  # Keras ships no types
    """`keras.layers.Conv2D`: same arguments, weights and numbers, faster on a CPU.

    On a GPU, with dilation or channels first, it is the plain layer.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve."""
        if not _lowers(self):
            return super().convolution_op(inputs, kernel)
        return grouped_conv2d(
            jnp.asarray(inputs),
            jnp.asarray(kernel),
            groups=self.groups,
            strides=self.strides,
            padding=self.padding.upper(),
        )


@keras.saving.register_keras_serializable("archsearch")
class JaxDepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """`keras.layers.DepthwiseConv2D`, likewise."""

    def call(self, inputs: Any) -> Any:
        """Convolve, add the bias, activate."""
        if not _lowers(self):
            return super().call(inputs)
        kernel = jnp.asarray(self.kernel)
        outputs = grouped_conv2d(
            jnp.asarray(inputs),
            # (rows, columns, channels, multiplier) has the numbers in Conv2D's order.
            kernel.reshape(*kernel.shape[:2], 1, -1),
            groups=inputs.shape[-1],
            strides=self.strides,
            padding=self.padding.upper(),
        )
        if self.use_bias:
            outputs = keras.ops.add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def _lowers(layer: Any) -> bool:
    plain = layer.dilation_rate in (1, (1, 1)) and layer.data_format == "channels_last"
    return plain and jax.default_backend() == "cpu"
