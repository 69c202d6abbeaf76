"""Last touches on a network read from Keras: it ends in class scores, and says padding where it is used."""

from math import prod

from archsearch.errors import GraphError
from archsearch.ir import ops
from archsearch.ir.graph import Graph, Node


def tidied(name: str, nodes: list[Node], out: int, lowest: set[int]) -> Graph:
    """Return the network that ends in class scores, padding folded into convolutions, dead ends dropped."""
    while isinstance(op := nodes[out].op, ops.Activation) and op.function == "softmax":
        out = nodes[out].inputs[0]
    if len(nodes[out].shape) != 1:
        raise GraphError(
            f"{name} ends in {nodes[out].shape}, no vector of class scores; add pooling and a dense layer"
        )
    nodes = _folded(nodes, lowest)
    used = {out}
    for index in range(out, -1, -1):
        if index in used:
            used.update(nodes[index].inputs)
    for index in used & lowest:
        raise GraphError(
            f"{nodes[index].name}: padding with −∞ is understood around a max pool only"
        )
    place = {old: new for new, old in enumerate(sorted(used))}
    kept = (nodes[old] for old in sorted(used))
    return Graph(name, tuple(n._replace(inputs=tuple(place[i] for i in n.inputs)) for n in kept))


def _folded(nodes: list[Node], lowest: set[int]) -> list[Node]:
    """Say padding where it is used, of channels too, and a reshaped global pool as one that keeps its map."""
    nodes = list(nodes)
    users: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for i in node.inputs:
            users.setdefault(i, []).append(index)
    for index, node in enumerate(nodes):
        if not node.inputs:
            continue
        before = node.inputs[0]
        op, given = node.op, nodes[before].op
        if (
            isinstance(given, ops.Pad)
            and isinstance(op, ops.Conv | ops.Pool)
            and _pads(nodes, before, op, before in lowest)
        ):
            padding = tuple(a + b for a, b in zip(given.padding, op.padding, strict=True))
            merged = _with_padding(op, padding)  # type: ignore[arg-type]
            nodes[index] = node._replace(op=merged, inputs=nodes[before].inputs)
        elif (
            isinstance(given, ops.GlobalPool)
            and isinstance(op, ops.Reshape)
            and node.shape == (1, 1, nodes[before].shape[-1])
            and users[before] == [index]
        ):
            merged = ops.GlobalPool(given.method, keep_map=True)
            nodes[index] = node._replace(op=merged, inputs=nodes[before].inputs)
        elif (
            isinstance(given, ops.Pad)
            and isinstance(op, ops.Reshape)
            and (source := _padded_as_columns(nodes, node, before)) is not None
        ):
            merged = ops.PadChannels(*given.padding[2:])
            nodes[index] = node._replace(op=merged, inputs=(source,))
    return nodes


def _padded_as_columns(nodes: list[Node], node: Node, pad: int) -> int | None:
    """Return the map whose channels `node` has padded, which were columns meanwhile; None: it has not."""
    columns = nodes[pad].inputs[0]
    if not isinstance(nodes[columns].op, ops.Reshape):
        return None
    (source,) = nodes[columns].inputs
    *sides, channels = nodes[source].shape
    *same_sides, padded = node.shape
    as_columns = [(prod(sides), width, 1) for width in (channels, padded)]
    found = [nodes[columns].shape, nodes[pad].shape]
    return source if same_sides == sides and found == as_columns else None


def _pads(nodes: list[Node], pad: int, op: ops.Conv | ops.Pool, lowest: bool) -> bool:
    """Say whether zeros before `op` are the same as its own padding."""
    if isinstance(op, ops.Conv):
        return not lowest
    source = nodes[nodes[pad].inputs[0]].op
    # A max pool's own padding is −∞; where nothing is below 0 that makes no difference.
    return (
        op.method == "max"
        and not any(op.padding)
        and (
            lowest
            or (
                isinstance(source, ops.Activation)
                and source.function in {"relu", "relu6", "sigmoid"}
            )
        )
    )


def _with_padding(op: ops.Conv | ops.Pool, padding: ops.Padding) -> ops.Op:
    if isinstance(op, ops.Conv):
        return ops.Conv(op.filters, op.kernel, op.stride, padding, op.groups, op.bias, op.dilation)
    return ops.Pool(op.method, op.kernel, op.stride, padding, op.count_padding)
