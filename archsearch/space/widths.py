"""Turning real widths into channel counts: the largest multiple of 8, 4, 2 or 1 that is near enough."""

from math import floor, gcd
from typing import Protocol

from archsearch.rules.tolerance import CHANNELS, SHARE

MULTIPLES = (8, 4, 2, 1)
"""Width multiples, the most hardware-friendly first."""


class Pick(Protocol):
    """Turns a real width into one that can be built."""

    def __call__(self, value: float, *, multiple: int | None = None) -> float:
        """Return `value` as a channel count; `multiple` asks for the next multiple of it, near or not."""


def keep_real(value: float, *, multiple: int | None = None) -> float:
    """Pick the real width itself: the network of which the integer ones are roundings."""
    return value


class Rounding:
    """Picks the next multiple of 8, 4, 2 or 1: the largest of them up to `most` that is near enough.

    Near enough is what the rules allow (`archsearch.rules.tolerance`). A larger width never gets a smaller
    count, so that a network's FLOPs rise with its base width.
    """

    def __init__(self, most: int) -> None:
        self._multiples = tuple(m for m in MULTIPLES if m <= most)

    def __call__(self, value: float, *, multiple: int | None = None) -> int:
        """Return the count next to `value`, at least 1."""
        if multiple is None:
            off = SHARE * value
            off = off if off > CHANNELS else CHANNELS
            for step in self._multiples:
                count = step * int(value / step + 0.5)
                if -off <= count - value <= off and count:
                    return count
            return 1
        return max(1, floor(value / multiple + 0.5)) * multiple


def common_multiple(widths: tuple[int, ...]) -> int:
    """Return the largest of 8, 4, 2 and 1 that all widths are multiples of."""
    return gcd(MULTIPLES[0], *widths)
