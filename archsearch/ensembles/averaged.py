"""Networks side by side in one Graph, which averages their probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from archsearch.errors import GraphError
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Activation, Log, Mean
from archsearch.readings.cost import training_only


def averaged(graphs: Sequence[Graph], name: str) -> Graph:
    """Return one network whose probabilities are the mean of those of the members.

    All members are given the image. Layers of the first are in the scope `member1`, and so on; what is there
    for training only is left out. The end is the logarithm of the mean: a network ends in scores, whose
    softmax it is. So a cost, a lowering or an export format needs to know nothing of ensembles.

    Raises:
        GraphError: there are fewer than two, or they take other images or tell other classes apart.
    """
    if len(graphs) < 2:
        raise GraphError(f"an ensemble is of two networks at least, got {len(graphs)}")
    nodes = [graphs[0].nodes[0]]
    scores = []
    for number, graph in enumerate(graphs, start=1):
        if (graph.input, graph.classes) != (graphs[0].input, graphs[0].classes):
            raise GraphError(
                f"member {number} takes {graph.input} and tells {graph.classes} classes apart, member 1 "
                f"{graphs[0].input} and {graphs[0].classes}; members share images and classes"
            )
        scores.append(_append(nodes, graph, _scope(number)))
    probabilities = []
    for number, index in enumerate(scores, start=1):
        nodes.append(
            Node(f"average.softmax{number}", Activation("softmax"), (index,), nodes[index].shape)
        )
        probabilities.append(len(nodes) - 1)
    shape = nodes[-1].shape
    nodes.append(Node("average.mean", Mean(), tuple(probabilities), shape))
    nodes.append(Node("average.log", Log(), (len(nodes) - 1,), shape))
    return Graph(name, tuple(nodes))


def averaged_weights(
    graphs: Sequence[Graph], weights: Sequence[Mapping[str, npt.NDArray[Any]]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of `averaged(graphs)` from those of the members, by layer as each has them."""
    found = {}
    for number, (graph, own) in enumerate(zip(graphs, weights, strict=True), start=1):
        skipped = {graph.nodes[index].name for index in training_only(graph)}
        for key, value in own.items():
            if key.rpartition(":")[0] not in skipped:
                found[_scope(number) + key] = value
    return found


def _scope(number: int) -> str:
    return f"member{number}."


def _append(nodes: list[Node], graph: Graph, scope: str) -> int:
    """Add a member's layers, its image aside; return where its scores are."""
    skipped, places = training_only(graph), {0: 0}
    for index, node in enumerate(graph.nodes):
        if index == 0 or index in skipped:
            continue
        inputs = tuple(places[i] for i in node.inputs)
        nodes.append(Node(scope + node.name, node.op, inputs, node.shape))
        places[index] = len(nodes) - 1
    return places[len(graph.nodes) - 1]
