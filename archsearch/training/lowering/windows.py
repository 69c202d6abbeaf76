"""Where the windows of convolutions and pools lie: what frameworks pad differently, in numbers."""

from typing import Any

from archsearch.ir.ops import Padding, Pair, Shape


def used_padding(
    before: Shape, after: Shape, reach: Pair, stride: Pair, padding: Padding
) -> Padding:
    """Return the padding that windows touch, `(top, bottom, left, right)`: the rest is no use to anyone.

    Args:
        before: the input's (height, width, channels).
        after: the output's.
        reach: rows and columns a window spans, dilation included.
        stride: of the windows, (vertical, horizontal).
        padding: as the op says it.
    """
    top, bottom = _used(before[0], reach[0], stride[0], padding[0], after[0])
    left, right = _used(before[1], reach[1], stride[1], padding[2], after[1])
    return top, bottom, left, right


def window_cells(side: Any, kernel: int, stride: int, before: int, count: Any) -> list[int]:
    """Count each window's cells that lie in the image, along one axis."""
    starts = [i * stride - before for i in range(count)]
    return [min(start + kernel, side) - max(start, 0) for start in starts]


def _used(side: Any, reach: int, stride: int, before: int, count: Any) -> tuple[int, int]:
    return before, max(0, (count - 1) * stride + reach - side - before)
