"""Gates whose hidden units are all dead, mended for runtimes of 8-bit integers: the answers stay the same.

A gate's hidden layer that is 0 for every calibration image has no range of values. So its scale is nearly 0:
biases behind it are cut off, and LiteRT's kernels refuse the file ("failed to create XNNPACK runtime"). In a
chain of layers the network would be constant; beside it, in a squeeze-and-excitation (Hu et al. 2018), nobody
notices.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from archsearch.exchange.formats.format import Trained
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Activation, Conv, Dense

_LEVEL: Final = 0.1
"""What a unit that is made constant answers: a range to speak of, and little to round behind it."""


class Gate(NamedTuple):
    """A hidden layer on a vector, by its nodes: what it computes, its rectifier, what reads it."""

    first: Node
    rectifier: Node
    second: Node


def without_dead_gates(trained: Trained) -> Trained:
    """Return the network with one unit of each dead hidden layer made constant, its effect taken off again.

    On the calibration images the answers are the same but for the last digits of floats.
    """
    weights = dict(trained.weights)
    for first, _, second in _dead(trained):
        kernel, bias = (np.array(weights[f"{first.name}:{index}"]) for index in (0, 1))
        kernel[..., 0], bias[0] = 0, _LEVEL
        behind = np.asarray(weights[f"{second.name}:0"])
        passed = _LEVEL * behind.reshape(-1, behind.shape[-1])[0]
        weights |= {f"{first.name}:0": kernel, f"{first.name}:1": bias}
        weights[f"{second.name}:1"] = weights[f"{second.name}:1"] - passed
    return replace(trained, weights=weights)


def gates(graph: Graph) -> Iterator[Gate]:
    """Give every hidden layer that one other layer reads; both have biases, and see one position."""
    readers: dict[int, list[Node]] = {}
    for node in graph:
        for index in node.inputs:
            readers.setdefault(index, []).append(node)
    for index, node in enumerate(graph):
        if not isinstance(node.op, Activation) or node.op.function != "relu":
            continue
        first, behind = graph.nodes[node.inputs[0]], readers.get(index, [])
        alone = len(readers[node.inputs[0]]) == 1 and len(behind) == 1
        if alone and _on_vector(first) and _on_vector(behind[0]):
            yield Gate(first, node, behind[0])


def _on_vector(node: Node) -> bool:
    """Whether it mixes the channels of one position, with a bias."""
    if isinstance(node.op, Dense):
        return node.op.bias
    if not isinstance(node.op, Conv):
        return False
    return (
        node.op.bias
        and node.op.kernel == (1, 1)
        and node.op.groups == 1
        and node.shape[:2] == (1, 1)
    )


def _dead(trained: Trained) -> list[Gate]:
    """Return the gates that are 0 for all calibration images."""
    found = list(gates(trained.graph))
    if not found or not len(trained.calibration):
        return []
    import keras

    from archsearch.exchange.formats.keras_network import keras_network
    from archsearch.training.lowering.layer_names import layers_of

    model = keras_network(trained, lowering="train")
    layers = layers_of(model, trained.graph)
    outputs = {str(place): layers[g.rectifier.name].output for place, g in enumerate(found)}
    shift, scale = trained.preprocessing()
    images = (trained.calibration - shift) / scale
    answers = keras.Model(model.inputs[0], outputs)(images, training=False)
    return [g for place, g in enumerate(found) if not np.asarray(answers[str(place)]).any()]
