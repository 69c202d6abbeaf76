import numpy as np
import pytest

from archsearch.ir import ops
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost, node_params
from archsearch.training.lowering.layer_names import layers_of
from tests.networks import everything, modern, resnext_like, vgg_like

pytestmark = pytest.mark.keras

GRAPHS = [everything(seed) for seed in range(6)] + [resnext_like(), vgg_like(), modern()]
ids = [graph.name for graph in GRAPHS]


def images(graph, n=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, *graph.input)).astype("float32")


def randomised(model, seed=0):
    """The model with statistics and gammas that are not those of a fresh one."""
    rng = np.random.default_rng(seed)
    weights = [w + 0.3 * rng.random(w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("graph", GRAPHS, ids=ids)
@pytest.mark.parametrize("lowering", ["plain", "train"])
def test_each_nodes_shape_and_parameters_equal_keras_own(graph, lowering):
    from archsearch.training.lowering.keras_model import build_model

    model = build_model(graph, lowering=lowering)
    for node in graph.nodes[1:]:
        layer = layers_of(model, graph)[node.name]
        assert layer.output.shape[1:] == node.shape, node.name
        trainable = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
        assert trainable == node_params(node.op, graph.input_shapes(node)), node.name
    total = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert total == cost(graph).params


@pytest.mark.parametrize("graph", GRAPHS, ids=ids)
def test_the_lowerings_have_the_same_weights_and_numbers(graph):
    from archsearch.training.lowering.keras_model import build_model

    plain = build_model(graph, lowering="plain", seed=1)
    train = build_model(graph, lowering="train", seed=1)
    for one, other in zip(plain.get_weights(), train.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    plain.set_weights(randomised(train).get_weights())
    x = images(graph)
    np.testing.assert_allclose(
        np.asarray(plain(x, training=False)),
        np.asarray(train(x, training=False)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_a_batch_is_normalized_as_keras_does_it():
    from archsearch.training.lowering.keras_model import build_model

    graph = resnext_like()
    plain = build_model(graph, lowering="plain")
    train = build_model(graph, lowering="train")
    x = images(graph, n=8)
    np.testing.assert_allclose(
        np.asarray(plain(x, training=True)),
        np.asarray(train(x, training=True)),
        rtol=1e-3,
        atol=1e-4,
    )
    for one, other in zip(plain.weights, train.weights, strict=True):
        # The fused kernel's variance is the unbiased one: n / (n − 1) of Keras's.
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=5e-3, atol=1e-4)


def test_max_pool_never_sees_its_padding():
    from archsearch.training.lowering.keras_model import build_model

    net = Tracer("pool", (6, 6, 1))
    x = net.max_pool(net.input, kernel=3, stride=2, padding=1)
    graph = net.finish(net.flatten(x))
    x = -np.ones((1, 6, 6, 1), "float32")
    for lowering in ("plain", "train"):
        assert np.asarray(build_model(graph, lowering=lowering)(x)).max() == -1


@pytest.mark.parametrize(("count_padding", "corner"), [(False, 1.0), (True, 4 / 9)])
def test_average_pool_counts_its_padding_only_when_told(count_padding, corner):
    from archsearch.training.lowering.keras_model import build_model

    for stride in (1, 2):
        net = Tracer("pool", (6, 6, 1))
        x = net.avg_pool(net.input, kernel=3, stride=stride, padding=1, count_padding=count_padding)
        graph = net.finish(net.flatten(x))
        got = np.asarray(build_model(graph, lowering="plain")(np.ones((1, 6, 6, 1), "float32")))
        assert got[0, 0] == pytest.approx(corner)


@pytest.mark.parametrize("size", [(6, 5, 8), (3, 1, 8), (1, 1, 8), (3, 1, 1)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("lowering", ["plain", "train"])
def test_padded_channels_reach_a_convolution_in_a_graph_of_tensorflow(lowering, groups, size):
    # TensorFlow rewrites graphs; operations one by one, as `model(x)` runs them, stay as they are.
    import tensorflow as tf

    from archsearch.training.lowering.keras_model import build_model

    net = Tracer("pad", size)
    x = net.pad_channels(net.input, before=3, after=size[2] + 2 * groups - 3)
    graph = net.finish(net.flatten(net.conv(x, 12, kernel=1, padding=0, groups=groups)))
    model = build_model(graph, lowering=lowering)
    x = images(graph)
    graphed = tf.function(lambda given: model(given, training=False))
    np.testing.assert_allclose(graphed(x), np.asarray(model(x, training=False)), rtol=1e-4)


def test_a_kernels_spread_is_he_et_als():
    from archsearch.training.initial import initial_weights

    weights = initial_weights(resnext_like(width=128, groups=4), seed=0)
    kernel = weights["stage1.conv2"][0]
    assert kernel.shape == (3, 3, 32, 128)
    assert kernel.std() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.02)


def test_scores_of_unbounded_features_start_small():
    from archsearch.training.initial import initial_weights

    plain, normalized = vgg_like(), resnext_like(width=64)
    assert initial_weights(plain, seed=0)["dense2"][0].std() == pytest.approx(0.01, rel=0.2)
    kernel = initial_weights(normalized, seed=0)["dense1"][0]
    assert kernel.std() == pytest.approx((2 / len(kernel)) ** 0.5, rel=0.1)


def test_a_residual_branch_can_start_at_zero():
    from archsearch.training.initial import Start, initial_weights

    graph = resnext_like()
    weights = initial_weights(graph, seed=0, start=Start(zero_init_residual=True))
    quiet = {
        node.name
        for node in graph
        if isinstance(node.op, ops.BatchNorm) and not weights[node.name][0].any()
    }
    assert quiet == {"stage1.batch_norm3", "stage2.batch_norm3"}


# Keras 3.15 saves variables through np.array(), which NumPy 2.4 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_plain_model_is_of_keras_alone(tmp_path):
    """Where archsearch is not, one is loaded by tests/exchange/test_export.py."""
    import keras

    from archsearch.training.lowering.keras_model import build_model

    graph = everything(3)
    model = randomised(build_model(graph, lowering="plain"))
    x = images(graph)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert {type(layer).__module__.partition(".")[0] for layer in again.layers} == {"keras"}
    np.testing.assert_allclose(
        again(x, training=False), model(x, training=False), rtol=1e-3, atol=1e-4
    )


def test_auxiliary_classifiers_are_built_for_training_only():
    from archsearch.training.lowering.keras_model import build_model

    net = Tracer("aux", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=3)
    net.auxiliary(net.dense(net.global_avg_pool(x), 5, name="aux"))
    graph = net.finish(net.dense(net.global_avg_pool(net.conv(x, 8, kernel=3)), 5))
    assert len(build_model(graph, lowering="train", auxiliary=True).outputs) == 2
    plain = build_model(graph, lowering="plain")
    assert len(plain.outputs) == 1
    with pytest.raises(ValueError, match="No such layer"):
        plain.get_layer("aux")


@pytest.mark.keras
def test_a_lowering_for_integers_pads_pools_with_what_is_in_their_windows():
    net = Tracer("pools", (11, 12, 3))
    x = net.max_pool(net.conv(net.input, 4, kernel=3), kernel=3, stride=2, padding=1)
    x = net.max_pool(x, kernel=3, stride=2, padding=(0, 1, 0, 1))
    graph = net.finish(net.dense(net.flatten(x), 5))
    from archsearch.training.lowering.keras_model import build_model

    images = np.random.default_rng(0).normal(-3, 1, (2, 11, 12, 3)).astype(np.float32)
    ours, theirs = (build_model(graph, lowering=name) for name in ("integer", "train"))
    np.testing.assert_array_equal(ours(images), theirs(images))
    assert "Pad" in {type(layer).__name__ for layer in ours.operations}
