"""NAS-Bench-201's networks as Graphs (Dong & Yang 2020, arXiv:2001.00326, section 2).

Three stages have five cells each. A cell has four maps; the operations on its six edges are what is
searched. Edges that lead nowhere are left out, in the paper's code they cost and change nothing else.
Parameters equal those of the published table where no edge was left out.
"""

from collections.abc import Sequence

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tensor, Tracer

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
LAST = 3


def used(ops: Sequence[int]) -> set[int]:
    """Return the maps of a cell that lie on a way from its input to its output."""
    there, leads = {0}, {LAST}
    edges = [edge for edge, op in zip(EDGES, ops, strict=True) if op]
    for start, end in edges:  # in the order of their ends
        if start in there:
            there.add(end)
    for start, end in sorted(edges, key=lambda edge: -edge[0]):
        if end in leads:
            leads.add(start)
    return there & leads


def network(ops: Sequence[int], *, side: int = 32, classes: int = 10) -> Graph | None:
    """Return the network of a cell with these operations, by number; None where nothing comes through.

    Args:
        ops: of each edge, in the order of EDGES.
        side: of the images, in pixels.
        classes: that they are of.
    """
    maps = used(ops)
    if LAST not in maps:
        return None
    net = Tracer("cells", (side, side, 3))
    x = net.batch_norm(net.conv(net.input, 16, kernel=3))
    for filters in (16, 32, 64):
        if filters > 16:
            y = _conv(net, _conv(net, x, filters, 3, stride=2), filters, 3)
            x = net.add(y, net.conv(net.avg_pool(x, kernel=2), filters, kernel=1))
        for _ in range(5):
            x = _cell(net, x, ops, maps)
    x = net.global_avg_pool(net.relu(net.batch_norm(x)))
    return net.finish(net.dense(x, classes))


def _conv(net: Tracer, x: Tensor, filters: int, kernel: int, stride: int = 1) -> Tensor:
    return net.batch_norm(net.conv(net.relu(x), filters, kernel=kernel, stride=stride))


def _cell(net: Tracer, x: Tensor, ops: Sequence[int], maps: set[int]) -> Tensor:
    found = {0: x}
    for end in sorted(maps - {0}):
        came = [
            _edge(net, found[start], OPS[op])
            for (start, to), op in zip(EDGES, ops, strict=True)
            if to == end and op and start in maps
        ]
        found[end] = came[0] if len(came) == 1 else net.add(*came)
    return found[LAST]


def _edge(net: Tracer, x: Tensor, op: str) -> Tensor:
    if op == "skip_connect":
        return x
    if op == "avg_pool_3x3":
        return net.avg_pool(x, kernel=3, stride=1, padding=1)
    filters = x.channels
    assert isinstance(filters, int)
    return _conv(net, x, filters, 1 if op == "nor_conv_1x1" else 3)
