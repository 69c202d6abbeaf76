import numpy as np
import pytest

SHAPES = [
    # channels, filters, groups, stride, side
    (32, 32, 8, 1, 8),
    (32, 64, 32, 2, 9),  # depthwise, two filters a channel
    (48, 48, 4, 1, 6),  # a group is no power of two
    (64, 32, 16, 2, 8),  # fewer filters than channels
    (40, 80, 5, 1, 5),
    (128, 128, 32, 1, 7),
    (16, 16, 16, 1, 8),  # depthwise
    (256, 256, 2, 1, 4),  # a group is wider than a chunk
]

pytestmark = pytest.mark.keras


def outputs_and_gradients(layer, x):
    import tensorflow as tf

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = layer(images, training=True)
            loss = tf.reduce_sum(y * tf.cos(tf.range(y.shape[-1], dtype="float32")) + y * y)
        return y, tape.gradient(loss, [images, *layer.trainable_weights])

    y, gradients = step(tf.constant(x))
    return [y.numpy(), *(gradient.numpy() for gradient in gradients)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_equals_keras_own_layer_forward_and_backward(shape, padding):
    import keras

    from archsearch.training.lowering.grouped_conv import GroupedConv2D

    channels, filters, groups, stride, side = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, side, side, channels)).astype("float32")
    arguments = {"groups": groups, "strides": stride, "padding": padding}
    ours = GroupedConv2D(filters, 3, **arguments)
    theirs = keras.layers.Conv2D(filters, 3, **arguments)
    ours.build(x.shape)
    theirs.build(x.shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    weights = [rng.standard_normal(w.shape).astype("float32") for w in ours.weights]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    want = outputs_and_gradients(theirs, x)
    for got, wanted in zip(outputs_and_gradients(ours, x), want, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(
        np.asarray(ours(x, training=False)), want[0], rtol=2e-4, atol=2e-4 * np.abs(want[0]).max()
    )


def test_what_is_exported_beside_a_gpu_needs_no_xla_either(monkeypatch):
    import tensorflow as tf

    from archsearch.training.lowering.grouped_conv import GroupedConv2D

    layer = GroupedConv2D(8, 3, groups=4)
    layer.build((1, 6, 6, 8))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])
    graph = tf.function(layer).get_concrete_function(tf.zeros((1, 6, 6, 8)), training=False).graph
    compiled = [op for op in graph.get_operations() if "call" in op.type.lower()]
    assert not compiled
    assert not layer._lowers(training=True)


def test_chunks_are_of_about_sixteen_channels_and_of_whole_groups():
    from archsearch.training.lowering.grouped_conv import chunk_count

    assert chunk_count(128, 128, 32) == 8
    assert chunk_count(32, 32, 8) == 2
    assert chunk_count(256, 256, 2) == 2
    assert chunk_count(8, 8, 4) == 1
    assert 5 % chunk_count(40, 80, 5) == 0
