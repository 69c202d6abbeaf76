"""RegNet's widths: those of the blocks lie on a line, rounded to a few widths a constant factor apart.

Radosavovic et al. 2020, arXiv 2003.13678, section 3.3. Blocks of one width are a stage.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate, groupby, product
from math import inf, log, prod
from typing import Final, NamedTuple

from archsearch.errors import UserError
from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.rules.families.resnet import bottleneck_of
from archsearch.rules.patterns import Block, View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.rules.tolerance import SHARE, exact_range

_PAPER: Final = "Radosavovic et al. 2020, arXiv 2003.13678"

EIGHTS: Final = 4
"""Channels that rounding to a multiple of 8 may take; the paper does so before it rounds to whole groups."""


class Stage(NamedTuple):
    """Blocks of one width: the exact width, in channels, and how many there are."""

    width: float
    depth: int


def quantised_line(w_0: float, w_a: float, w_m: float, depth: int) -> tuple[Stage, ...]:
    """Return the stages that the line u_j = w_0 + w_a·j gives, each u_j moved to the next w_0·w_m^k.

    >>> [(round(s.width), s.depth) for s in quantised_line(24, 36.44, 2.49, 13)]
    [(24, 1), (60, 1), (149, 4), (371, 7)]

    Args:
        w_0: the first block's width, in channels.
        w_a: by how many channels the line rises a block.
        w_m: the factor from one width to the next.
        depth: the number of blocks.

    Raises:
        UserError: a number is out of its range: w_0 > 0, w_a ≥ 0, w_m > 1, depth ≥ 1.
    """
    if w_0 <= 0 or w_a < 0 or w_m <= 1 or depth < 1:
        raise UserError(
            f"w_0 = {w_0:g}, w_a = {w_a:g}, w_m = {w_m:g} and {depth} blocks are no rising line; "
            "give w_0 > 0, w_a ≥ 0, w_m > 1 and at least 1 block"
        )
    steps = [round(log(1 + w_a / w_0 * j) / log(w_m)) for j in range(depth)]
    return tuple(Stage(w_0 * w_m**k, len(list(blocks))) for k, blocks in groupby(steps))


# --- what is in a network --------------------------------------------------------------------------


class _Blocks(NamedTuple):
    """A stage of a network: its residual blocks, each with its 1×1, 3×3 and 1×1, and its width."""

    width: int
    groups: int
    blocks: tuple[Block, ...]
    convs: tuple[tuple[int, int, int], ...]


def regnet_stages(view: View) -> tuple[_Blocks, ...]:
    """Return the stages of a network of RegNet's kind, none of any other.

    Its blocks are as wide inside as outside, and their 3×3 works in groups of one width in every stage: the
    wider a stage, the more groups. (ResNeXt has as many groups everywhere, and widens them.)
    """
    found = [(b, convs) for b in view.blocks if (convs := bottleneck_of(view, b))]
    if not found or any(view.filters(c[1]) != view.filters(c[2]) for _, c in found):
        return ()
    group_widths = {view.filters(c[1]) // view.groups(c[1]) for _, c in found}
    counts = {view.groups(c[1]) for _, c in found}
    # A stage narrower than a group is one group.
    narrow = {view.filters(c[1]) for _, c in found if view.groups(c[1]) == 1}
    group_width = max(group_widths)
    if len(counts) < 2 or any(w != group_width and w not in narrow for w in group_widths):
        return ()
    stages = []
    for width, pairs in groupby(found, key=lambda pair: view.filters(pair[1][2])):
        same = tuple(pairs)
        groups = view.groups(same[0][1][1])
        stages.append(_Blocks(width, groups, tuple(b for b, _ in same), tuple(c for _, c in same)))
    return tuple(stages)


# --- whether they are on a line --------------------------------------------------------------------

_FACTORS: Final = tuple(i / 100 for i in range(110, 401))
"""The w_m that are tried: the paper writes two digits."""


def is_on_line(stages: Sequence[Stage], widths: Sequence[tuple[float, float]]) -> bool:
    """Say whether some line quantises to stages of these depths, each width in its range."""
    depths = [stage.depth for stage in stages]
    return any(_starts(widths, w_m) and _slopes(depths, w_m) for w_m in _FACTORS)


def _starts(widths: Sequence[tuple[float, float]], w_m: float) -> bool:
    """Say whether there is a w_0 of which w_0·w_m^k is in the k-th range, for all k."""
    low = max(least / w_m**k for k, (least, _) in enumerate(widths))
    high = min(most / w_m**k for k, (_, most) in enumerate(widths))
    return low <= high * (1 + 1e-5)


def _slopes(depths: Sequence[int], w_m: float) -> bool:
    """Say whether there is a w_a / w_0 for which each stage has its blocks."""
    low, high = 0.0, inf
    for k, begin in enumerate(accumulate(depths)):
        # The line leaves the k-th width between block `begin` − 1 and the next.
        rise = w_m ** (k + 0.5) - 1
        high = min(high, rise / (begin - 1)) if begin > 1 else high
        if k + 1 < len(depths):
            low = max(low, rise / begin)
    return low <= high


def _look(view: View) -> Iterator[Breach]:
    stages = regnet_stages(view)
    if len(stages) < 2:
        return
    group = max(s.width // s.groups for s in stages)
    ranges = [_range(s.width, group) for s in stages]
    if is_on_line([Stage(s.width, len(s.blocks)) for s in stages], ranges):
        return
    line = _nearest(tuple(s.width for s in stages), tuple(len(s.blocks) for s in stages))
    if line is None:
        return
    wanted = [(_in_groups(stage.width, group), stage.depth) for stage in line]
    edits, changed = _followed(view, stages, wanted, group)
    w_m = line[1].width / line[0].width
    yield Breach(
        stages[0].convs[0][0],
        f"no line quantises to widths {_listed(s.width for s in stages)} in "
        f"{_listed(len(s.blocks) for s in stages)} blocks",
        f"{_listed(w for w, _ in wanted)} in {_listed(d for _, d in wanted)} blocks are on one of "
        f"w_m = {w_m:.2g},",
        edits,
        changed,
    )


def _range(width: int, group: int) -> tuple[float, float]:
    """Return the exact widths that a width in whole groups is near enough to."""
    low, high = exact_range(max(1, width // group))
    return low * group - EIGHTS, high * group + EIGHTS


def _in_groups(width: float, group: int) -> int:
    return max(1, round(width / group)) * group


@lru_cache(maxsize=64)
def _nearest(widths: tuple[int, ...], depths: tuple[int, ...]) -> tuple[Stage, ...] | None:
    """Return the line next to a network, by dropping blocks and changing widths; None: there is none.

    A share of blocks dropped counts as much as the same share of a width, on average.
    """
    last, total = len(widths) - 1, sum(depths)
    best, least = None, inf
    factors = (i / 10 for i in range(15, 31))
    for w_m, depth, climb in product(factors, range(last + 1, total + 1), (-0.4, -0.1, 0.2, 0.4)):
        w_a = (w_m ** (last + climb) - 1) / (depth - 1)
        line = quantised_line(1, w_a, w_m, depth)
        if len(line) != last + 1 or any(s.depth > d for s, d in zip(line, depths, strict=True)):
            continue
        ratios = [w / s.width for w, s in zip(widths, line, strict=True)]
        w_0 = prod(ratios) ** (1 / len(ratios))
        off = sum(abs(log(ratio / w_0)) for ratio in ratios) / len(ratios) + 1 - depth / total
        if off < least:
            best, least = quantised_line(w_0, w_0 * w_a, w_m, depth), off
    return best


# --- what to write instead -------------------------------------------------------------------------


def _followed(
    view: View, stages: Sequence[_Blocks], wanted: Sequence[tuple[int, int]], group: int
) -> tuple[dict[int, Edit], dict[int, ops.Op]]:
    """Return blocks left out, and convolutions of other widths."""
    edits: dict[int, Edit] = {}
    changed: dict[int, ops.Op] = {}
    for stage, (width, depth) in zip(stages, wanted, strict=True):
        for block in stage.blocks[depth:]:
            edits[block.add] = Edit((block.entry,), _nothing)
        for block, (_, middle, _) in zip(stage.blocks, stage.convs, strict=True):
            for i in (*block.branch, *block.shortcut):
                op = view.nodes[i].op
                if isinstance(op, ops.Conv) and op.filters == stage.width:
                    changed[i] = replace(op, filters=width)
            changed[middle] = replace(view.conv(middle), filters=width, groups=width // group)
    return edits, changed


def _nothing(net: Pen, x: Tensor) -> Tensor:
    return x


def _listed(numbers: Iterator[int]) -> str:
    return "-".join(map(str, numbers))


RULES = (
    Rule(
        name="quantised-line",
        statement="Let the blocks' widths rise along a line, rounded to a few widths a constant "
        "factor apart, in groups of one width throughout.",
        source=Source("RegNet", _PAPER, "section 3.3, equations 2 to 4"),
        look=_look,
        equation=quantised_line,
        formula="u_j = w_0 + w_a·j, w_j = w_0·w_m^⌊log_{w_m}(u_j / w_0)⌉",
        tolerance=f"each width within {SHARE:.0%} of its exact value or half a group, and "
        f"{EIGHTS} channels, as published ones are multiples of 8 first",
    ),
)
