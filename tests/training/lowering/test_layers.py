import numpy as np
import pytest

pytestmark = pytest.mark.keras

SHAPES = [(4, 6, 5, 12), (3, 8, 8, 7), (64, 1, 1, 10)]


def fused(x, gamma, beta, epsilon):
    import tensorflow as tf

    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=tf.zeros_like(gamma),
        variance=tf.ones_like(gamma),
        epsilon=epsilon,
        is_training=True,
    )[:3]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_normalizing_by_products_equals_the_fused_kernel(shape, offset):
    import tensorflow as tf

    from archsearch.training.lowering.layers import normalize_by_products

    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal(shape), tf.float32) + offset  # a mean far from 0, too
    gamma, beta = (tf.constant(rng.standard_normal(shape[-1]), tf.float32) for _ in range(2))
    weights = tf.constant(rng.standard_normal(shape), tf.float32)

    def results(normalize):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y, mean, variance = normalize(x, gamma, beta)
            loss = tf.reduce_sum(y * weights + y * y)
        return [y, mean, variance, *tape.gradient(loss, [x, gamma, beta])]

    want = results(lambda *inputs: fused(*inputs, 1e-5))
    got = results(lambda *inputs: normalize_by_products(*inputs, epsilon=1e-5))
    for one, other in zip(got, want, strict=True):
        largest = np.abs(other.numpy()).max()
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=2e-4 * largest)


@pytest.mark.parametrize("channels", [10, 16, 33])  # by products, by the kernel
@pytest.mark.parametrize("rank", [2, 4])
def test_trains_as_keras_own_layer_does(channels, rank):
    import keras
    import tensorflow as tf

    from archsearch.training.lowering.layers import FusedBatchNorm

    rng = np.random.default_rng(1)
    shape = (16, channels) if rank == 2 else (4, 5, 5, channels)
    x = tf.constant(rng.standard_normal(shape) * 2 + 1, tf.float32)
    found = []
    for kind in (FusedBatchNorm, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-5)
        layer.build(shape)

        @tf.function
        def step(images, layer=layer):
            with tf.GradientTape() as tape:
                tape.watch(images)
                y = layer(images, training=True)
                loss = tf.reduce_sum(y * y * y + tf.cos(y))
            return [y, *tape.gradient(loss, [images, *layer.trainable_weights])]

        found.append([value.numpy() for value in step(x)] + [layer.moving_mean.numpy()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_batches_of_any_size_are_normalized_alike():
    import tensorflow as tf

    from archsearch.training.lowering.layers import normalize_by_products

    rng = np.random.default_rng(2)
    x = tf.constant(rng.standard_normal((6, 4, 4, 5)), tf.float32)
    gamma, beta = (tf.constant(rng.standard_normal(5), tf.float32) for _ in range(2))

    def gradients(signature):
        @tf.function(input_signature=[tf.TensorSpec(signature, tf.float32)], autograph=False)
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch([x, gamma, beta])
                y, mean, variance = normalize_by_products(x, gamma, beta, epsilon=1e-5)
                loss = tf.reduce_sum(y * y * y)
            return [y, mean, variance, *tape.gradient(loss, [x, gamma, beta])]

        return step(x)

    for one, other in zip(gradients((6, 4, 4, 5)), gradients((None, 4, 4, 5)), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-5)
