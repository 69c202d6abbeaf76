"""EfficientNet's rule: depth, width and resolution grow together, by one number φ.

Tan & Le 2019, arXiv 1905.11946, section 3.3.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from math import exp, inf, log
from typing import Final, NamedTuple

from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.tracer import Tensor
from archsearch.readings.table import ELEMENTWISE
from archsearch.rules.patterns import View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.rules.tolerance import exact_range

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""By what depth, width and resolution grow with φ; α·β²·γ² ≈ 2."""

B0_DEPTHS: Final = (1, 2, 2, 3, 3, 4, 1)
B0_WIDTHS: Final = (16, 24, 40, 80, 112, 192, 320)
B0_SIDE: Final = 224
"""The network that is scaled, EfficientNet-B0: blocks a stage, their widths, the images' side in pixels."""

_OFF: Final = 0.1
"""What each factor may be off: the published networks' are so by up to 8 %."""

_EIGHTS: Final = 4
"""Channels that rounding to a multiple of 8 may take."""


class Scale(NamedTuple):
    """How many times as deep, as wide and as large in resolution as B0 a network is."""

    depth: float
    width: float
    resolution: float


def compound_scaling(phi: float) -> Scale:
    """Return the factors of depth, width and resolution for φ: about 2^φ times the FLOPs.

    >>> depth, width, resolution = compound_scaling(1)
    >>> (depth, width, resolution), round(depth * width**2 * resolution**2, 2)
    ((1.2, 1.1, 1.15), 1.92)
    """
    return Scale(ALPHA**phi, BETA**phi, GAMMA**phi)


# --- what is in a network --------------------------------------------------------------------------


class _Blocks(NamedTuple):
    """A stage: its width, and its blocks' depthwise convolutions and linear projections."""

    width: int
    depthwise: tuple[int, ...]
    projections: tuple[int, ...]


def _stages(view: View) -> tuple[_Blocks, ...]:
    """Return the stages of a network of B0's kind, none of any other.

    Each of its depthwise convolutions is gated and ends in a 1×1; blocks of one width are a stage, of which
    there are seven.
    """
    depthwise = [i for i in view.convs if view.is_depthwise(i) and view.is_spatial(i)]
    pairs = []
    for index in depthwise:
        projection = _projection(view, index)
        if projection is None:
            return ()
        pairs.append((index, projection))
    stages = []
    for width, grouped in groupby(pairs, key=lambda pair: view.filters(pair[1])):
        same = tuple(grouped)
        stages.append(_Blocks(width, tuple(d for d, _ in same), tuple(p for _, p in same)))
    return tuple(stages) if len(stages) == len(B0_DEPTHS) else ()


def _projection(view: View, index: int) -> int | None:
    """Return the 1×1 behind a depthwise convolution and its gate."""
    at = view.unit(index)[1] or view.unit(index)[0] or index
    gates = [i for i in view.users[at] if view.kind(i) == "multiply"]
    after = view.only_user(gates[0]) if gates else None
    return (
        after if after is not None and view.is_conv(after) and not view.is_spatial(after) else None
    )


def _side(view: View) -> int:
    """Return the shorter side, in pixels, that the first convolution sees."""
    height, width = view.nodes[view.nodes[view.convs[0]].inputs[0]].shape[:2]
    return min(known(height), known(width))


# --- what φ each of the three says -----------------------------------------------------------------


def _widths(stages: Sequence[_Blocks]) -> tuple[float, float]:
    """Return the least and the most that B0's widths were multiplied by."""
    ranges = []
    for stage, width in zip(stages, B0_WIDTHS, strict=True):
        low, high = exact_range(stage.width)
        ranges.append(
            (min(low, stage.width - _EIGHTS) / width, max(high, stage.width + _EIGHTS) / width)
        )
    return max(low for low, _ in ranges), min(high for _, high in ranges)


def _depths(stages: Sequence[_Blocks]) -> tuple[float, float]:
    """Return the least and the most that B0's depths were multiplied by, rounded either way."""
    low, high = 0.0, inf
    for stage, depth in zip(stages, B0_DEPTHS, strict=True):
        count = len(stage.depthwise)
        low, high = max(low, (count - 1) / depth), min(high, (count + 1) / depth)
    return low, high


def _phis(factors: tuple[float, float], base: float) -> tuple[float, float]:
    """Return the least and the most φ for these factors of one dimension, each up to _OFF."""
    low, high = factors
    least = log(low * (1 - _OFF)) / log(base) if low > 0 else -inf
    return least, log(high * (1 + _OFF)) / log(base)


