"""A recorded network: nodes in the order they run, frozen."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from archsearch.ir.ops import Input, Op, Shape


class Node(NamedTuple):
    """One layer: its path (`stage1.block2.conv1`), op, the indices of its inputs, its output's shape."""

    name: str
    op: Op
    inputs: tuple[int, ...]
    shape: Shape

    @property
    def stage(self) -> str:
        """The first part of the path: the stem, a stage, the head."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Graph:
    """A network from its image (the first node) to its class scores (the last): no weights, no framework.

    Auxiliary classifiers end in `auxiliary` nodes: outputs used in training only.
    """

    name: str
    nodes: tuple[Node, ...]
    auxiliary: tuple[int, ...] = ()

    @property
    def input(self) -> tuple[int, int, int]:
        """The image's (height, width, channels)."""
        op = self.nodes[0].op
        assert isinstance(op, Input)
        return op.shape

    @property
    def classes(self) -> int:
        """The number of class scores, one raw score (logit) each."""
        count = self.nodes[-1].shape[0]
        assert isinstance(count, int)
        return count

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def input_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Return the shapes `node` is given."""
        return tuple(self.nodes[i].shape for i in node.inputs)

    def dropping(self, share: float) -> "Graph":
        """Return the network with that share of what its layers drop by chance in training."""
        nodes = (node._replace(op=node.op.dropping(share)) for node in self.nodes)
        return replace(self, nodes=tuple(nodes))
