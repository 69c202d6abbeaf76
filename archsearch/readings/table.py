"""The lecture's layer table of any network, as data: layer by layer, and one sum a stage.

Rendering lives in `archsearch.report`; this is what it renders and what `--json` prints.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.ir.ops import OPS, elements_of
from archsearch.readings.cost import (
    BYTES_PER_ELEMENT,
    cost,
    node_flops,
    node_params,
    training_only,
)
from archsearch.readings.receptive_field import receptive_field, receptive_fields

ELEMENTWISE = frozenset(kind for kind, op in OPS.items() if op.elementwise)
"""Kinds of layers that keep a map's shape and mix no channels; the lecture's tables leave them out."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the table.

    Attributes:
        name: its path.
        kind: its op's.
        output: its output's shape.
        activation_bytes: the output, as 32-bit floats.
        params: trainable parameters.
        flops: multiply-adds; a pool's comparisons or additions, too.
        counted: whether these FLOPs are in the network's: the budget counts conv and dense layers.
        receptive_field: how much of the image it sees, in pixels.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    activation_bytes: int
    params: int
    flops: int
    counted: bool
    receptive_field: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one stage costs, and as shares of the whole network."""

    stage: str
    activation_bytes: int
    params: int
    flops: int
    activation_share: float
    params_share: float
    flops_share: float


def layers(graph: Graph) -> tuple[Layer, ...]:
    """Return every layer of the network in use, the input left out."""
    skip = training_only(graph)
    fields = receptive_fields(graph)
    table = []
    for index, node in enumerate(graph.nodes):
        if not node.inputs or index in skip:
            continue
        shapes = graph.input_shapes(node)
        table.append(
            Layer(
                name=node.name,
                kind=node.op.kind,
                output=tuple(known(n) for n in node.shape),
                activation_bytes=elements_of(node.shape) * BYTES_PER_ELEMENT,
                params=node_params(node.op, shapes),
                flops=node_flops(node.op, shapes, node.shape),
                counted=node.op.product(shapes, node.shape) is not None,
                receptive_field=ceil(max(fields[index].size)),
            )
        )
    return tuple(table)


def stages(graph: Graph) -> tuple[Share, ...]:
    """Return where memory, parameters and FLOPs sit: one sum for each first part of the layers' paths."""
    sums: dict[str, list[int]] = {}
    stage = ""
    for layer in layers(graph):
        # In a network without stages every layer is one; what follows it in place belongs to it.
        if "." in layer.name or layer.kind not in ELEMENTWISE:
            stage = layer.name.partition(".")[0]
        total = sums.setdefault(stage, [0, 0, 0])
        total[0] += layer.activation_bytes
        total[1] += layer.params
        total[2] += layer.flops if layer.counted else 0
    whole = [max(1, sum(column)) for column in zip(*sums.values(), strict=True)]
    return tuple(
        Share(stage, *total, *(part / all_ for part, all_ in zip(total, whole, strict=True)))
        for stage, total in sums.items()
    )


def profile(graph: Graph) -> dict[str, Any]:
    """Return the whole profile as JSON values; shapes are [height, width, channels]."""
    total = cost(graph)
    return {
        "name": graph.name,
        "input": list(graph.input),
        "flops": total.flops,
        "params": total.params,
        "activation_bytes": total.activation_bytes,
        "receptive_field": receptive_field(graph),
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "output": list(layer.output),
                "activation_bytes": layer.activation_bytes,
                "params": layer.params,
                "flops": layer.flops,
                "receptive_field": layer.receptive_field,
            }
            for layer in layers(graph)
        ],
        "stages": [
            {
                "stage": s.stage,
                "activation_bytes": s.activation_bytes,
                "params": s.params,
                "flops": s.flops,
            }
            for s in stages(graph)
        ],
    }
