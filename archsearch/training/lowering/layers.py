"""Layers for training that stock Keras lacks or computes slowly; exported models use stock layers instead."""

from math import prod
from typing import Any, Final

import keras

_WIDE: Final = 256
"""Numbers in a row from which on element-wise operations are as fast as they get on a CPU."""


@keras.saving.register_keras_serializable("archsearch")
class FusedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]  # Keras ships no types
    """`keras.layers.BatchNormalization`: the same arguments and weights, one fused kernel.

    Keras computes it out of a dozen element-wise operations, which on TensorFlow took three times
    as long on a CPU (forward and backward, 64×16×16×128: 11.0 against 3.7 ms). On JAX, XLA fuses
    them.

    Attributes:
        keeps_latest: whether the latest batch's statistics take the place of the moving ones, for a
            training loop that averages them itself: a short trial cannot wait for statistics that
            start at (0, 1) to be forgotten, so the first steps are averaged alike.
        processes: how many share a training batch on TensorFlow, each with this layer (JAX sees
            the whole batch).
    """

    keeps_latest = False
    processes = 1

    def __init__(self, **settings: Any) -> None:
        # Statistics are float32 always, whatever the images come in.
        super().__init__(autocast=False, **settings)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize by the batch's statistics in training, by the moving ones otherwise."""
        known = self.axis in (-1, len(inputs.shape) - 1) and self.variable_dtype == "float32"
        if mask is not None or not known:
            return super().call(inputs, training=training, mask=mask)
        batch = bool(training) and self.trainable
        on_tensorflow = keras.backend.backend() == "tensorflow"
        normalize = self._by_one_kernel if on_tensorflow else self._by_many_operations
        y, mean, variance = normalize(inputs, batch)
        if batch:
            rate = 1 - self.momentum
            for moving, latest in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(latest if self.keeps_latest else moving + rate * (latest - moving))
        return y

    def _by_one_kernel(self, inputs: Any, batch: bool) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        channels = inputs.shape[-1]
        flat = len(inputs.shape) == 2
        x = tf.reshape(inputs, (-1, 1, 1, channels)) if flat else inputs
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        if batch and self.processes > 1:
            from archsearch.training.teams.tensorflow_team import normalize_whole

            y, mean, variance = normalize_whole(
                x, gamma, beta, epsilon=self.epsilon, processes=self.processes
            )
        elif batch and _slow_fused(x):
            y, mean, variance = normalize_by_products(x, gamma, beta, epsilon=self.epsilon)
        else:
            nothing = tf.constant((), tf.float32)
            # Of the first version's outputs TensorFlow asks no gradients that nobody has; for the third's it
            # makes five operations of zeros a layer, which takes a trial longer to start.
            first = batch and _on_cpu_in_float32(x)
            kernel = tf.raw_ops.FusedBatchNorm if first else tf.raw_ops.FusedBatchNormV3
            y, mean, variance, *_ = kernel(
                x=x,
                scale=gamma,
                offset=beta,
                # With a batch's own statistics the kernel wants these empty.
                mean=nothing if batch else self.moving_mean,
                variance=nothing if batch else self.moving_variance,
                epsilon=self.epsilon,
                is_training=batch,
            )
        return tf.reshape(y, tf.shape(inputs)) if flat else y, mean, variance

    def _by_many_operations(self, inputs: Any, batch: bool) -> tuple[Any, Any, Any]:
        x = keras.ops.cast(inputs, "float32")
        mean, variance = self.moving_mean, self.moving_variance
        if batch:
            axes = tuple(range(len(inputs.shape) - 1))
            mean, variance = keras.ops.moments(x, axes)
        y = (x - mean) * keras.ops.rsqrt(variance + self.epsilon)
        y = y * self.gamma if self.scale else y
        y = y + self.beta if self.center else y
        if (
            batch
        ):  # what is kept is an estimate of all images' variance, as the fused kernel keeps it
            count = prod(inputs.shape[:-1])
            variance = variance * (count / max(1, count - 1))
        return keras.ops.cast(y, inputs.dtype), mean, variance


def _slow_fused(x: Any) -> bool:
    """Tell whether TensorFlow's fused kernel is slow: on a CPU, where channels are no multiple of 4.

    There `normalize_by_products` computes the same, with a tenth of the rounding errors, 2 to 4.5 times as
    fast (forward, ReLU and backward, one thread: 32×32×32×10, 2.7 against 0.7 ms; 32×16×16×33, 1.7 and 0.6;
    32×32×32×30, 7.1 and 1.7; 32×4×4×150, 0.7 and 0.3); where channels are, as fast.
    """
    return x.shape[-1] % 4 != 0 and _on_cpu_in_float32(x)


def _on_cpu_in_float32(x: Any) -> bool:
    import tensorflow as tf

    return x.dtype == tf.float32 and not tf.config.get_visible_devices("GPU")


