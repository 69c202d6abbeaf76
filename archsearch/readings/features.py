"""A network as a few numbers: what a model of accuracy may go by, whatever space it is from.

All of them follow from the Graph's ops, shapes and edges; names of layers are never looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2, prod
from typing import Final

from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Free, Op, Shape
from archsearch.readings.cost import BYTES_PER_ELEMENT, training_only

LEVELS: Final = 6
"""Levels of resolution that are told apart: the image's own, its half, and so on; the last has the rest."""


@dataclass(slots=True)
class _Sums:
    """What is added up, layer by layer."""

    elements: int = 0
    params: int = 0
    flops: int = 0
    joined: int = 0
    stacked: int = 0
    normalized: int = 0
    pooled: int = 0
    windowed_flops: float = 0.0
    dense_flops: float = 0.0
    path_width: float = 0.0  # log2 of channels in a group, weighted by FLOPs
    cardinality: float = 0.0  # log2 of groups, likewise
    sees: float = 1.0  # pixels
    level_flops: list[float] = field(default_factory=lambda: [0.0] * LEVELS)
    level_layers: list[int] = field(default_factory=lambda: [0] * LEVELS)
    level_width: list[int] = field(default_factory=lambda: [0] * LEVELS)


@dataclass(frozen=True, slots=True)
class _Way:
    """The ways from the image to a node.

    Attributes:
        longest, shortest: weighted layers on them.
        count: how many they are.
        layers: weighted layers of all of them together.
        size, jump: receptive field and spacing in image pixels, of the way that sees most.
    """

    longest: int = 0
    shortest: int = 0
    count: int = 1
    layers: int = 0
    size: float = 1.0
    jump: float = 1.0


def features(graph: Graph) -> Mapping[str, float]:
    """Return a network's features by name; the same names for all networks.

    Counts are logarithms to the base 2; shares are of the whole network. Levels are of resolution, the
    image's own first. A fraction of a millisecond for a hundred layers.
    """
    skip = training_only(graph) if graph.auxiliary else frozenset()
    side = max(1, min(graph.input[:2]))
    sums, ways = _Sums(), list[_Way]()
    nodes = graph.nodes
    for index, (_, op, inputs, shape) in enumerate(nodes):
        if not inputs:
            ways.append(_Way())
            continue
        shapes = tuple([nodes[i].shape for i in inputs])
        way = _onward(op, shapes, [ways[i] for i in inputs])
        ways.append(way)
        if index in skip:
            continue
        sums.elements += known(prod(shape))
        if len(inputs) > 1:
            _join(sums, shapes, shape)
        if not isinstance(op, Free):
            _weigh(sums, op, shapes, shape, side)
        elif max(op.sees(shapes).window) > 1:
            sums.pooled += 1
        if len(shape) == 3 and shape[:2] != (1, 1):
            sums.sees = max(sums.sees, way.size)
    return _named(sums, ways[-1], side)


def _onward(op: Op, shapes: tuple[Shape, ...], before: Sequence[_Way]) -> _Way:
    """Return the ways to a node from those to its inputs."""
    if len(before) == 1:
        way = before[0]
        if op.elementwise:
            return way
        longest, shortest, size, jump = way.longest, way.shortest, way.size, way.jump
        count, layers = way.count, way.layers
    else:
        longest = max(way.longest for way in before)
        shortest = min(way.shortest for way in before)
        count, layers = sum(way.count for way in before), sum(way.layers for way in before)
        size = max(way.size for way in before)
        jump = max(way.jump for way in before)
    window, step = op.sees(shapes)
    weighted = 0 if isinstance(op, Free) or op.elementwise else 1
    return _Way(
        longest + weighted,
        shortest + weighted,
        count,
        layers + weighted * count,
        size + (max(window) - 1) * jump,
        jump * float(max(step)),
    )


def _join(sums: _Sums, shapes: tuple[Shape, ...], shape: Shape) -> None:
    """Count a node of several inputs: they are added, or stacked along the channels."""
    if shapes[0] == shape:
        sums.joined += 1
    else:
        sums.stacked += 1


def _weigh(sums: _Sums, op: Op, shapes: tuple[Shape, ...], shape: Shape, side: int) -> None:
    """Count a layer with weights."""
    weights = op.weights(shapes)
    sums.params += weights.params
    if op.normalizes:
        sums.normalized += 1
    product = op.product(shapes, shape)
    if product is None:
        return
    flops = product.flops()
    sums.flops += flops
    if len(shape) != 3:
        sums.dense_flops += flops
        return
    *window, inside, filters = weights[0].shape
    if max(window) > 1:
        sums.windowed_flops += flops
    groups = known(shapes[0][-1]) // max(1, inside)
    sums.cardinality += flops * log2(max(1, groups))
    sums.path_width += flops * log2(max(1, inside))
    here = known(shape[0])
    if here == 1 and side > 1:  # a gate's
        return
    level = min(LEVELS - 1, max(0, round(log2(side / here))))
    sums.level_flops[level] += flops
    sums.level_layers[level] += 1
    sums.level_width[level] = max(sums.level_width[level], filters)


def _named(sums: _Sums, way: _Way, side: int) -> Mapping[str, float]:
    flops, layers = max(1, sums.flops), max(1, sum(sums.level_layers))
    widths = [width for width in sums.level_width if width]
    found = {
        "log_params": log2(max(1, sums.params)),
        "log_activation_bytes": log2(max(1, sums.elements * BYTES_PER_ELEMENT)),
        "log_depth": log2(1 + way.longest),
        "log_layers": log2(1 + layers),
        "short_way": way.shortest / max(1, way.longest),
        "mean_way": way.layers / way.count / max(1, way.longest),
        "log_ways": log2(way.count) / layers,
        "added": sums.joined / layers,
        "stacked": sums.stacked / layers,
        "normalized": sums.normalized / layers,
        "pooled": sums.pooled / layers,
        "windowed_share": sums.windowed_flops / flops,
        "dense_share": sums.dense_flops / flops,
        "log_cardinality": sums.cardinality / flops,
        "log_path_width": sums.path_width / flops,
        "log_base_width": log2(widths[0]) if widths else 0.0,
        "log_widening": log2(max(widths) / min(widths)) if widths else 0.0,
        "log_receptive_field": log2(sums.sees / side),
    }
    for level in range(LEVELS):
        found[f"flops_share{level}"] = sums.level_flops[level] / flops
        found[f"layers_share{level}"] = sums.level_layers[level] / layers
    return found
