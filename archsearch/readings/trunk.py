"""The nodes that everything passes through: where a network's stages end, whatever its layers are called."""

from archsearch.ir.graph import Graph, Node
from archsearch.readings.cost import training_only


def stage_ends(graph: Graph) -> tuple[Node, ...]:
    """Return the last map of each resolution through which all that reaches the classes passes.

    A map inside a block, which a shortcut goes around, is none; nor is the image, or a map of one pixel.
    """
    skip = training_only(graph) if graph.auxiliary else frozenset()
    last_use = list(range(len(graph)))
    for index, node in enumerate(graph.nodes):
        if index not in skip:
            for source in node.inputs:
                last_use[source] = index
    ends: dict[tuple[object, ...], Node] = {}
    open_until = 0  # the last use of what was made before this node
    for index, node in enumerate(graph.nodes):
        if index in skip:
            continue
        is_map = len(node.shape) == 3 and node.shape[:2] != (1, 1)
        if index and is_map and open_until <= index:
            ends[node.shape[:2]] = node
        open_until = max(open_until, last_use[index])
    return tuple(ends.values())
