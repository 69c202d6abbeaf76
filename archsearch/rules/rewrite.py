"""The same network with some layers written differently: how a rule shows what following it would cost."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from archsearch.ir import ops
from archsearch.ir.channels import Width, known
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Op
from archsearch.ir.tracer import Tensor, Tracer

_NOTHING: Mapping[int, Op] = {}


class Pen(Tracer):
    """A tracer that can also write a ready-made op."""

    def write(self, op: Op, *xs: Tensor) -> Tensor:
        """Add `op`."""
        return self._add(op, *xs, name=None)

    def copy(self, node: Node, op: Op, xs: tuple[Tensor, ...]) -> Tensor:
        """Add a node under its own name."""
        return self._add(op, *xs, name=node.name)


class Edit(NamedTuple):
    """What stands in a node's place: `write(pen, *tensors)` on the outputs of the nodes `inputs`."""

    inputs: tuple[int, ...]
    write: Callable[..., Tensor]


def rewrite(graph: Graph, edits: Mapping[int, Edit], changed: Mapping[int, Op] = _NOTHING) -> Graph:
    """Return the network with `edits` written in place of nodes and `changed` ops; the rest follows.

    What only served replaced layers is left out. Depthwise convolutions, channel padding and reshaped
    gates follow the width they are given.

    Raises:
        GraphError: the rest does not fit what was written.
    """
    nodes = graph.nodes
    last = len(nodes) - 1
    used = {last, *graph.auxiliary}
    for index in range(last, -1, -1):
        if index in used:
            used.update(edits[index].inputs if index in edits else nodes[index].inputs)
    pen = Pen(graph.name, graph.input)
    tensors: dict[int, Tensor] = {0: pen.input}
    for index in sorted(used - {0}):
        node = nodes[index]
        if index in edits:
            with pen.scope(node.name):
                given = [tensors[i] for i in edits[index].inputs]
                tensors[index] = edits[index].write(pen, *given)
        else:
            given_here = tuple(tensors[i] for i in node.inputs)
            op = changed.get(index)
            if op is None:
                op = _followed(node, graph.input_shapes(node)[0], given_here[0].shape)
            tensors[index] = pen.copy(node, op, given_here)
        if index in graph.auxiliary:
            pen.auxiliary(tensors[index])
    return pen.finish(tensors[last])


def _followed(node: Node, before: tuple[Width, ...], now: tuple[Width, ...]) -> Op:
    op = node.op
    if before == now:
        return op
    old, new = before[-1], now[-1]
    if isinstance(op, ops.Conv) and old == op.groups != 1:
        return replace(op, groups=new, filters=int(op.filters // old) * new)  # type: ignore[operator]
    if isinstance(op, ops.Reshape) and len(op.target) == 3 and len(now) == 1:
        return replace(op, target=(1, 1, known(new)))
    return op
