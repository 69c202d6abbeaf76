"""Names of a network's layers in Keras, which takes fewer characters than a Graph does.

PyTorch refuses a dot in a layer's name, TensorFlow what is no name of a scope, Keras a slash.
"""

import re
from typing import Any, Final

from archsearch.ir.graph import Graph

MODEL_NAME: Final = "archsearch_model"
"""What a model that is built from a Graph is called: its layers are named as here."""
_OTHERS: Final = re.compile(r"[^A-Za-z0-9_-]+")


class LayerNames:
    """Names of layers that every backend of Keras takes, each given once."""

    def __init__(self, graph: Graph) -> None:
        self._taken: set[str] = set()
        self.of_nodes = {node.name: self.part(node.name) for node in graph}
        """The layer's name by the node's."""

    def part(self, node: str, part: str = "") -> str:
        """Name one more layer after a node: of `stage1.conv1` it is `stage1-conv1`, a part's `…1-pad`."""
        text = f"{node}.{part}" if part else node
        wanted = _OTHERS.sub("_", text.replace(".", "-")) or "layer"
        name, number = wanted, 1
        while name.lower() in self._taken:  # an archive's entries may be files of any system
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name.lower())
        return name


def layers_of(model: Any, graph: Graph) -> dict[str, Any]:
    """Return the layers of a network's Keras model by the names of its nodes; less those not built."""
    found = {layer.name: layer for layer in model.layers}
    names = LayerNames(graph).of_nodes
    return {node: found[layer] for node, layer in names.items() if layer in found}


def node_name(layer: str) -> str:
    """Return what a layer of a model called MODEL_NAME was named after, with its dots."""
    return layer.replace("-", ".")