def _look(view: View) -> Iterator[Breach]:
    stages = _stages(view)
    if not stages:
        return
    widths, depths, resolution = _widths(stages), _depths(stages), _side(view) / B0_SIDE
    if widths[0] > widths[1]:
        return  # widths of its own: it is no scaled B0
    phis = (
        _phis(depths, ALPHA) if depths[0] <= depths[1] else (inf, -inf),
        _phis(widths, BETA),
        _phis((resolution, resolution), GAMMA),
    )
    if max(low for low, _ in phis) <= min(high for _, high in phis):
        return
    width = exp((log(widths[0]) + log(widths[1])) / 2)
    phi = log(width) / log(BETA)
    wanted = compound_scaling(phi)
    deep = sum(len(stage.depthwise) for stage in stages) / sum(B0_DEPTHS)
    yield Breach(
        view.convs[0],
        f"{deep:.2g} times as deep as EfficientNet-B0, {width:.2g} times as wide, {resolution:.2g} times "
        "the resolution",
        f"at this width φ is {phi:.2g}: {wanted.depth:.2g} times the depth and {wanted.resolution:.2g} "
        "times the resolution balance it,",
        {**_deepened(view, stages, wanted.depth), **_resized(view, wanted.resolution)},
    )


# --- what to write instead -------------------------------------------------------------------------


def _resized(view: View, resolution: float) -> dict[int, Edit]:
    """Return the first convolution, on images of another size."""
    first = view.convs[0]
    height, width = (known(side) for side in view.graph.input[:2])
    scale = round(B0_SIDE * resolution) / min(height, width)
    size = (round(height * scale), round(width * scale))
    return {first: Edit((0,), partial(_on_resized, op=view.nodes[first].op, size=size))}


def _on_resized(net: Pen, x: Tensor, *, op: ops.Op, size: tuple[int, int]) -> Tensor:
    return net.write(op, x if x.shape[:2] == size else net.resize(x, size))


def _deepened(view: View, stages: Sequence[_Blocks], depth: float) -> dict[int, Edit]:
    """Return blocks left out at stages' ends, or blocks like the last one behind them."""
    edits: dict[int, Edit] = {}
    entries = {block.add: block.entry for block in view.blocks}
    for stage, blocks in zip(stages, B0_DEPTHS, strict=True):
        wanted = max(1, round(blocks * depth))
        ends = [_end(view, i) for i in stage.projections]
        for end in ends[wanted:]:
            if end in entries:
                edits[end] = Edit((entries[end],), _nothing)
        if wanted > len(ends):
            last, inner = ends[-1], stage.depthwise[-1]
            write = partial(
                _repeated, op=view.nodes[last].op, like=view.conv(inner), function=view.function(inner),
                widening=_widening(view, inner), count=wanted - len(ends),
            )  # fmt: skip
            edits[last] = Edit(view.nodes[last].inputs, write)
    return edits


def _end(view: View, projection: int) -> int:
    """Return a block's last layer: the addition, or the normalisation of a block without one."""
    norm = view.unit(projection)[0]
    last = projection if norm is None else norm
    after = view.only_user(last)
    if after is not None and view.kind(after) == "drop_path":
        last, after = after, view.only_user(after)
    return after if after is not None and view.kind(after) == "add" else last


def _widening(view: View, depthwise: int) -> int:
    """Return by what a block widens its input before its depthwise convolution."""
    before = view.back(view.nodes[depthwise].inputs[0], ELEMENTWISE | {"pad"})
    if not view.is_conv(before) or view.is_spatial(before):
        return 1
    return max(1, round(view.filters(before) / view.channels_in(before)))


def _repeated(
    net: Pen, *xs: Tensor, op: ops.Op, like: ops.Conv, function: str, widening: int, count: int
) -> Tensor:
    x = net.write(op, *xs)
    width = known(x.channels)
    for index in range(count):
        with net.scope(f"block{index + 1}"):
            y = x
            if widening > 1:
                y = net.batch_norm(net.conv(y, width * widening, kernel=1))
                y = net.activation(y, function)
            inner = known(y.channels)
            y = net.conv(y, inner, kernel=like.kernel, groups=inner)
            y = net.activation(net.batch_norm(y), function)
            gate = net.conv(
                net.global_avg_pool(y, keep_map=True), max(1, width // 4), kernel=1, bias=True
            )
            gate = net.conv(net.activation(gate, function), inner, kernel=1, bias=True)
            y = net.multiply(y, net.activation(gate, "sigmoid"))
            x = net.add(x, net.batch_norm(net.conv(y, width, kernel=1)))
    return x


def _nothing(net: Pen, x: Tensor) -> Tensor:
    return x


RULES = (
    Rule(
        name="compound-scaling",
        statement="To make a network larger, grow depth, width and resolution together, each by a constant "
        "factor a step.",
        source=Source("EfficientNet", "Tan & Le 2019, arXiv 1905.11946", "section 3.3, equation 3"),
        look=_look,
        equation=compound_scaling,
        formula="depth α^φ, width β^φ, resolution γ^φ; α·β²·γ² ≈ 2: α = 1.2, β = 1.1, γ = 1.15",
        tolerance=f"each factor within {_OFF:.0%}, after depths were rounded either way and widths to "
        "multiples of 8",
    ),
)
