"""The weights a training starts from: drawn by NumPy, so that every backend starts equal."""

from math import sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.ir.ops import He, Shape, Weight
from archsearch.readings.normalization import follows_normalization

Array: TypeAlias = npt.NDArray[np.float32]

_SCORES_SPREAD = 0.01


def initial_weights(
    graph: Graph, *, seed: int, zero_init_residual: bool = False, skip: frozenset[int] = frozenset()
) -> dict[str, list[Array]]:
    """Draw weights by node, in Keras's order and shapes, each as its op says it starts.

    A layer that gives the scores out of features that no normalization keeps in bounds (VGG's fully connected
    stack) starts at 0.01, as VGG's did (Simonyan & Zisserman 2014): its loss is then log(classes) at first,
    not several times that, and the network survives learning rates that otherwise kill its units in a few
    steps.

    Args:
        graph: the network.
        seed: of the draws.
        zero_init_residual: see Recipe.
        skip: nodes that are not built.

    Returns:
        By node name: a convolution's kernel is (height, width, channels / groups, filters), a
        depthwise one's (height, width, channels, multiplier), a dense layer's (inputs, units).
    """
    rng = np.random.default_rng(seed)
    quiet = _last_norms(graph) if zero_init_residual else frozenset()
    quiet_scores = _unbounded_scores(graph)
    found: dict[str, list[Array]] = {}
    for index, node in enumerate(graph.nodes):
        before = graph.input_shapes(node)
        if index in skip or not (weights := node.op.weights(before)):
            continue
        spread = _SCORES_SPREAD if index in quiet_scores else None
        drawn = [
            _started(rng, w._replace(start=0.0) if index in quiet and w.trained else w, spread)
            for w in weights
        ]
        if isinstance(
            node.op, ops.Conv
        ):  # Keras has a layer, and a kernel, of its own for depthwise ones
            drawn[0] = drawn[0].reshape(kernel_shape(node.op, before[0]))
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


def _unbounded_scores(graph: Graph) -> frozenset[int]:
    """Find the layers that give scores out of features that no normalization keeps in bounds."""
    return frozenset(
        index
        for index in (len(graph.nodes) - 1, *graph.auxiliary)
        if not follows_normalization(graph, index)
    )


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
