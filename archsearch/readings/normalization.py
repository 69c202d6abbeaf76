"""Where a network has normalization: it decides how large a step the network can take in training."""

from typing import Literal, TypeAlias

from archsearch.ir.graph import Graph

Normalized: TypeAlias = Literal["whole", "body", "nothing"]
"""What is normalized: all that the scores are made of; all but the last hidden layers, as VGG's dense ones
with batch normalization in its convolutions alone; nothing at all."""


def normalized_part(graph: Graph) -> Normalized:
    """Return what of a network is normalized."""
    if not any(node.op.normalizes for node in graph):
        return "nothing"
    return "whole" if follows_normalization(graph, _scoring(graph)) else "body"


def follows_normalization(graph: Graph, index: int) -> bool:
    """Tell whether a normalization comes before a node, with no weighted layer between the two.

    Args:
        graph: of several inputs of a node the first counts: gates come second.
        index: the node's.
    """
    while graph.nodes[index].inputs:
        index = graph.nodes[index].inputs[0]
        if graph.nodes[index].op.normalizes:
            return True
        if _multiplies(graph, index):
            return False
    return False


def _scoring(graph: Graph) -> int:
    """Find the layer that gives the scores; what comes after it, as NiN's average, has no weights."""
    index = len(graph) - 1
    while graph.nodes[index].inputs and not _multiplies(graph, index):
        index = graph.nodes[index].inputs[0]
    return index


def _multiplies(graph: Graph, index: int) -> bool:
    """Tell whether a node sums products with weights: a convolution, a dense layer."""
    node = graph.nodes[index]
    return node.op.product(graph.input_shapes(node), node.shape) is not None
