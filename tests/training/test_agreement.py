"""One description, several readings: a network's Graph and its Keras model agree, space by space.

Every node's shape and the trainable parameters equal Keras's; the FLOPs equal a count made from Keras's own
kernels and output shapes, which knows nothing of the Graph.
"""

from math import prod
from random import Random

import pytest

from archsearch.readings.cost import cost, node_params
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import load_spaces
from archsearch.space.solve import solve

pytestmark = pytest.mark.keras

SPACES = sorted(load_spaces())
# Grouped, depthwise and concatenating networks of large images stand for all in the quick run: each space has
# networks of small ones there, built by the same code.
LARGE = ("densenet", "inception", "mobilenet_v2", "resnext")


def counted_flops(model):
    """Multiply-adds from Keras alone: every kernel, at every position of its output."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            total += prod(layer.kernel.shape)
        elif hasattr(layer, "kernel") and hasattr(layer, "kernel_size"):
            total += prod(layer.kernel.shape) * prod(layer.output.shape[1:3])
    return total


def trainable(layers):
    return sum(prod(w.shape) for layer in layers for w in layer.trainable_weights)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SPACES)
def test_every_node_agrees_with_keras(name, seed):
    from archsearch.training.lowering.keras_model import build_model
    from archsearch.training.lowering.layer_names import layers_of

    space = load_spaces()[name]
    low, _ = space.reach(Request((32, 32, 3), 10, Budget(1, 1)))
    size = (32, 32, 3)
    request = Request(size, 10, Budget.cap(max(20_000_000, int(low * 1.1)), size))
    graph = solve(space, draw(space.knobs(request), Random(seed)), request).graph
    model = build_model(graph, lowering="plain")
    layers = layers_of(model, graph)
    for node in graph:
        layer = layers[node.name]
        assert tuple(layer.output.shape[1:]) == node.shape, node.name
        if node.inputs:
            assert trainable([layer]) == node_params(node.op, graph.input_shapes(node)), node.name
    assert trainable(model.layers) == cost(graph).params
    assert counted_flops(model) == cost(graph).flops


@pytest.mark.parametrize(
    "name",
    [name if name in LARGE else pytest.param(name, marks=pytest.mark.slow) for name in SPACES],
)
@pytest.mark.parametrize(
    "flops",
    [400_000_000, *(pytest.param(n * 10**9, marks=pytest.mark.slow) for n in (1, 4))],
)
def test_large_images_too(name, flops):
    import keras

    from archsearch.training.lowering.keras_model import build_model

    keras.backend.clear_session()
    space, size = load_spaces()[name], (224, 224, 3)
    low, _ = space.reach(Request(size, 1000, Budget(1, 1)))
    request = Request(size, 1000, Budget.cap(max(flops, int(low * 1.1)), size))
    classic, drawn = space.classic_knobs(request), draw(space.knobs(request), Random(flops))
    for knobs in (classic, drawn) if flops >= 10**9 else (classic,):
        candidate = solve(space, knobs, request)
        assert candidate.cost.flops in request.budget
        model = build_model(candidate.graph, lowering="plain")
        assert model.output.shape == (None, 1000)
        assert trainable(model.layers) == candidate.cost.params
        assert counted_flops(model) == candidate.cost.flops
