"""How far a width may be from the exact one that a rule asks for: channels are whole, and best in eights.

A rule such as "channels double" is about real numbers: 13.7, 27.4, 54.8. What is built are roundings of
them. Two widths keep the rule where one real number has both as its roundings.
"""

from typing import Final

SHARE: Final = 0.06
"""A width may be this share off its exact value …"""

CHANNELS: Final = 0.5
"""… or this many channels, whichever is more: no whole number is nearer."""

STATED: Final = f"each width within {SHARE:.0%} of its exact value, or half a channel"

_SLACK: Final = 1e-5
"""What floating point may take from an exact half."""


def is_rounding(width: float, exact: float, leeway: float = 0.0) -> bool:
    """Say whether `width` is near enough to `exact`, or to a number that is off it by `leeway` at most.

    >>> is_rounding(64, 60.5), is_rounding(64, 60), is_rounding(3, 3.5)
    (True, False, True)
    >>> is_rounding(4, 3.2), is_rounding(4, 3.2, leeway=0.5)
    (False, True)
    """
    exact = min(max(width, exact - leeway), exact + leeway)
    return abs(width - exact) <= max(SHARE * exact, CHANNELS) * (1 + _SLACK)


def exact_range(width: float) -> tuple[float, float]:
    """Return the least and the largest number that `width` may be a rounding of.

    >>> [round(x, 1) for x in exact_range(64)], exact_range(3)
    ([60.4, 68.1], (2.5, 3.5))
    """
    return min(width - CHANNELS, width / (1 + SHARE)), max(width + CHANNELS, width / (1 - SHARE))


def in_ratio(width: float, other: float, ratio: float) -> bool:
    """Say whether `other` is `ratio` times `width`, both up to rounding.

    >>> in_ratio(32, 64, 2), in_ratio(32, 80, 2), in_ratio(160, 32, 1 / 4)
    (True, False, False)
    """
    low, high = exact_range(width)
    other_low, other_high = exact_range(other)
    return low * ratio <= other_high * (1 + _SLACK) and other_low <= high * ratio * (1 + _SLACK)
