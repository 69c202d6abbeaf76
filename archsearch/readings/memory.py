"""Memory that training a network takes, predicted from its Graph."""

from dataclasses import dataclass

from archsearch.ir.graph import Graph
from archsearch.readings.cost import BYTES_PER_ELEMENT, elements_of, node_params


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """What one training step holds at its peak, in bytes of 32-bit floats.

    Attributes:
        activation_bytes: outputs that the backward pass reads again, of the whole batch.
        weight_bytes: trainable parameters.
        gradient_bytes: one gradient a parameter.
        momentum_bytes: one momentum a parameter.
    """

    activation_bytes: int
    weight_bytes: int
    gradient_bytes: int
    momentum_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it; the framework itself (some 0.5 GB) comes on top."""
        return self.activation_bytes + self.weight_bytes + self.gradient_bytes + self.momentum_bytes


def training_memory(graph: Graph, *, batch: int) -> TrainingMemory:
    """Predict the memory of a training step of `batch` images.

    Counted: the output of every layer once for each image, auxiliary classifiers included, as the
    backward pass starts when the forward pass has made all of them; and each parameter three times
    (weight, gradient, momentum). Not counted: what a convolution needs while it computes, gradients
    of activations (they replace activations that are no longer needed), and the framework. A
    normalisation's output is not held where only an activation reads it: its gradient is taken
    from its input, and the activation's from its own output.
    """
    readers: dict[int, list[str]] = {}
    for node in graph.nodes:
        for index in node.inputs:
            readers.setdefault(index, []).append(node.op.kind)
    elements = params = 0
    for index, node in enumerate(graph.nodes):
        if not node.inputs:
            elements += elements_of(node.shape)  # the normalised image
            continue
        params += node_params(node.op, tuple(graph.nodes[i].shape for i in node.inputs))
        passing = node.op.kind in _PASSING and set(readers.get(index, ())) == {"activation"}
        if not passing and node.op.kind not in _VIEWS:
            elements += elements_of(node.shape)
    weights = params * BYTES_PER_ELEMENT
    return TrainingMemory(elements * batch * BYTES_PER_ELEMENT, weights, weights, weights)


_PASSING = frozenset({"batch_norm", "add"})
"""Layers whose gradient does not read their output."""

_VIEWS = frozenset({"flatten", "reshape"})
"""Layers that copy nothing."""