class _Rows:
    """A batch of maps as a matrix whose rows are wide: neighbouring positions taken together.

    Attributes:
        shape: (n, height, width, channels).
        size: (rows, columns) of the matrix.
        count: positions, the number of values of a channel.
        others: count − 1, or 1.
    """

    def __init__(self, x: Any) -> None:
        import tensorflow as tf

        self._channels, together = x.shape[-1], 1
        if x.shape.is_fully_defined():  # as it is while a training step is traced
            self.shape, positions = x.shape, prod(x.shape[:-1])
            self.count, self.others = float(positions), float(max(1, positions - 1))
            while together * self._channels < _WIDE and positions % (2 * together) == 0:
                together *= 2
        else:
            self.shape, positions = tf.shape(x), tf.size(x) // self._channels
            self.count = tf.cast(positions, x.dtype)
            self.others = tf.maximum(self.count - 1, 1)
        self._together = together
        self.size = (positions // together, together * self._channels)
        self._ones = tf.ones((1, self.size[0]), x.dtype)

    def total(self, values: Any) -> Any:
        """Sum each channel of a matrix."""
        import tensorflow as tf

        sums = tf.reshape(tf.matmul(self._ones, values), (self._together, self._channels))
        return sums[0] if self._together == 1 else tf.reduce_sum(sums, 0)

    def along(self, values: Any) -> Any:
        """Repeat a number a channel along a row."""
        import tensorflow as tf

        return values if self._together == 1 else tf.tile(values, (self._together,))


def normalize_by_products(x: Any, gamma: Any, beta: Any, *, epsilon: float) -> tuple[Any, Any, Any]:
    """Batch-normalize in TensorFlow by wide element-wise operations, and sums as matrix products.

    Args:
        x: (n, height, width, channels).
        gamma: (channels,), the factor after normalizing.
        beta: (channels,), the term after that.
        epsilon: added to the variance.

    Returns:
        The normalized maps, the batch's mean, and its variance by n − 1 (for the moving statistics).
    """
    import tensorflow as tf
    from tensorflow.python.eager import record

    maps = _Rows(x)
    total, along, count = maps.total, maps.along, maps.count
    with record.stop_recording():
        flat = tf.reshape(x, maps.size)
        mean = total(flat) / count
        centred = flat - along(mean)
        variance = total(centred * centred) / count
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = gamma * inverse
        factors = along(factor)
        y = tf.reshape(centred * factors + along(beta), maps.shape)

    def gradient(dy: Any) -> list[Any]:
        dy = tf.reshape(dy, maps.size)
        d_beta = total(dy)
        d_gamma = total(centred * dy) * inverse
        # γ/σ · (dy − mean(dy) − x̂ · mean(x̂·dy)): Ioffe & Szegedy 2015 (arXiv:1502.03167), section 3
        toward = factor * inverse * d_gamma / count
        dx = dy * factors - (centred * along(toward) + along(factor * d_beta / count))
        return [tf.reshape(dx, maps.shape), d_gamma, d_beta]

    # Only y has gradients: the statistics leave the loss alone. Not tf.custom_gradient: in a graph it keeps
    # the gradient, and by that the graph, for as long as the process lives.
    record.record_operation("NormalizeByProducts", [y], [x, gamma, beta], gradient)
    return y, mean, variance * (count / maps.others)


@keras.saving.register_keras_serializable("archsearch")
class MeanOfKept(keras.layers.Layer):  # type: ignore[misc]
    """The mean of its inputs; in training, of those a sample keeps: local drop-path (FractalNet).

    Each input of each sample is left out with probability `drop`; where all would be, one chosen
    at random stays. Without training it is `keras.layers.Average`.
    """

    def __init__(self, drop: float, *, seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.drop = drop
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: list[Any], training: bool = False) -> Any:
        """Average what is kept."""
        stacked = keras.ops.stack(inputs)
        if not training:
            return keras.ops.mean(stacked, axis=0)
        shape = (len(inputs), keras.ops.shape(stacked)[1])
        draws = keras.random.uniform(shape, dtype=stacked.dtype, seed=self.generator)
        # The luckiest input stays where no other does.
        luckiest = draws >= keras.ops.max(draws, axis=0, keepdims=True)
        kept = keras.ops.cast(keras.ops.logical_or(draws >= self.drop, luckiest), stacked.dtype)
        weights = kept / keras.ops.sum(kept, axis=0, keepdims=True)
        weights = keras.ops.reshape(weights, (*shape, *(1 for _ in stacked.shape[2:])))
        return keras.ops.sum(stacked * weights, axis=0)

    def compute_output_shape(self, input_shape: list[Any]) -> Any:
        """Return the shape of any of the inputs."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer again."""
        return {**super().get_config(), "drop": self.drop, "seed": self.seed}
