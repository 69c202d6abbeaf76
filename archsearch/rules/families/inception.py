"""GoogLeNet's rules: shrink the image early, narrow before large kernels, pool instead of dense layers.

Szegedy et al. 2014, arXiv 1409.4842; 1×1 convolutions and global pooling first in Lin et al. 2014 (NiN,
arXiv 1312.4400); the lecture's GoogLeNet part.
"""

from collections.abc import Iterator
from functools import partial
from math import ceil

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.readings.cost import cost, elements_of, known
from archsearch.readings.table import ELEMENTWISE
from archsearch.rules.patterns import View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.units import format_count

_PAPER = "Szegedy et al. 2014, arXiv 1409.4842"
LARGE_SIDE = 96
"""From this side on (pixels) an image is large enough for a stem."""


# --- the stem --------------------------------------------------------------------------------------


def _stem(view: View) -> Iterator[Breach]:
    high, wide, _ = view.graph.input
    quarter = (ceil(high / 4), ceil(wide / 4))
    maps = (i for i in view.spine if len(view.nodes[i].shape) == 3)
    small = (i for i in maps if known(view.nodes[i].shape[0]) <= quarter[0])
    end = next(small, None)
    if min(high, wide) < LARGE_SIDE or end is None or view.nodes[end].shape[0] == 1:
        return
    early = [i for i in view.convs if known(view.nodes[i].shape[0]) > quarter[0]]
    spent, total = sum(view.flops(i) for i in early), cost(view.graph).flops
    first = early[0] if early else 0
    strided = bool(early) and view.on_image(first) and view.conv(first).stride[0] > 1
    if 2 * spent <= total or early[-1] > end or (strided and len(early) <= 3):
        return
    filters, norm = view.channels(end), view.has_norm

    def write(net: Pen, x: Tensor) -> Tensor:
        x = net.conv(x, filters, kernel=7, stride=2, bias=not norm)
        x = net.relu(net.batch_norm(x) if norm else x)
        return net.max_pool(x, kernel=3, stride=2, padding="same")

    yield Breach(
        early[0],
        f"{len(early)} convolutions before the map is a quarter of {high}×{wide} take "
        f"{100 * spent / total:.0f} % of all FLOPs",
        "one 7×7 stride 2 and a pool get there",
        {end: Edit((0,), write)},
    )


# --- the head --------------------------------------------------------------------------------------


def _head(view: View) -> Iterator[Breach]:
    for index, node in enumerate(view.nodes):
        if node.op.kind != "flatten" or index in view.unused:
            continue
        before = node.inputs[0]
        high, wide, channels = (known(n) for n in view.nodes[before].shape)
        dense = _dense_chain(view, index)
        if high * wide == 1 or not dense or dense[-1] != len(view.nodes) - 1:
            continue
        params = sum(elements_of(view.nodes[i].shape) * (view.channels_in(i) + 1) for i in dense)
        total = cost(view.graph).params
        yield Breach(
            dense[0],
            f"{len(dense)} dense layer{'s' * (len(dense) > 1)} on {high}×{wide}×{channels} = "
            f"{high * wide * channels:,} numbers hold {format_count(params)} of "
            f"{format_count(total)} parameters",
            "global average pooling and one dense layer do it",
            {dense[-1]: Edit((before,), partial(_pooled, classes=view.graph.classes))},
        )


def _pooled(net: Pen, x: Tensor, *, classes: int) -> Tensor:
    return net.dense(net.global_avg_pool(x), classes)


def _dense_chain(view: View, index: int) -> list[int]:
    """Return the dense layers after a flatten, as long as nothing else comes in."""
    found: list[int] = []
    at = view.only_user(index)
    while at is not None and (view.kind(at) == "dense" or view.kind(at) in ELEMENTWISE):
        if view.kind(at) == "dense":
            found.append(at)
        at = view.only_user(at)
    return found


# --- 1×1 bottlenecks -------------------------------------------------------------------------------


def bottleneck_flops(positions: int, inside: int, kernel: int, filters: int, narrow: int) -> int:
    """Return the FLOPs of a 1×1 to `narrow` channels and a kernel×kernel convolution behind it.

    >>> bottleneck_flops(28 * 28, 256, 5, 96, 64) < 28 * 28 * 25 * 256 * 96
    True
    """
    return positions * (inside * narrow + kernel**2 * narrow * filters)


