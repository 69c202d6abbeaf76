"""Wide ResNet's rule: residual blocks matter more than depth, so widen rather than deepen.

Zagoruyko & Komodakis 2016, arXiv 1605.07146; the lecture's Wide ResNet part.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import sqrt

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.readings.cost import known
from archsearch.rules.families.vgg import Padder
from archsearch.rules.patterns import Block, View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source

MOST_BLOCKS = 48
"""More blocks than this only pay when they are wide (the paper's thin networks have 54 and more)."""
THIN = 64
"""Filters up to which a block counts as thin: the widest stage of the unwidened network (16, 32, 64)."""

WIDENING = 3
"""What a ninth of the blocks is widened by: the same FLOPs."""


def widening(blocks: int, left: int) -> float:
    """Return k, by which `left` of `blocks` blocks are widened at equal FLOPs: blocks·1² = left·k².

    >>> widening(54, 6)
    3.0
    """
    return sqrt(blocks / left)


def _look(view: View) -> Iterator[Breach]:
    blocks = view.blocks
    spatial = [i for b in blocks for i in view.branch_convs(b) if view.is_spatial(i)]
    if len(blocks) <= MOST_BLOCKS or max(map(view.filters, spatial), default=THIN + 1) > THIN:
        return
    removable = [b for b in blocks if _is_removable(view, b)]
    wanted = max(1, round(len(blocks) / WIDENING**2) - (len(blocks) - len(removable)))
    kept = {removable[i * len(removable) // wanted] for i in range(wanted)} if removable else set()
    gone = [b for b in removable if b not in kept]
    left = len(blocks) - len(gone)
    edits = {b.add: Edit((b.entry,), _skip) for b in gone}
    changed: dict[int, ops.Op] = {}
    for block in blocks:
        if block in gone:
            continue
        for index in (*block.shortcut, *block.branch):
            op = view.nodes[index].op
            if isinstance(op, ops.Conv):
                changed[index] = replace(op, filters=known(op.filters) * WIDENING)
            elif isinstance(op, ops.PadChannels):
                width = known(view.nodes[index].shape[-1]) * WIDENING
                edits[index] = Edit(view.nodes[index].inputs, Padder(width))
    first = blocks[0]
    if not first.shortcut:  # the stem meets the first block's sum: widened with it
        stem = view.back(first.entry, frozenset({"activation", "batch_norm"}))
        if view.kind(stem) == "conv":
            changed[stem] = replace(view.conv(stem), filters=view.filters(stem) * WIDENING)
    yield Breach(
        spatial[0],
        f"{len(blocks)} blocks of {min(map(view.filters, spatial))} to "
        f"{max(map(view.filters, spatial))} filters: deep and thin",
        f"{left} blocks {WIDENING} times as wide run better in parallel",
        edits,
        changed,
    )


def _is_removable(view: View, block: Block) -> bool:
    return not block.shortcut and view.nodes[block.entry].shape == view.nodes[block.add].shape


def _skip(net: Pen, x: Tensor) -> Tensor:
    return x


RULES = (
    Rule(
        name="widening",
        statement="Widen residual blocks rather than stack ever more thin ones: width runs in "
        "parallel, depth does not.",
        source=Source("Wide ResNet", "Zagoruyko & Komodakis 2016, arXiv 1605.07146", "section 3"),
        look=_look,
        equation=widening,
        formula="blocks · k² constant: k = √(blocks / fewer blocks)",
    ),
)
