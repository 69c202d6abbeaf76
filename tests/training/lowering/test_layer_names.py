"""Names that Keras, TensorFlow and PyTorch all take."""

import re

import pytest

from archsearch.exchange.keras_import import from_config
from archsearch.ir import ops
from archsearch.ir.graph import Graph, Node
from archsearch.training.lowering.layer_names import LayerNames, layers_of, node_name

NAMES = (
    "stage1.conv1",
    "stage1-conv1",
    "stage1.conv1.pad",
    "größe [x]",
    "a/b",
    "a:b",
    "A/b",
    "...",
    "\x1b[0m",
)


def network(names=NAMES) -> Graph:
    nodes = [Node("image", ops.Input((8, 8, 3)), (), (8, 8, 3))]
    for index, name in enumerate(names):
        op = ops.Conv(3, (3, 3), (2, 2) if index == 0 else (1, 1), (1, 1, 1, 1))
        nodes.append(Node(name, op, (index,), op.infer(nodes[-1].shape)))
    pool, dense = ops.GlobalPool(), ops.Dense(2)
    nodes.append(Node("pool", pool, (len(names),), (3,)))
    nodes.append(Node("scores.", dense, (len(names) + 1,), (2,)))
    return Graph("odd/[name]", tuple(nodes))


def test_they_are_plain_and_each_is_given_once():
    names = LayerNames(network())
    given = [*names.of_nodes.values(), names.part("stage1.conv1", "pad"), names.part("...", "pad")]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in given)
    assert len({name.lower() for name in given}) == len(given)
    assert names.of_nodes["stage1.conv1"] == "stage1-conv1"
    assert node_name("stage1-conv1") == "stage1.conv1"
    again = LayerNames(network())
    assert again.of_nodes == names.of_nodes


@pytest.mark.keras
@pytest.mark.parametrize("lowering", ["plain", "train"])
def test_a_network_of_any_names_is_built_traced_and_keeps_its_weights(lowering):
    import numpy as np
    import tensorflow as tf

    from archsearch.training.lowering.keras_model import build_model
    from archsearch.training.weights import fresh_weights, get_weights, set_weights

    graph = network()
    model = build_model(graph, lowering=lowering)
    traced = tf.function(lambda x: model(x, training=False))
    images = np.ones((1, 8, 8, 3), "float32")
    np.testing.assert_allclose(traced(images), model(images), rtol=1e-5)
    assert set(layers_of(model, graph)) == {node.name for node in graph}
    weights = {key: value + 1 for key, value in fresh_weights(graph).items()}
    set_weights(model, graph, weights)
    found = get_weights(model, graph)
    assert found.keys() == weights.keys()
    for key, value in found.items():
        np.testing.assert_array_equal(value, weights[key])


@pytest.mark.keras
def test_models_are_read_back_under_the_names_of_their_nodes():
    import json

    from archsearch.training.lowering.keras_model import build_model

    graph = network(("stage1.conv1", "stage1.conv2"))
    document = json.loads(build_model(graph, lowering="plain").to_json())
    wanted = ["stage1.conv1", "stage1.conv2"]
    assert [node.name for node in from_config(document).nodes[1:3]] == wanted
    # As they were written before layers had other names.
    text = json.dumps(document).replace("stage1-conv", "stage1.conv")
    assert [node.name for node in from_config(json.loads(text)).nodes[1:3]] == wanted
