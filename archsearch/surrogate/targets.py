"""Accuracies as a model takes them: on one scale, where a stalled training hides nothing of good ones."""

import numpy as np

from archsearch.surrogate.algebra import Floats

_TO_DEVIATION = 1.4826
"""Median distance from the median to standard deviation, of normal numbers."""
_STRAIGHT = 1.0
"""Deviations below the median down to which values keep their distances; those below are drawn in."""
_LEAST = 1e-12


class Scale:
    """The scale of some values; the same for one value as for another.

    Above the median and a deviation below it values keep their distances. Further down, where stalled
    trainings lie, distances are those of logarithms.

    Args:
        values: that it is of; one at least.
    """

    def __init__(self, values: Floats) -> None:
        self._median = float(np.median(values))
        apart = np.abs(values - self._median)
        # Where half of all values are equal, their mean distance has to do.
        self._deviation = float(_TO_DEVIATION * np.median(apart)) or float(apart.mean()) or 1.0
        drawn_in = self._drawn_in(values)
        self._mean = float(drawn_in.mean())
        self._spread = float(drawn_in.std()) if len(values) > 1 else 0.0
        if self._spread < _LEAST:
            self._spread = 1.0

    @property
    def unit(self) -> float:
        """What one standardised unit is in those of the values, between good ones."""
        return self._deviation * self._spread

    def standardized(self, values: Floats) -> Floats:
        """Return values, of mean 0 and variance 1 if they are those that the scale is of."""
        return (self._drawn_in(values) - self._mean) / self._spread

    def _drawn_in(self, values: Floats) -> Floats:
        found = (values - self._median) / self._deviation
        below = np.maximum(0.0, -found - _STRAIGHT)
        return np.asarray(np.where(below > 0, -_STRAIGHT - np.log1p(below), found))
