"""Accuracies as a model takes them: on one scale, where a stalled training hides nothing of good ones."""

import numpy as np

from archsearch.surrogate.algebra import Floats

_TO_DEVIATION = 1.4826
"""Median distance from the median to standard deviation, of normal numbers."""
_FARTHEST = 10.0
"""Deviations below the median at which a value counts at most: what lies lower did not learn at all."""
_LEAST = 1e-12


class Scale:
    """The scale of some values; the same for one value as for another.

    Args:
        values: that it is of; one at least.
    """

    def __init__(self, values: Floats) -> None:
        median = float(np.median(values))
        deviation = float(_TO_DEVIATION * np.median(np.abs(values - median)))
        # Where half of all values are equal, there is no telling what is far.
        self._least = median - _FARTHEST * deviation if deviation > _LEAST else -np.inf
        kept = np.maximum(values, self._least)
        self._mean, spread = float(kept.mean()), float(kept.std())
        self.unit = spread if spread > _LEAST else 1.0
        """What one standardised unit is in those of the values."""

    def standardized(self, values: Floats) -> Floats:
        """Return values, of mean 0 and variance 1 if they are those that the scale is of."""
        return np.asarray((np.maximum(values, self._least) - self._mean) / self.unit)

    def restored(self, values: Floats) -> Floats:
        """Return standardised values in the units of those that the scale is of."""
        return np.asarray(values * self.unit + self._mean)
