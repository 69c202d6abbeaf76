"""Views of an image: scaled and mirrored, as a part of the network that looks at it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from archsearch.errors import GraphError, UserError
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Mirror, Resize
from archsearch.readings.cost import training_only

_LEAST: Final = 0.25
_MOST: Final = 4.0


@dataclass(frozen=True, slots=True)
class View:
    """How a network is shown its image.

    Attributes:
        scale: the factor of its height and width.
        mirrored: whether left and right are exchanged.
    """

    scale: float = 1.0
    mirrored: bool = False

    def __str__(self) -> str:
        return f"scale {self.scale:g}{', mirrored' if self.mirrored else ''}"


PLAIN: Final = View()
"""The image as it is."""


def views_of(scales: Sequence[float], *, mirror: bool) -> tuple[View, ...]:
    """Return every scale once, in the order given, and with `mirror` each mirrored, too.

    Raises:
        UserError: there is no scale, or one is out of range.
    """
    for scale in scales:
        if not (math.isfinite(scale) and _LEAST <= scale <= _MOST):
            raise UserError(
                f"a scale is {scale:g}, wanted {_LEAST:g} to {_MOST:g}, such as 0.9,1,1.1"
            )
    if not scales:
        raise UserError("no scale is given, wanted some such as 0.9,1,1.1")
    seen = dict.fromkeys(float(scale) for scale in scales)
    ways = (False, True) if mirror else (False,)
    return tuple(View(scale, mirrored) for scale in seen for mirrored in ways)


def viewing(graph: Graph, view: View) -> Graph:
    """Return a network that takes the same images and looks at them so; its weights are the same, by layer.

    What is there for training only is left out. A scaled image is one of another size: so networks are tested
    at several scales (He et al. 2016, section 4.1), where all that comes before the classifier is
    convolutions and pools.

    Raises:
        UserError: a layer's weights go by the size of the image.
    """
    if view == PLAIN:
        return graph
    height, width, channels = graph.input
    size = (max(1, round(height * view.scale)), max(1, round(width * view.scale)))
    nodes = [graph.nodes[0]]
    if size != (height, width):
        nodes.append(Node("view.resize", Resize(size), (0,), (*size, channels)))
    if view.mirrored:
        nodes.append(Node("view.mirror", Mirror(), (len(nodes) - 1,), (*size, channels)))
    skipped, places = training_only(graph), {0: len(nodes) - 1}
    for index, node in enumerate(graph.nodes):
        if index == 0 or index in skipped:
            continue
        inputs = tuple(places[i] for i in node.inputs)
        shapes = tuple(nodes[i].shape for i in inputs)
        try:
            shape = node.op.infer(*shapes)
            same = node.op.weights(shapes) == node.op.weights(graph.input_shapes(node))
        except GraphError:
            same = False
        if not same:
            raise UserError(
                f"{graph.name} can't look at scale {view.scale:g}: {node.name} takes maps of one size; "
                "try --mirror alone, or networks that end in global pooling"
            )
        nodes.append(Node(node.name, node.op, inputs, shape))
        places[index] = len(nodes) - 1
    return Graph(graph.name, tuple(nodes))
