"""SqueezeNet's fire module: squeeze by 1×1, expand by 1×1 and 3×3.

Iandola et al. 2016, arXiv 1602.07360; the lecture's SqueezeNet part.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from archsearch.readings.table import ELEMENTWISE
from archsearch.rules.patterns import View
from archsearch.rules.rule import Breach, Rule, Source

_PAPER = "Iandola et al. 2016, arXiv 1602.07360"
RATIO = 0.125
"""Squeeze filters over expand filters."""
WIDEST_RATIO = 0.5
MOST_SPATIAL = 0.6
"""A larger share of 3×3 filters than the half costs without paying (section 5.3)."""


class _Fire(NamedTuple):
    squeeze: int
    pointwise: int
    spatial: int


def fire_weights(channels: int, squeeze: int, expand: int, share: float = 0.5) -> float:
    """Return a fire module's weights: C·s + s·e·(1 − p) + 9·s·e·p, p the `share` of 3×3 filters.

    >>> fire_weights(96, 16, 128)
    11776.0
    """
    return channels * squeeze + squeeze * expand * (1 - share) + 9 * squeeze * expand * share


def _modules(view: View) -> Iterator[_Fire]:
    for node in view.nodes:
        if node.op.kind != "concat" or len(node.inputs) != 2:
            continue
        ends = [view.back(i, ELEMENTWISE) for i in node.inputs]
        if not all(view.is_conv(i) for i in ends):
            continue
        one, three = sorted(ends, key=lambda i: view.conv(i).kernel)
        squeeze = view.back(view.nodes[one].inputs[0], ELEMENTWISE)
        if (
            view.conv(one).kernel == (1, 1)
            and view.conv(three).kernel == (3, 3)
            and view.is_full(three)
            and view.nodes[one].inputs == view.nodes[three].inputs
            and view.kind(squeeze) == "conv"
            and view.conv(squeeze).kernel == (1, 1)
        ):
            yield _Fire(squeeze, one, three)


def _look(view: View) -> Iterator[Breach]:
    for squeeze, one, three in _modules(view):
        narrow, expand = view.filters(squeeze), view.filters(one) + view.filters(three)
        if narrow > WIDEST_RATIO * expand:
            wanted = max(1, round(RATIO * expand))
            yield Breach(
                squeeze,
                f"a squeeze to {narrow} channels before an expansion to {expand} "
                f"(ratio {narrow / expand:.2g})",
                f"ratio {RATIO}, {wanted} channels, does it",
                changed={squeeze: replace(view.conv(squeeze), filters=wanted)},
            )
        if view.filters(three) > MOST_SPATIAL * expand:
            half = expand // 2
            yield Breach(
                three,
                f"{view.filters(three)} of {expand} expand filters are 3×3",
                "half of them see enough,",
                changed={
                    one: replace(view.conv(one), filters=expand - half),
                    three: replace(view.conv(three), filters=half),
                },
            )


RULES = (
    Rule(
        name="fire-module",
        statement="Squeeze to few channels by 1×1, then expand by 1×1 and 3×3 filters, half of each.",
        source=Source("SqueezeNet", _PAPER, "sections 3.2 and 5"),
        look=_look,
        equation=fire_weights,
        formula="C·s + s·e·(1 − p) + 9·s·e·p weights",
        tolerance=f"a squeeze of up to {WIDEST_RATIO:.0%}, up to {MOST_SPATIAL:.0%} 3×3",
    ),
)
