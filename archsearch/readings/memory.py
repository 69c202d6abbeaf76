"""Memory that training a network takes, predicted from its Graph."""

from dataclasses import dataclass

from archsearch.ir.graph import Graph
from archsearch.ir.ops import elements_of
from archsearch.readings.cost import BYTES_PER_ELEMENT, node_params


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """What one training step holds at its peak, in bytes of 32-bit floats.

    Attributes:
        activation_bytes: the outputs of all layers, of the whole batch.
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
    backward pass starts when the forward pass has made them; and each parameter three times
    (weight, gradient, momentum). Not counted: what a convolution needs while it computes, gradients
    of activations (they take the place of activations that are no longer needed), the framework.

    Against the growth of a worker's resident memory (TensorFlow 2.21 on a CPU, batches of 64 to
    128): VGG of 20 M FLOPs 70 MB for 107, DenseNet 261 for 319, Wide ResNet 316 for 295, MobileNet
    751 for 812, ResNet of 200 M at 64×64 1.65 GB for 1.45.
    """
    elements = params = 0
    for node in graph.nodes:
        if not node.op.view:
            elements += elements_of(node.shape)
        if node.inputs:
            params += node_params(node.op, tuple(graph.nodes[i].shape for i in node.inputs))
    weights = params * BYTES_PER_ELEMENT
    return TrainingMemory(elements * batch * BYTES_PER_ELEMENT, weights, weights, weights)
