"""ResNeXt's rules: the width of parallel paths at equal FLOPs, and how many there should be.

Xie et al. 2016, arXiv 1611.05431; the equation itself is in `archsearch.rules.families.resnext`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from archsearch.ir import ops
from archsearch.rules.families.regnet import regnet_stages
from archsearch.rules.families.resnet import bottleneck_of
from archsearch.rules.families.resnext import cardinality, flops_change, path_width
from archsearch.rules.patterns import View, and_more
from archsearch.rules.rule import Breach, Rule, Source
from archsearch.rules.tolerance import STATED, in_ratio

_PAPER = "Xie et al. 2016, arXiv 1611.05431"
NARROWEST = 4
"""The width below which narrower paths stop paying (the paper's section 5.1)."""


class _Paths:
    """A bottleneck block of G paths of width c, compared with one of width C on 4C channels."""

    def __init__(self, view: View, block: tuple[int, int, int]) -> None:
        self.down, self.inner, up = block
        self.C = view.filters(up) / 4
        self.G = view.groups(self.inner)
        self.c = view.filters(self.inner) / self.G


def _bottlenecks(view: View) -> list[_Paths]:
    if regnet_stages(view):
        return []  # another idea of groups: their width is the same everywhere, not their number
    found = (bottleneck_of(view, block) for block in view.blocks)
    return [_Paths(view, block) for block in found if block]


def _look_width(view: View) -> Iterator[Breach]:
    odd: dict[tuple[int, float], list[_Paths]] = {}
    for block in _bottlenecks(view):
        change = flops_change(block.C, block.G, block.c)
        # The root grows with C, so that c and 4C are in a ratio, as other widths are.
        if block.G > 1 and not in_ratio(4 * block.C, block.c, path_width(1 / 4, block.G)):
            odd.setdefault((block.G, round(change, 2)), []).append(block)
    for same in odd.values():
        first = same[0]
        exact = path_width(first.C, first.G)
        share = 100 * flops_change(first.C, first.G, first.c)
        cost = f"{share:+.0f} %".replace("-", "−")
        yield Breach(
            first.inner,
            f"{first.G} paths of width {first.c:g} cost {cost} against a bottleneck of width "
            f"{first.C:g}{and_more(len(same))}",
            f"width {max(1, round(exact))} (the equation's {exact:.2f}) costs as much as that,",
            changed=_changed(view, same, lambda b: (b.G, max(1, round(path_width(b.C, b.G))))),
        )


def _look_cardinality(view: View) -> Iterator[Breach]:
    blocks = _bottlenecks(view)
    grouped = Counter(block.G for block in blocks if block.G > 1)
    if not grouped:
        return
    usual = grouped.most_common(1)[0][0]
    other = [block for block in blocks if usual != block.G]
    if other:
        yield Breach(
            other[0].inner,
            f"{other[0].G} path{'s' * (other[0].G > 1)} where other blocks have {usual}"
            f"{and_more(len(other))}",
            f"{usual} paths of width {max(1, round(path_width(other[0].C, usual)))} do it",
            changed=_changed(view, other, lambda b: (usual, max(1, round(path_width(b.C, usual))))),
        )
    thin = [b for b in blocks if usual == b.G and b.c < NARROWEST <= b.C]
    if thin:
        groups = _fewer(thin[0])
        yield Breach(
            thin[0].inner,
            f"{thin[0].G} paths of width {thin[0].c:g}, and narrower than {NARROWEST} stops paying"
            f"{and_more(len(thin))}",
            f"{groups} paths of width {NARROWEST} cost as much as a bottleneck of {thin[0].C:g},",
            changed=_changed(view, thin, lambda b: (_fewer(b), NARROWEST)),
        )


def _fewer(block: _Paths) -> int:
    return max(1, round(cardinality(block.C, NARROWEST)))


def _changed(
    view: View, blocks: Sequence[_Paths], paths: Callable[[_Paths], tuple[int, int]]
) -> dict[int, ops.Op]:
    """Return the ops of blocks that have `paths` (number, width) instead of their own."""
    changed: dict[int, ops.Op] = {}
    for block in blocks:
        groups, width = paths(block)
        filters = groups * width
        changed[block.down] = replace(view.conv(block.down), filters=filters)
        changed[block.inner] = replace(view.conv(block.inner), filters=filters, groups=groups)
    return changed


RULES = (
    Rule(
        name="resnext-width",
        statement="Choose the width c of G parallel paths so that the block costs what a "
        "bottleneck of width C costs.",
        source=Source("ResNeXt", _PAPER, "section 3.3"),
        look=_look_width,
        equation=path_width,
        formula="9Gc² + 8GCc − 17C² = 0",
        tolerance=f"{STATED}: c is the whole width next to the root",
    ),
    Rule(
        name="cardinality",
        statement="At equal FLOPs prefer more paths, the same number in every block, none narrower "
        "than 4 channels.",
        source=Source("ResNeXt", _PAPER, "section 5.1, table 3"),
        look=_look_cardinality,
        equation=cardinality,
        formula="G = 17C² / (9c² + 8Cc)",
    ),
)
