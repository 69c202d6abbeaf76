"""Exact costs of a network: FLOPs (multiply-adds), trainable parameters, activation memory.

Conventions (the lecture's, and the papers' tables'): one multiply and one add are one FLOP; a budget counts
convolution and dense layers; a pool's own FLOPs stand on its row of a table and in no total.
"""

from dataclasses import dataclass
from math import prod

from archsearch.ir.channels import Width, known
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Free, Op, Shape, elements_of
from archsearch.units import training_flops

BYTES_PER_ELEMENT = 4  # 32-bit floats


@dataclass(frozen=True, slots=True)
class Cost:
    """What one image costs in a forward pass.

    Attributes:
        flops: multiply-adds of convolution and dense layers.
        params: trainable parameters.
        activation_bytes: the outputs of all layers, as 32-bit floats.
    """

    flops: int
    params: int
    activation_bytes: int

    def training_flops(self, images: int) -> int:
        """Return the FLOPs of training on `images` images."""
        return training_flops(self.flops, images)


def cost(graph: Graph) -> Cost:
    """Return the network's cost in use; auxiliary classifiers, present in training only, are left out."""
    flops = params = 0
    elements: Width = 0
    nodes = graph.nodes
    skip = training_only(graph) if graph.auxiliary else frozenset()
    for index, (_, op, inputs, shape) in enumerate(nodes):
        if index in skip or not inputs:
            continue
        elements += prod(shape)
        if isinstance(op, Free):
            continue
        if len(inputs) == 1:
            shapes: tuple[Shape, ...] = (nodes[inputs[0]].shape,)
        else:
            shapes = tuple([nodes[i].shape for i in inputs])
        params += op.weights(shapes).params
        product = op.product(shapes, shape)
        if product is not None:
            flops += product.flops()
    return Cost(flops, params, known(elements) * BYTES_PER_ELEMENT)


def node_flops(op: Op, inputs: tuple[Shape, ...], output: Shape) -> int:
    """Return the FLOPs a layer table shows for this layer: pools included."""
    product = op.product(inputs, output)
    return op.table_flops(inputs, output) if product is None else product.flops()


def node_params(op: Op, inputs: tuple[Shape, ...]) -> int:
    """Return the layer's trainable parameters."""
    return op.weights(inputs).params


def training_only(graph: Graph) -> frozenset[int]:
    """Return the indices of nodes that serve auxiliary classifiers alone."""
    used = {len(graph.nodes) - 1}
    for index in range(len(graph.nodes) - 1, -1, -1):
        if index in used:
            used.update(graph.nodes[index].inputs)
    return frozenset(range(len(graph.nodes))) - used


__all__ = [
    "BYTES_PER_ELEMENT",
    "Cost",
    "cost",
    "elements_of",  # for the rules; they are archsearch.ir's
    "known",
    "node_flops",
    "node_params",
    "training_only",
]
