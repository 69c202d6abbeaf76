"""What a training that was cut short would have come to, by others that came to their end."""

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Final

CARRIED: Final = 0.8
"""Correlation of what a training is worth when it is cut short with what it would have come to."""
LEAST_PEERS: Final = 3


def carried_on(
    value: float, peers_then: Sequence[float], peers_ends: Sequence[float]
) -> tuple[float, float] | None:
    """Return the expected end of a training and the variance of that guess; None: there are too few peers.

    Args:
        value: where it was cut short.
        peers_then: of each peer, where it was then.
        peers_ends: of each peer, its end.
    """
    if len(peers_then) < LEAST_PEERS:
        return None
    spread, final_spread = pstdev(peers_then), pstdev(peers_ends)
    behind = (value - fmean(peers_then)) / spread if spread else 0.0
    expected = fmean(peers_ends) + CARRIED * final_spread * behind
    return expected, (1 - CARRIED**2) * final_spread**2
