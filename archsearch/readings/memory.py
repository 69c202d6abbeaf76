"""Memory that training a network takes, predicted from its Graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archsearch.ir.graph import Graph
from archsearch.ir.ops import elements_of
from archsearch.readings.cost import BYTES_PER_ELEMENT, node_params


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """What one training step holds at its peak, in bytes.

    Attributes:
        activation_bytes: maps of the whole batch that wait for the backward pass, and gradients of maps.
        weight_bytes: trainable parameters.
        gradient_bytes: two a parameter: each layer's own, and all of them in one vector.
        optimizer_bytes: means that the optimizer keeps, and averaged weights.
    """

    activation_bytes: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int

    @property
    def fixed_bytes(self) -> int:
        """What does not grow with the batch."""
        return self.weight_bytes + self.gradient_bytes + self.optimizer_bytes

    @property
    def total_bytes(self) -> int:
        """All of it; the framework itself (some 0.5 GB) comes on top."""
        return self.activation_bytes + self.fixed_bytes


@dataclass(frozen=True, slots=True)
class _Maps:
    """Which maps a step holds, and how long; a view is the map that it looks at.

    Attributes:
        owner: by node, the node that the map is made by.
        sizes: numbers of one image's map, by owner.
        last_use: the last node that takes a map in, by owner.
        needed_by: the first node whose gradient needs a map, by owner; those that none needs are missing.
        beside: numbers that a node keeps besides.
    """

    owner: Sequence[int]
    sizes: Mapping[int, int]
    last_use: Mapping[int, int]
    needed_by: Mapping[int, int]
    beside: Sequence[float]


def training_memory(
    graph: Graph, *, batch: int, element_bytes: int = BYTES_PER_ELEMENT, states: int = 1
) -> TrainingMemory:
    """Predict the memory of a training step of `batch` images.

    Counted: the maps as the forward pass makes them and lets go of those that no gradient needs, then the
    backward pass, which makes a gradient of each map and lets go of what it has been through; the most of
    it at any time. Each parameter is there once, its gradient twice (`TrainingMemory`). Not counted: what a
    convolution needs while it computes, and the framework. benchmarks/memory.py compares it with what
    frameworks take.

    Args:
        graph: the network, auxiliary classifiers included.
        batch: images of a step.
        element_bytes: of a number of a map.
        states: numbers that the optimizer keeps of each parameter.
    """
    params = sum(
        node_params(node.op, graph.input_shapes(node)) for node in graph.nodes if node.inputs
    )
    weights = params * BYTES_PER_ELEMENT
    activations = batch * _peak(graph, element_bytes)
    return TrainingMemory(round(activations), weights, 2 * weights, states * weights)


def kept_bytes(graph: Graph, *, batch: int) -> int:
    """Return what the forward pass leaves for the backward pass, in bytes of 32-bit floats."""
    maps = _maps(graph)
    kept = sum(maps.sizes[index] for index in maps.needed_by) + sum(maps.beside)
    return round(batch * kept * BYTES_PER_ELEMENT)


def _maps(graph: Graph) -> _Maps:
    owner: list[int] = []
    last_use: dict[int, int] = {}
    needed_by: dict[int, int] = {}
    beside = []
    for index, node in enumerate(graph.nodes):
        owner.append(owner[node.inputs[0]] if node.op.view else index)
        kept, own = node.op.kept(), owner[index]
        last_use[own] = index
        for i in node.inputs:
            last_use[owner[i]] = index
            if kept.inputs:
                needed_by.setdefault(owner[i], index)
        if kept.output:
            needed_by.setdefault(own, index)
        beside.append(kept.beside * elements_of(node.shape))
    for index in (*graph.auxiliary, len(graph) - 1):  # the loss
        last_use[owner[index]] = len(graph)
    sizes = {own: elements_of(graph.nodes[own].shape) for own in set(owner)}
    return _Maps(owner, sizes, last_use, needed_by, beside)


def _peak(graph: Graph, element_bytes: int) -> float:
    """Return the most bytes that one image's maps and their gradients take at any time of a step."""
    maps = _maps(graph)
    held = most = 0.0
    ends: dict[int, list[int]] = {}
    for own, last in maps.last_use.items():
        if own not in maps.needed_by:
            ends.setdefault(last, []).append(own)
    for index in range(len(graph)):
        if maps.owner[index] == index:
            held += maps.sizes[index] * element_bytes
        held += maps.beside[index] * BYTES_PER_ELEMENT
        most = max(most, held)
        held -= sum(maps.sizes[own] for own in ends.get(index, ())) * element_bytes
    return max(most, _backward_peak(graph, maps, held, element_bytes))


def _backward_peak(graph: Graph, maps: _Maps, held: float, element_bytes: int) -> float:
    most = held
    gradients: set[int] = set()
    through: dict[int, list[int]] = {}
    for own, first in maps.needed_by.items():
        through.setdefault(first, []).append(own)
    for index in range(len(graph) - 1, 0, -1):
        made = {maps.owner[i] for i in (index, *graph.nodes[index].inputs)} - {0} - gradients
        gradients |= made
        held += sum(maps.sizes[own] for own in made) * element_bytes
        most = max(most, held)
        gone = [*through.get(index, ())]
        if maps.owner[index] == index:
            gone.append(index)  # its gradient
        held -= sum(maps.sizes[own] for own in gone) * element_bytes
        held -= maps.beside[index] * BYTES_PER_ELEMENT
    return most
