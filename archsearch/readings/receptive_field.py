"""How much of the image each layer's output sees.

r' = r + (k − 1)·j and j' = j·s, with j the distance of neighbouring outputs in image pixels
(Araujo et al. 2019, "Computing receptive fields of convolutional neural networks").
"""

from math import ceil
from typing import NamedTuple

from archsearch.ir.graph import Graph
from archsearch.ir.ops import Conv, GlobalPool, Pool, Resize


class Field(NamedTuple):
    """Receptive field and output spacing in image pixels, (vertical, horizontal).

    Whole numbers, unless images are scaled inside the network.
    """

    size: tuple[float, float]
    jump: tuple[float, float]


def receptive_fields(graph: Graph) -> tuple[Field, ...]:
    """Return each node's field, unbounded by the image; joined branches give the largest."""
    fields: list[Field] = []
    for node in graph.nodes:
        op = node.op
        if not node.inputs:
            fields.append(Field((1, 1), (1, 1)))
            continue
        before = [fields[i] for i in node.inputs]
        size = (max(f.size[0] for f in before), max(f.size[1] for f in before))
        jump = (max(f.jump[0] for f in before), max(f.jump[1] for f in before))
        if isinstance(op, Conv | Pool):
            dilation = op.dilation if isinstance(op, Conv) else (1, 1)
            size = (
                size[0] + (op.kernel[0] - 1) * dilation[0] * jump[0],
                size[1] + (op.kernel[1] - 1) * dilation[1] * jump[1],
            )
            jump = (jump[0] * op.stride[0], jump[1] * op.stride[1])
        elif isinstance(op, GlobalPool):
            high, wide, _ = graph.nodes[node.inputs[0]].shape
            size = (size[0] + (high - 1) * jump[0], size[1] + (wide - 1) * jump[1])  # type: ignore[operator]
        elif isinstance(op, Resize):
            # A scaled pixel lies between two neighbours and sees both.
            high, wide, _ = graph.nodes[node.inputs[0]].shape
            size = (size[0] + jump[0], size[1] + jump[1])
            jump = (jump[0] * high / op.size[0], jump[1] * wide / op.size[1])  # type: ignore[operator]
        fields.append(Field(size, jump))
    return tuple(fields)


def receptive_field(graph: Graph) -> int:
    """Return the receptive field, in pixels, of the last feature map (the longer side)."""
    fields = receptive_fields(graph)
    maps = [
        i for i, n in enumerate(graph.nodes) if len(n.shape) == 3 and n.op.kind != "global_pool"
    ]
    return ceil(max(fields[maps[-1]].size))
