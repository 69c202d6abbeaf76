"""Turning real widths into channel counts: each width may be rounded down or up, to a common multiple."""

from collections.abc import Set as AbstractSet
from math import floor
from typing import Protocol

MULTIPLES = (8, 4, 2, 1)
"""Width multiples, the most hardware-friendly first."""


class Pick(Protocol):
    """Turns a real width into one that can be built."""

    def __call__(self, value: float, *, least: int = 1, multiple: int | None = None) -> float:
        """Return `value` as a channel count of at least `least`; `multiple` overrides the common one."""


def keep_real(value: float, *, least: int = 1, multiple: int | None = None) -> float:
    """Pick the real width itself: the network of which the integer ones are roundings."""
    return value if value > least else least


class Rounding:
    """Picks multiples: the i-th width asked for is rounded up if `i` is in `up`, else down."""

    def __init__(self, multiple: int, up: AbstractSet[int]) -> None:
        self.multiple = multiple
        self.up = up
        self.remainders: list[float] = []  # of each width asked for, as a share of its multiple

    def __call__(self, value: float, *, least: int = 1, multiple: int | None = None) -> int:
        """Return the multiple next to `value`, below or above, never under `least` or one multiple."""
        step = self.multiple if multiple is None else multiple
        # The nudge keeps 64.00000001, an exact 64 after floating point, from becoming 72.
        below = floor(value / step + 1e-6)
        remainder = value / step - below
        up = len(self.remainders) in self.up and remainder > 1e-6
        self.remainders.append(remainder)
        picked = (below + up) * step
        if picked < least:
            return max(step, -(-least // step) * step)
        return picked if picked > step else step
