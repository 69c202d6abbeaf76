"""The weights a training starts from: drawn by NumPy, so that every backend starts equal."""

from dataclasses import dataclass
from math import pi, sqrt
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.ir.ops import He, Shape, Weight
from archsearch.readings.normalization import follows_normalization
from archsearch.recipes.recipe import Recipe

Array: TypeAlias = npt.NDArray[np.float32]

_SCORES_SPREAD: Final = 0.01

_FEW: Final = 8
"""Inputs of a unit of which the mean is too much of what it can see to be taken away."""

_AROUND_ZERO: Final = frozenset({"tanh", "softsign", "linear"})
"""Activations whose answers have a mean near 0."""

_OF_MEAN: Final = 1 / pi
"""Share of a rectified signal's power that is its mean's."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a recipe says of the weights that a training starts from; see its parts of these names."""

    zero_init_residual: bool = False
    centred_init: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Return what a recipe says."""
        return cls(recipe.zero_init_residual, recipe.centred_init)


AS_OPS_SAY: Final = Start()


def initial_weights(
    graph: Graph, *, seed: int, start: Start = AS_OPS_SAY, skip: frozenset[int] = frozenset()
) -> dict[str, list[Array]]:
    """Draw weights by node, in Keras's order and shapes, each as its op says it starts.

    Args:
        graph: the network.
        seed: of the draws.
        start: what is otherwise than the ops say.
        skip: nodes that are not built.

    Returns:
        By node name: a convolution's kernel is (height, width, channels / groups, filters), a
        depthwise one's (height, width, channels, multiplier), a dense layer's (inputs, units).
    """
    rng = np.random.default_rng(seed)
    quiet = _last_norms(graph) if start.zero_init_residual else frozenset()
    quiet_scores = _unbounded_scores(graph)
    centred = _rectified(graph) - quiet_scores if start.centred_init else frozenset()
    found: dict[str, list[Array]] = {}
    for index, node in enumerate(graph.nodes):
        if index in skip or not (weights := node.op.weights(graph.input_shapes(node))):
            continue
        spread = _SCORES_SPREAD if index in quiet_scores else None
        drawn = [
            _started(rng, w._replace(start=0.0) if index in quiet and w.trained else w, spread)
            for w in weights
        ]
        if index in centred:
            drawn[0] = _centred(drawn[0])
        if isinstance(node.op, ops.Conv):  # Keras's depthwise ones have kernels of their own
            drawn[0] = drawn[0].reshape(kernel_shape(node.op, graph.input_shapes(node)[0]))
        found[node.name] = drawn
    return found


def is_depthwise(op: ops.Conv, before: Shape) -> bool:
    """Tell whether a convolution is one of Keras's depthwise layers.

    TensorFlow wants their strides equal, and no dilation with them.
    """
    return op.groups == before[-1] != 1 and op.stride[0] == op.stride[1] and op.dilation == (1, 1)


def kernel_shape(op: ops.Conv, before: Shape) -> tuple[int, ...]:
    """Return the shape of a convolution's kernel as Keras keeps it."""
    if is_depthwise(op, before):
        channels = known(before[-1])
        return (*op.kernel, channels, known(op.filters) // channels)
    return op.weights((before,))[0].shape


def _started(rng: np.random.Generator, weight: Weight, spread: float | None) -> Array:
    """Return a weight as it starts; drawn numbers have a standard deviation of `spread`, or its own."""
    start = weight.start
    if not isinstance(start, He):
        return np.full(weight.shape, start, np.float32)
    deviation = sqrt(2 / start.inputs) if spread is None else spread
    return rng.standard_normal(weight.shape, dtype=np.float32) * np.float32(deviation)


def _centred(kernel: Array) -> Array:
    """Return a kernel of which each unit's numbers have mean 0, as large as its answers need it.

    What a rectifier gives has a mean, and a layer of random numbers adds it to all its answers: after some
    layers without normalization all images look alike. Kernels whose numbers have mean 0 take none of it
    (Brock et al. 2021, arXiv:2101.08692, section 4; there at every step).
    """
    inputs = kernel.size // kernel.shape[-1]
    if inputs <= _FEW:
        return kernel
    kernel = kernel - kernel.mean(axis=tuple(range(kernel.ndim - 1)), keepdims=True)
    return kernel * np.float32(1 / sqrt((1 - _OF_MEAN) * (1 - 1 / inputs)))


def _unbounded_scores(graph: Graph) -> frozenset[int]:
    """Find the layers that give scores out of features that no normalization keeps in bounds.

    One (VGG's fully connected stack) starts at 0.01, as in (Simonyan & Zisserman 2014): the loss is then
    log(classes) at first, not several times that, and the network survives learning rates that otherwise kill
    its units in a few steps.
    """
    return frozenset(
        index
        for index in (len(graph.nodes) - 1, *graph.auxiliary)
        if not follows_normalization(graph, index)
    )


def _rectified(graph: Graph) -> frozenset[int]:
    """Find the layers of many channels whose inputs come from a rectifier, and through no normalization."""
    return frozenset(
        index
        for index, node in enumerate(graph.nodes)
        if isinstance(node.op, ops.Dense)
        or (
            isinstance(node.op, ops.Conv) and not is_depthwise(node.op, graph.input_shapes(node)[0])
        )
        if _comes_from_rectifier(graph, index) and not follows_normalization(graph, index)
    )


def _comes_from_rectifier(graph: Graph, index: int) -> bool:
    """Tell whether a node's input, the first of several, has a mean that an activation gave it."""
    while graph.nodes[index].inputs:
        index = graph.nodes[index].inputs[0]
        op = graph.nodes[index].op
        if isinstance(op, ops.Activation):
            return op.function not in _AROUND_ZERO
        if isinstance(op, ops.Conv | ops.Dense):
            return False
    return False


def _last_norms(graph: Graph) -> frozenset[int]:
    """Find the batch normalizations that end a residual branch: the deeper side of an addition."""
    depth: list[int] = []
    found = set()
    for node in graph.nodes:
        before = max((depth[i] for i in node.inputs), default=0)
        depth.append(before + isinstance(node.op, ops.Conv))
        if isinstance(node.op, ops.Add):
            branch = max(node.inputs, key=lambda i: depth[i])
            while isinstance(graph.nodes[branch].op, (ops.DropPath, ops.Dropout)):
                branch = graph.nodes[branch].inputs[0]
            if isinstance(graph.nodes[branch].op, ops.BatchNorm):
                found.add(branch)
    return frozenset(found)
