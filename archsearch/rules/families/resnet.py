"""ResNet's rules: identity shortcuts, bottlenecks of ratio 4, batch normalisation after each convolution.

He et al. 2015, arXiv 1512.03385; Ioffe & Szegedy 2015, arXiv 1502.03167; the lecture's ResNet part.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.rules.patterns import Block, View, and_more
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.rules.tolerance import STATED, in_ratio

_PAPER = "He et al. 2015, arXiv 1512.03385"
LONGEST_PLAIN = 20
"""Spatial convolutions in a chain without shortcuts that still train well (VGG-19 has 16)."""


# --- bottleneck ratio ------------------------------------------------------------------------------


def bottleneck_block_flops(H: int, W: int, C: int) -> int:
    """Return the FLOPs of 1×1, 3×3, 1×1 with C inner and 4C outer channels: 4 + 9 + 4 = 17HWC²."""
    return 17 * H * W * C * C


def bottleneck_of(view: View, block: Block) -> tuple[int, int, int] | None:
    """Return the 1×1, k×k and 1×1 of a bottleneck block, or None."""
    convs = view.branch_convs(block)
    if len(convs) != 3 or [view.is_spatial(i) for i in convs] != [False, True, False]:
        return None
    if any(view.kind(i) in {"add", "concat"} for i in block.branch) or view.is_depthwise(convs[1]):
        return None
    return convs[0], convs[1], convs[2]


def _ratios(view: View) -> Iterator[Breach]:
    blocks = [b for b in (bottleneck_of(view, block) for block in view.blocks) if b]
    if any(view.groups(b[1]) > 1 for b in blocks):
        return  # grouped ones have widths of their own: ResNeXt's, RegNet's
    ratios = [view.filters(up) / view.filters(inner) for _, inner, up in blocks]
    if not ratios:
        return
    usual = Counter(round(r) for r in ratios).most_common(1)[0][0]
    wanted = usual if usual >= 2 else 4
    why = "the other blocks'" if wanted == usual else "the classic"
    odd: dict[float, list[tuple[int, int, int]]] = {}
    for block, ratio in zip(blocks, ratios, strict=True):
        if not in_ratio(view.filters(block[2]), view.filters(block[1]), 1 / wanted):
            odd.setdefault(round(ratio, 2), []).append(block)
    for ratio, same in odd.items():
        _, inner, up = same[0]
        yield Breach(
            inner,
            f"ratio {ratio:g} ({view.filters(up)} channels, {view.filters(inner)} inside)"
            f"{and_more(len(same))}",
            f"{why} ratio {wanted:g} has {max(1, round(view.filters(up) / wanted))} inside,",
            changed={
                i: replace(view.conv(i), filters=max(1, round(view.filters(end) / wanted)))
                for down, middle, end in same
                for i in (down, middle)
            },
        )


# --- shortcuts -------------------------------------------------------------------------------------


def _shortcuts(view: View) -> Iterator[Breach]:
    needless = [
        block
        for block in view.blocks
        if any(view.is_conv(i) for i in block.shortcut)
        and view.nodes[block.entry].shape == view.nodes[block.add].shape
    ]
    for block in needless:
        projection = next(i for i in block.shortcut if view.is_conv(i))
        ends = [i for i in view.nodes[block.add].inputs if i in block.branch]
        yield Breach(
            projection,
            f"a projection where shape and width stay {view.nodes[block.add].shape}",
            "the identity does it",
            {block.add: Edit((ends[0], block.entry), _sum)},
        )
    yield from _plain(view)


def _sum(net: Pen, *xs: Tensor) -> Tensor:
    return net.add(*xs)


def _plain(view: View) -> Iterator[Breach]:
    """Deep plain networks underfit: 56 layers train worse than 20."""
    if any(len(n.inputs) > 1 and n.op.kind != "multiply" for n in view.nodes):
        return
    convs = view.convs
    depth = sum(view.is_spatial(i) for i in convs)
    if depth <= LONGEST_PLAIN:
        return
    edits: dict[int, Edit] = {}
    place = 0
    while place + 1 < len(convs):
        start = view.nodes[convs[place]].inputs[0]
        norm, activation = view.unit(convs[place + 1])
        end = next(i for i in (activation, norm, convs[place + 1]) if i is not None)
        if view.nodes[start].shape == view.nodes[end].shape:
            edits[end] = Edit(
                (*view.nodes[end].inputs, start), partial(_shortcut_after, op=view.nodes[end].op)
            )
            place += 2
        else:
            place += 1
    if edits:
        yield Breach(
            convs[0],
            f"{depth} spatial convolutions in a chain without a shortcut",
            f"identity shortcuts around {len(edits)} pairs let it train",
            edits,
        )


def _shortcut_after(net: Pen, x: Tensor, shortcut: Tensor, *, op: ops.Op) -> Tensor:
    return net.add(net.write(op, x), shortcut)


# --- batch normalisation ---------------------------------------------------------------------------

_ON_THE_WAY = frozenset(
    {
        "drop_path", "dropout", "pool", "add", "concat", "pad", "multiply", "rescale",
        "layer_scale", "activation", "pad_channels", "crop",
    }
)  # fmt: skip


def _norms(view: View) -> Iterator[Breach]:
    if not view.has_norm:
        return
    biased = [
        i
        for i in view.convs
        if view.conv(i).bias and (after := view.only_user(i)) and view.kind(after) == "batch_norm"
    ]
    if biased:
        yield Breach(
            biased[0],
            f"a bias that batch normalisation subtracts again{and_more(len(biased))}",
            "no bias does the same",
            changed={i: replace(view.conv(i), bias=False) for i in biased},
        )
    bare = [i for i in view.convs if _is_bare(view, i)]
    if bare:
        yield Breach(
            bare[0],
            f"a convolution that is never normalised{and_more(len(bare))}, though others are",
            "batch normalisation after it, in place of its bias, does it",
            {i: Edit(view.nodes[i].inputs, partial(_normalised, op=view.conv(i))) for i in bare},
        )


def _normalised(net: Pen, x: Tensor, *, op: ops.Conv) -> Tensor:
    return net.batch_norm(net.write(replace(op, bias=False), x))


def _is_bare(view: View, index: int) -> bool:
    """Say whether a convolution's output reaches another one without being normalised on any way."""
    stack, seen = list(view.users[index]), set()
    feeds = False
    while stack:
        at = stack.pop()
        if at in seen:
            continue
        seen.add(at)
        kind = view.kind(at)
        if kind in {"batch_norm", "layer_norm"}:
            return False
        if kind == "conv":
            feeds = True
            # A depthwise convolution and the 1×1 behind it are one separable convolution.
            if view.is_depthwise(index) and at in view.users[index]:
                return False
        elif kind in _ON_THE_WAY:
            stack.extend(view.users[at])
    return feeds  # what feeds no other convolution gives the class scores


RULES = (
    Rule(
        name="bottleneck-ratio",
        statement="In a bottleneck block the 3×3 works on a quarter of the block's channels, the "
        "same quarter in every block.",
        source=Source("ResNet", _PAPER, "section 4.1, figure 5"),
        look=_ratios,
        equation=bottleneck_block_flops,
        formula="4HWC² + 9HWC² + 4HWC² = 17HWC², less than the basic block's 18HWC²",
        tolerance=f"{STATED}; another ratio from 2 on that most blocks have",
    ),
    Rule(
        name="identity-shortcut",
        statement="Add each block to its unchanged input, H(x) = F(x) + x; project only where the "
        "shape changes; no deep network without shortcuts.",
        source=Source("ResNet", _PAPER, "sections 3.1 and 4.1"),
        look=_shortcuts,
    ),
    Rule(
        name="bn-after-conv",
        statement="Normalise batches after every convolution, which then needs no bias.",
        source=Source("ResNet", "Ioffe & Szegedy 2015, arXiv 1502.03167", "section 3.2"),
        look=_norms,
    ),
)
