"""The ops that networks read back from Keras bring along."""

import numpy as np
import pytest

from archsearch.ir import ops
from archsearch.ir.codec import from_json, to_json
from archsearch.ir.graph import Graph, Node
from archsearch.readings.cost import cost, node_params
from archsearch.training.lowering.layer_names import layers_of

pytestmark = pytest.mark.keras


def chain(*steps: ops.Op) -> Graph:
    nodes = [Node("input", ops.Input((9, 8, 3)), (), (9, 8, 3))]
    for i, op in enumerate(steps):
        nodes.append(Node(f"layer{i}", op, (i,), op.infer(nodes[-1].shape)))
    return Graph("chain", tuple(nodes))


GRAPH = chain(
    ops.Rescale((0.5, 1.0, 2.0), (-1.0, 0.0, 3.0)),
    ops.Pad((1, 2, 0, 3)),
    ops.Crop((2, 0, 1, 1)),
    ops.Conv(6, (3, 3)),
    ops.LayerNorm(),
    ops.LayerNorm(scale=False, center=True),
    ops.LayerScale(0.25),
    ops.Rescale(0.17, 1.0),
    ops.GlobalPool("max"),
    ops.Reshape((1, 1, 6)),
    ops.Conv(5, (1, 1), bias=True),
    ops.Flatten(),
)


def test_their_shapes_parameters_and_json():
    from archsearch.training.lowering.keras_model import build_model

    model = build_model(GRAPH, lowering="plain")
    for node in GRAPH.nodes[1:]:
        layer = layers_of(model, GRAPH)[node.name]
        assert layer.output.shape[1:] == node.shape
        trainable = sum(int(np.prod(w.shape)) for w in layer.trainable_weights)
        assert trainable == node_params(node.op, GRAPH.input_shapes(node)), node.name
    assert cost(GRAPH).params == 9 * 3 * 6 + 12 + 6 + 6 + 6 * 5 + 5
    assert from_json(to_json(GRAPH)) == GRAPH


def test_their_numbers():
    from archsearch.training.lowering.keras_model import build_model

    graph = chain(
        ops.Rescale((0.5, 1.0, -6.0), 3.0),
        ops.LayerScale(0.25),
        ops.Activation("leaky_relu", 0.1),
        ops.GlobalPool(),
    )
    model = build_model(graph, lowering="plain")
    out = np.asarray(model(np.ones((1, 9, 8, 3), "float32")))
    np.testing.assert_allclose(out, [[0.875, 1.0, -0.075]], rtol=1e-6)
