"""What naming the majority class, whatever is in an image, reaches."""

import math
from typing import Final

DEVIATIONS: Final = 2.0
"""Standard deviations by which chance may exceed what is expected."""


def accuracy_by_chance(common: float, images: int) -> float:
    """Return the accuracy that whoever names one class always may reach.

    It is the share of that class, and two standard deviations of a count of so many images.

    Args:
        common: share of the most common class.
        images: that are asked about, one at least.
    """
    return common + DEVIATIONS * math.sqrt(common * (1 - common) / images)
