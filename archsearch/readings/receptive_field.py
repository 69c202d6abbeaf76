"""How much of the image each layer's output sees.

r' = r + (k − 1)·j and j' = j·s, with j the distance of neighbouring outputs in image pixels
(Araujo et al. 2019, "Computing receptive fields of convolutional neural networks").
"""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

from archsearch.ir.graph import Graph


class Field(NamedTuple):
    """Receptive field and output spacing in image pixels, (vertical, horizontal).

    Whole numbers, unless images are scaled inside the network.
    """

    size: tuple[int | Fraction, int | Fraction]
    jump: tuple[int | Fraction, int | Fraction]


def receptive_fields(graph: Graph) -> tuple[Field, ...]:
    """Return each node's field, unbounded by the image; joined branches give the largest."""
    fields: list[Field] = []
    for node in graph.nodes:
        if not node.inputs:
            fields.append(Field((1, 1), (1, 1)))
            continue
        before = [fields[i] for i in node.inputs]
        size = (max(f.size[0] for f in before), max(f.size[1] for f in before))
        jump = (max(f.jump[0] for f in before), max(f.jump[1] for f in before))
        (rows, columns), step = node.op.sees(graph.input_shapes(node))
        size = (size[0] + (rows - 1) * jump[0], size[1] + (columns - 1) * jump[1])
        fields.append(Field(size, (jump[0] * step[0], jump[1] * step[1])))
    return tuple(fields)


def receptive_field(graph: Graph) -> int:
    """Return the receptive field, in pixels, of the last feature map (the longer side)."""
    fields = receptive_fields(graph)
    maps = [
        i for i, n in enumerate(graph.nodes) if len(n.shape) == 3 and n.op.kind != "global_pool"
    ]
    return ceil(max(fields[maps[-1]].size))
