"""VGG's rules: small kernels in stacks, and channels that double as the map halves.

Simonyan & Zisserman 2014, arXiv 1409.1556, section 2.3; the lecture's VGG part.
"""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from math import prod

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.readings.cost import known
from archsearch.readings.table import ELEMENTWISE
from archsearch.rules.patterns import Level, View, times
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.rules.tolerance import STATED, in_ratio

_PAPER = "Simonyan & Zisserman 2014, arXiv 1409.1556"
WIDEST = 512
"""From this width on VGG lets a stage keep its channels."""


# --- 3×3 stacks ------------------------------------------------------------------------------------


def field_of(strides: Iterable[int], *, kernel: int = 3) -> int:
    """Return what a stack of `kernel`×`kernel` convolutions with these strides sees.

    >>> field_of((1, 1)), field_of((1, 1, 1)), field_of((2, 1, 2))
    (5, 7, 11)
    """
    field, jump = 1, 1
    for stride in strides:
        field += (kernel - 1) * jump
        jump *= stride
    return field


@lru_cache(maxsize=64)
def stack_strides(kernel: int, stride: int = 1) -> tuple[int, ...]:
    """Return the strides of the fewest 3×3 convolutions that see what one `kernel`×`kernel` sees.

    Where none sees exactly that, those that see more; () where no strides of up to 3 make `stride`.

    >>> stack_strides(5), stack_strides(7), stack_strides(11, 4)
    ((1, 1), (1, 1, 1), (2, 1, 2))
    """
    steps = range(1, min(stride, 3) + 1)  # a 3×3 with a larger stride skips pixels
    for fits in (operator.eq, operator.ge):
        for count in range(1, (kernel - 1) // 2 + 1):
            for strides in product(steps, repeat=count):
                if prod(strides) == stride and fits(field_of(strides), kernel):
                    return strides
    return ()


def _large_kernels(view: View) -> Iterator[Breach]:
    for index in view.convs:
        op, size = view.conv(index), view.conv(index).kernel[0]
        before = view.nodes[view.nodes[index].inputs[0]]
        covers = before.shape[:2] == op.kernel and not any(op.padding)  # a dense layer in disguise
        # Three colours are few channels: a 7×7 costs little there, and shrinks the image early.
        stem = view.on_image(index) and size <= 7
        if (
            size < 5
            or not size % 2
            or op.kernel[0] != op.kernel[1]
            or op.stride[0] != op.stride[1]
            or op.dilation != (1, 1)
            or view.is_depthwise(index)
            or covers
            or stem
        ):
            continue
        strides = stack_strides(size, op.stride[0])
        if not strides:
            continue
        seen = field_of(strides)
        inside, outside = view.channels_in(index), view.filters(index)
        widths = f"C={inside}" if inside == outside else f"{inside}→{outside} channels"
        at = f" stride {op.stride[0]}" if op.stride[0] > 1 else ""
        steps = f" (strides {', '.join(map(str, strides))})" if at else ""
        yield Breach(
            index,
            f"one {size}×{size}{at} ({widths})",
            f"{times(len(strides), what='3×3')}{steps} see {'the same ' * (seen == size)}{seen}×{seen}",
            {index: _stack_edit(view, index, strides)},
        )


def _stack_edit(view: View, index: int, strides: tuple[int, ...]) -> Edit:
    node, op = view.nodes[index], view.conv(index)
    side = view.nodes[node.inputs[0]].shape
    rows = _stack_padding(known(side[0]), op.padding[:2], strides, known(node.shape[0]))
    columns = _stack_padding(known(side[1]), op.padding[2:], strides, known(node.shape[1]))
    inside, outside, groups = view.channels_in(index), view.filters(index), view.groups(index)
    # Between them the narrower width; from an image, half the output's (as in Inception-v3's stem).
    middle = max(groups, outside // 2 // groups * groups) if inside <= 4 else min(inside, outside)
    norm, function = view.unit(index)[0], view.function(index)

    def write(net: Pen, x: Tensor) -> Tensor:
        for place, stride in enumerate(strides):
            last = place == len(strides) - 1
            filters = outside if last else middle
            pads = (*rows[place], *columns[place])
            x = net.write(ops.Conv(filters, (3, 3), (stride, stride), pads, groups, op.bias), x)
            if not last:
                x = net.batch_norm(x) if norm is not None else x
                x = net.activation(x, function)
        return x

    return Edit(node.inputs, write)


@lru_cache(maxsize=256)
def _stack_padding(
    side: int, padding: tuple[int, int], strides: tuple[int, ...], wanted: int
) -> tuple[tuple[int, int], ...]:
    """Return (before, after) for each 3×3, so that the stack's map has `wanted` pixels.

    The first window starts where the large kernel's starts, wherever that can be had.
    """
    jumps = [prod(strides[:i]) for i in range(len(strides))]
    starts = sorted(
        product((1, 0, 2), repeat=len(strides)),
        key=lambda pads: abs(sum(p * j for p, j in zip(pads, jumps, strict=True)) - padding[0]),
    )
    for before in starts:
        for after in product((1, 0, 2), repeat=len(strides)):
            out = side
            for b, a, stride in zip(before, after, strides, strict=True):
                out = (out + b + a - 3) // stride + 1
            if out == wanted:
                return tuple(zip(before, after, strict=True))
    return ((0, 0),) * len(strides)  # nothing fits: the rest of the network will say so


# --- channel doubling ------------------------------------------------------------------------------


def flops_ratio(channels: float, shrink: float = 2) -> float:
    """Return a layer's FLOPs after a pool over those before: `channels` times as many, map / `shrink`.

    H/2 · W/2 · (2C)² = H · W · C²: doubling keeps FLOPs equal, halves memory, multiplies weights by 4.

    >>> flops_ratio(2), flops_ratio(1), flops_ratio(4)
    (1.0, 0.25, 4.0)
    """
    return channels**2 / shrink**2


def _widths(view: View) -> Iterator[Breach]:
    levels = [level for level in view.levels if not _is_stem(view, level)]
    for above, below in pairwise(levels):
        if any(_does_not_apply(view, level) for level in (above, below)):
            continue
        shrink = above.side[0] / below.side[0]
        before, after = (view.channels(_end(view, level)) for level in (above, below))
        wanted = 2 * before
        if not 1.5 < shrink < 3 or in_ratio(before, after, 2):
            continue
        if before >= WIDEST and after == before:
            continue  # VGG's own last stage
        edits, changed = _scaled(view, below, wanted, after)
        if not changed:  # paths too wide to scale
            continue
        yield Breach(
            min(changed),
            f"{before} → {after} channels (× {after / before:.3g}) as the map shrinks "
            f"{above.side[0]}×{above.side[1]} → {below.side[0]}×{below.side[1]}",
            f"doubling to {wanted} keeps each layer's FLOPs equal,",
            edits,
            changed,
        )


def _end(view: View, level: Level) -> int:
    """Return the node that gives a level its width.

    That is its last one, or what comes before a 1×1 which only leads to the next, strided convolution (the
    narrow or wide inside of a block without a shortcut) or to the head. A 1×1 behind a larger kernel ends
    its own block.
    """
    after = view.only_user(level.last)
    inside = view.back(level.last, ELEMENTWISE)
    if after is None or not (
        view.kind(after) == "global_pool" or (view.is_conv(after) and view.is_spatial(after))
    ):
        return level.last
    if not view.is_conv(inside) or view.is_spatial(inside):
        return level.last
    before = view.nodes[inside].inputs[0]
    source = view.back(before, ELEMENTWISE)
    return level.last if view.is_conv(source) and view.is_spatial(source) else before


def _is_stem(view: View, level: Level) -> bool:
    """Say whether a level belongs to a stem that shrinks a large image."""
    first = view.convs[0]
    early = min(view.graph.input[:2]) >= 96 and 4 * level.side[0] > view.graph.input[0] + 3
    if early and view.on_image(first) and view.conv(first).stride[0] > 1:
        return True
    spatial = [i for i in view.convs if i in level.nodes and view.is_spatial(i)]
    return len(spatial) == 1 and view.on_image(spatial[0]) and view.conv(spatial[0]).stride[0] > 1


def _does_not_apply(view: View, level: Level) -> bool:
    """Class scores, widths that grow by concatenation and depthwise layers follow other rules."""
    scores = not any(
        i > level.last and n.op.kind in {"conv", "dense"} for i, n in enumerate(view.nodes)
    )
    if scores and level.last == max(lev.last for lev in view.levels):
        return True
    return any(
        view.kind(i) == "concat" or (view.is_conv(i) and view.is_depthwise(i)) for i in level.nodes
    )


def _scaled(
    view: View, level: Level, wanted: int, now: int
) -> tuple[dict[int, Edit], dict[int, ops.Op]]:
    """Scale the convolutions of a level so that it puts out `wanted` channels, none wider than it must be."""
    step = max(view.groups(i) for i in view.convs if i in level.nodes)
    edits: dict[int, Edit] = {}
    changed: dict[int, ops.Op] = {}
    for index in level.nodes:
        node = view.nodes[index]
        if isinstance(node.op, ops.Conv):
            filters = known(node.op.filters)
            scaled = max(step, round(filters * wanted / now / step) * step)
            if (
                wanted > now
            ):  # AlexNet's conv3 has twice the channels already: conv4 and conv5 have not
                scaled = min(scaled, max(filters, wanted))
            if scaled != filters:
                changed[index] = replace(node.op, filters=scaled)
        elif isinstance(node.op, ops.PadChannels):
            edits[index] = Edit(node.inputs, Padder(wanted))
    return edits, changed


class Padder:
    """Pads a map with zero channels up to a width."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted

    def __call__(self, net: Pen, x: Tensor) -> Tensor:
        """Write it."""
        more = self.wanted - known(x.channels)
        return net.pad_channels(x, before=more // 2, after=more - more // 2)


RULES = (
    Rule(
        name="3x3-stacks",
        statement="Stack 3×3 convolutions instead of using larger kernels: they see as much, with "
        "fewer weights and more nonlinearity.",
        source=Source("VGG", _PAPER, "section 2.3"),
        look=_large_kernels,
        equation=field_of,
        formula="two 3×3 see 5×5: 18C² < 25C²; three see 7×7: 27C² < 49C²",
        tolerance="a 7×7 or smaller on the image itself",
    ),
    Rule(
        name="channel-doubling",
        statement="Double the channels whenever pooling halves the map, so that every layer costs "
        "the same FLOPs.",
        source=Source("VGG", _PAPER, "section 2.1"),
        look=_widths,
        equation=flops_ratio,
        formula="(H/2)(W/2)(2C)² = HWC²",
        tolerance=f"{STATED}; from {WIDEST} channels on a stage may keep its width",
    ),
)
