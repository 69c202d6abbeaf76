"""The weights a training starts from: drawn by NumPy, so that every backend starts equal."""

from math import prod, sqrt
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from archsearch.ir import ops
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Shape

Array: TypeAlias = npt.NDArray[np.float32]

_SCORES_SPREAD = 0.01


def initial_weights(
    graph: Graph, *, seed: int, zero_init_residual: bool = False, skip: frozenset[int] = frozenset()
) -> dict[str, list[Array]]:
    """Draw weights by node, in Keras's order and shapes: kernels after He et al. 2015 (arXiv:1502.01852).

    A kernel's standard deviation is sqrt(2 / inputs of a unit); biases are 0; a batch
    normalization is (gamma, beta, moving mean, moving variance). A layer that gives the scores
    out of features that no normalization keeps in bounds (VGG's fully connected stack) starts at
    0.01, as VGG's did (Simonyan & Zisserman 2014): its loss is then log(classes) at first, not
    several times that, and the network survives learning rates that otherwise kill its units in
    a few steps.

    Returns:
        By node name: a convolution's kernel is (height, width, channels / groups, filters), a
        depthwise one's (height, width, channels, multiplier), a dense layer's (inputs, units).
    """
    rng = np.random.default_rng(seed)
    quiet = _last_norms(graph) if zero_init_residual else frozenset()
    weights: dict[str, list[Array]] = {}
    quiet_scores = {
        index
        for index in (len(graph.nodes) - 1, *graph.auxiliary)
        if not _follows_norm(graph, graph.nodes[index].inputs[0])
    }
    for index, node in enumerate(graph.nodes):
        if index in skip or not node.inputs:
            continue
        op = node.op
        before = graph.input_shapes(node)[0]
        channels = integer(before[-1])
        if isinstance(op, ops.Conv):
            kernel = _kernel(rng, (*op.kernel, channels // integer(op.groups), integer(op.filters)))
            weights[node.name] = [
                kernel.reshape(kernel_shape(op, before)),
                *_zeros(op.bias, kernel.shape[-1]),
            ]
        elif isinstance(op, ops.Dense):
            spread = _SCORES_SPREAD if index in quiet_scores else None
            kernel = _kernel(rng, (channels, integer(op.units)), spread)
            weights[node.name] = [kernel, *_zeros(op.bias, kernel.shape[-1])]
        elif isinstance(op, ops.BatchNorm):
            gamma, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
            weights[node.name] = [
                *([gamma * (index not in quiet)] if op.scale else []),
                *([zeros] if op.center else []),
                zeros,
                np.ones(channels, np.float32),
            ]
        elif isinstance(op, ops.LayerNorm):
            weights[node.name] = [
                *([np.ones(channels, np.float32)] if op.scale else []),
                *_zeros(op.center, channels),
            ]
        elif isinstance(op, ops.LayerScale):
            weights[node.name] = [np.full((1, 1, channels, 1), op.initial, np.float32)]
    return weights


def is_normalized(graph: Graph) -> bool:
    """Tell whether a network has any normalization of activations by trained statistics."""
    return any(isinstance(node.op, (ops.BatchNorm, ops.LayerNorm)) for node in graph)


def is_depthwise(op: ops.Conv, before: Shape) -> bool:
    """Tell whether a convolution is one of Keras's depthwise layers.

    TensorFlow wants their strides equal, and no dilation with them.
    """
    return op.groups == before[-1] != 1 and op.stride[0] == op.stride[1] and op.dilation == (1, 1)


def kernel_shape(op: ops.Conv, before: Shape) -> tuple[int, ...]:
    """Return the shape of a convolution's kernel as Keras keeps it."""
    channels, filters = integer(before[-1]), integer(op.filters)
    if is_depthwise(op, before):
        return (*op.kernel, channels, filters // channels)
    return (*op.kernel, channels // integer(op.groups), filters)


def integer(width: Any) -> int:
    """Narrow a width: in a finished Graph they are all integers."""
    assert isinstance(width, int)
    return width


def _kernel(rng: np.random.Generator, shape: tuple[int, ...], spread: float | None = None) -> Array:
    if spread is None:
        spread = sqrt(2 / prod(shape[:-1]))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)


def _zeros(wanted: bool, count: int) -> list[Array]:
    return [np.zeros(count, np.float32)] if wanted else []


def _follows_norm(graph: Graph, index: int) -> bool:
    """Tell whether the last layer with weights before a node's output is a normalization."""
    while graph.nodes[index].inputs:
        op = graph.nodes[index].op
        if isinstance(op, (ops.Conv, ops.Dense, ops.BatchNorm, ops.LayerNorm)):
            return isinstance(op, (ops.BatchNorm, ops.LayerNorm))
        index = graph.nodes[index].inputs[0]
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
