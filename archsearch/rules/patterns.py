"""What a network is built from, read off its graph alone: names are never looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Op, Shape
from archsearch.readings.cost import training_only
from archsearch.readings.table import ELEMENTWISE

_SHORTCUT = frozenset(
    {"batch_norm", "pool", "pad_channels", "rescale", "dropout", "drop_path", "pad", "crop"}
)


def counted_flops(op: Op, inputs: tuple[Shape, ...], output: Shape) -> int:
    """Return the FLOPs that count towards a budget: those of convolutions and dense layers."""
    product = op.product(inputs, output)
    return product.flops() if product else 0


class Block(NamedTuple):
    """A residual block: what is added at `add` to what came in at `entry`.

    `shortcut` and `branch` are the nodes in between, in the order they run; an identity has none.
    """

    entry: int
    add: int
    shortcut: tuple[int, ...]
    branch: tuple[int, ...]


class Level(NamedTuple):
    """A stretch of the network at one resolution: its nodes, its last map all data passes through."""

    side: tuple[int, int]
    nodes: range
    last: int


@dataclass(frozen=True)
class View:
    """A graph with what rules ask about it, computed once."""

    graph: Graph

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The graph's nodes."""
        return self.graph.nodes

    @cached_property
    def users(self) -> tuple[tuple[int, ...], ...]:
        """For each node, the nodes that use its output."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for i in dict.fromkeys(node.inputs):
                found[i].append(index)
        return tuple(tuple(users) for users in found)

    @cached_property
    def unused(self) -> frozenset[int]:
        """Nodes of auxiliary classifiers: in training only."""
        return training_only(self.graph)

    def kind(self, index: int) -> str:
        """Return a node's kind."""
        return self.nodes[index].op.kind

    def channels(self, index: int) -> int:
        """Return the channels a node puts out."""
        return known(self.nodes[index].shape[-1])

    def channels_in(self, index: int) -> int:
        """Return the channels a node is given."""
        return self.channels(self.nodes[index].inputs[0])

    def conv(self, index: int) -> ops.Conv:
        """Return a node's op, a convolution."""
        op = self.nodes[index].op
        assert isinstance(op, ops.Conv)
        return op

    def filters(self, index: int) -> int:
        """Return a convolution's filters."""
        return known(self.conv(index).filters)

    def groups(self, index: int) -> int:
        """Return a convolution's groups."""
        return known(self.conv(index).groups)

    def flops(self, index: int) -> int:
        """Return a node's FLOPs (convolutions and dense layers)."""
        node = self.nodes[index]
        return counted_flops(node.op, self.graph.input_shapes(node), node.shape)

    @cached_property
    def convs(self) -> tuple[int, ...]:
        """Convolutions on maps, in use: those of a gate, on 1×1 maps, are left out."""
        return tuple(
            i
            for i, node in enumerate(self.nodes)
            if isinstance(node.op, ops.Conv)
            and i not in self.unused
            and self.nodes[node.inputs[0]].shape[:2] != (1, 1)
        )

    @cached_property
    def _on_maps(self) -> frozenset[int]:
        nodes = self.nodes
        return frozenset(
            i
            for i, node in enumerate(nodes)
            if isinstance(node.op, ops.Conv) and nodes[node.inputs[0]].shape[:2] != (1, 1)
        )

    def is_conv(self, index: int) -> bool:
        """Say whether a node is a convolution on a map."""
        return index in self._on_maps

    def is_depthwise(self, index: int) -> bool:
        """Say whether a convolution works on each channel alone."""
        return self.groups(index) == self.channels_in(index) > 1

    def is_spatial(self, index: int) -> bool:
        """Say whether a convolution looks at more than one position."""
        return max(self.conv(index).kernel) > 1

    def is_full(self, index: int) -> bool:
        """Say whether every filter of a convolution sees every channel."""
        return self.groups(index) == 1

    def on_image(self, index: int) -> bool:
        """Say whether a convolution sees the image itself."""
        return self.nodes[
            self.back(self.nodes[index].inputs[0], ELEMENTWISE | {"pad"})
        ].op.kind == ("input")

    def back(self, index: int, kinds: frozenset[str]) -> int:
        """Return the first node at or before `index` whose kind is none of `kinds`."""
        while self.kind(index) in kinds:
            index = self.nodes[index].inputs[0]
        return index

    def only_user(self, index: int) -> int | None:
        """Return the one node that uses this output, or None."""
        users = self.users[index]
        return users[0] if len(users) == 1 else None

    def unit(self, index: int) -> tuple[int | None, int | None]:
        """Return the normalisation and the activation that directly follow a convolution."""
        norm = activation = None
        after = self.only_user(index)
        if after is not None and self.nodes[after].op.normalizes:
            norm, after = after, self.only_user(after)
        if after is not None and self.kind(after) == "activation":
            activation = after
        return norm, activation

    def function(self, index: int) -> str:
        """Return the nonlinearity after a convolution, ReLU where there is none."""
        activation = self.unit(index)[1]
        op = self.nodes[activation].op if activation is not None else None
        return op.function if isinstance(op, ops.Activation) else "relu"

    @cached_property
    def has_norm(self) -> bool:
        """Say whether the network normalises batches."""
        return any(n.op.kind == "batch_norm" for n in self.nodes)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Residual blocks, in order."""
        return tuple(
            block
            for index, node in enumerate(self.nodes)
            if node.op.kind == "add" and len(node.inputs) == 2 and index not in self.unused
            for block in self._block(index, node)
        )

    def _block(self, add: int, node: Node) -> Iterator[Block]:
        for side in (0, 1):
            at, end = node.inputs[side], node.inputs[1 - side]
            way: list[int] = []
            while True:
                branch = self.between(at, end)
                if branch is not None and any(self.is_conv(i) for i in branch):
                    yield Block(at, add, tuple(reversed(way)), branch)
                    return
                if not (self.kind(at) in _SHORTCUT or self._is_projection(at)):
                    break
                way.append(at)
                at = self.nodes[at].inputs[0]

    def _is_projection(self, index: int) -> bool:
        return self.is_conv(index) and not self.is_spatial(index)

    def between(self, start: int, end: int) -> tuple[int, ...] | None:
        """Return the nodes from `start` (left out) to `end`, or None if other data comes in."""
        found: set[int] = set()
        stack = [end]
        while stack:
            index = stack.pop()
            if index == start or index in found:
                continue
            if index < start or not self.nodes[index].inputs:
                return None
            found.add(index)
            stack.extend(self.nodes[index].inputs)
        return tuple(sorted(found)) if found else None

    def branch_convs(self, block: Block) -> tuple[int, ...]:
        """Return the convolutions of a block's branch; a gate's are left out."""
        return tuple(filter(self._on_maps.__contains__, block.branch))

    @cached_property
    def spine(self) -> tuple[int, ...]:
        """Nodes that all data passes through, from the image to the scores."""
        depth = [0] * len(self.nodes)
        above = [0] * len(self.nodes)
        for index, node in enumerate(self.nodes):
            if not node.inputs:
                continue
            meet = node.inputs[0]
            for other in node.inputs[1:]:
                way = other
                while meet != way:
                    if depth[meet] >= depth[way]:
                        meet = above[meet]
                    else:
                        way = above[way]
            above[index], depth[index] = meet, depth[meet] + 1
        spine = [len(self.nodes) - 1]
        while spine[-1]:
            spine.append(above[spine[-1]])
        return tuple(reversed(spine))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The network by resolution, only where it convolves."""
        maps = [i for i in self.spine if len(self.nodes[i].shape) == 3]
        maps = [i for i in maps if self.nodes[i].shape[:2] != (1, 1)]
        found: list[Level] = []
        start = 0
        for place, index in enumerate(maps):
            side = self._side(index)
            if place + 1 < len(maps) and self._side(maps[place + 1]) == side:
                continue
            level = Level(side, range(start, index + 1), index)
            start = index + 1
            if any(i in level.nodes for i in self.convs):
                found.append(level)
        return tuple(found)

    def _side(self, index: int) -> tuple[int, int]:
        high, wide = self.nodes[index].shape[:2]
        return known(high), known(wide)


def times(count: int, *, what: str) -> str:
    """Write `two 3×3`, `three layers`."""
    words = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
    return f"{words.get(count, str(count))} {what}"


def and_more(count: int) -> str:
    """Write ` (and 3 more)` where there is more than one."""
    return f" (and {count - 1} more)" if count > 1 else ""