def _bottleneck(view: View) -> Iterator[Breach]:
    for index, node in enumerate(view.nodes):
        if node.op.kind != "concat" or len(node.inputs) < 3 or index in view.unused:
            continue
        branches = [_branch(view, i) for i in node.inputs]
        forks = {fork for fork, _ in branches}
        if len(forks) != 1 or not all(ways for _, ways in branches):
            continue
        (fork,) = forks
        narrow = view.channels(fork) // 4
        wide, pools = [], []
        for _, way in branches:
            first = next((i for i in way if view.kind(i) in {"conv", "pool"}), None)
            if first is None:
                continue
            if view.kind(first) == "conv":
                if _is_wide(view, first, narrow):
                    wide.append(first)
            elif _keeps_map(view, first) and not any(view.is_conv(i) for i in way):
                pools.append(first)
        if not wide and not pools:
            continue
        first = min(wide + pools)
        edits = {i: Edit(view.nodes[i].inputs, _narrowed(view, i, narrow)) for i in wide}
        edits |= {i: Edit(view.nodes[i].inputs, _pooled_narrow(view, i, narrow)) for i in pools}
        what = [f"{view.conv(i).kernel[0]}×{view.conv(i).kernel[1]}" for i in wide]
        what += ["pooling"] * len(pools)
        yield Breach(
            first,
            f"{' and '.join(what)} on all {view.channels(fork)} channels of the module",
            f"1×1 convolutions to {narrow} channels first (after a pool) do it",
            edits,
        )


def _branch(view: View, end: int) -> tuple[int, list[int]]:
    """Return where a branch forks off, and its nodes from there on."""
    way: list[int] = []
    at = end
    while len(view.nodes[at].inputs) == 1 and len(view.users[at]) == 1:
        way.append(at)
        at = view.nodes[at].inputs[0]
    return at, way[::-1]


def _keeps_map(view: View, index: int) -> bool:
    node = view.nodes[index]
    return node.shape == view.nodes[node.inputs[0]].shape


def _is_wide(view: View, index: int, narrow: int) -> bool:
    op, inside = view.conv(index), view.channels_in(index)
    size, filters = op.kernel[0] * op.kernel[1], view.filters(index)
    saves = inside * narrow + size * narrow * filters < size * inside * filters
    return size > 1 and inside >= 64 and view.is_full(index) and op.stride == (1, 1) and saves


def _narrowed(view: View, index: int, narrow: int) -> partial[Tensor]:
    return partial(_narrow_first, op=view.conv(index), filters=narrow, norm=view.has_norm)


def _pooled_narrow(view: View, index: int, narrow: int) -> partial[Tensor]:
    return partial(_narrow_after, op=view.nodes[index].op, filters=narrow, norm=view.has_norm)


def _narrow_first(net: Pen, x: Tensor, *, op: ops.Op, filters: int, norm: bool) -> Tensor:
    return net.write(op, _one_by_one(net, x, filters, norm))


def _narrow_after(net: Pen, x: Tensor, *, op: ops.Op, filters: int, norm: bool) -> Tensor:
    return _one_by_one(net, net.write(op, x), filters, norm)


def _one_by_one(net: Pen, x: Tensor, filters: int, norm: bool) -> Tensor:
    x = net.conv(x, filters, kernel=1, bias=not norm)
    return net.relu(net.batch_norm(x) if norm else x)


RULES = (
    Rule(
        name="aggressive-stem",
        statement="Shrink a large image to a quarter of its side or less in the first few layers: "
        "full resolution is where FLOPs and memory go.",
        source=Source("GoogLeNet", _PAPER, "section 5, table 1"),
        look=_stem,
    ),
    Rule(
        name="1x1-bottleneck",
        statement="Narrow the channels by a 1×1 convolution before a larger kernel, and after a "
        "pooling branch.",
        source=Source("NiN, GoogLeNet", _PAPER, "section 4, figure 2b"),
        look=_bottleneck,
        equation=bottleneck_flops,
        formula="HW(C·c + K²·c·F) instead of HW·K²·C·F",
    ),
    Rule(
        name="global-average-pooling-head",
        statement="End in global average pooling and one dense layer, not in a stack of dense "
        "layers on the flattened map.",
        source=Source("NiN, GoogLeNet", "Lin et al. 2014, arXiv 1312.4400", "section 3.2"),
        look=_head,
    ),
)
