"""Figures of values that come one by one: each is had as quickly of thousands as of a few."""

import math
from bisect import insort


class Stream:
    """Values as they come, with their mean and their sample standard deviation.

    Welford (1962), "Note on a method for calculating corrected sums of squares and products".
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Take a value."""
        self._count += 1
        off = value - self._mean
        self._mean += off / self._count
        self._squares += off * (value - self._mean)

    def __len__(self) -> int:
        return self._count

    @property
    def mean(self) -> float:
        """The mean; 0 of none."""
        return self._mean

    @property
    def sd(self) -> float:
        """The sample standard deviation; 0 of fewer than two."""
        return math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else 0.0


class Median:
    """Values as they come, with their median."""

    def __init__(self) -> None:
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        """Take a value."""
        insort(self._sorted, value)

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def value(self) -> float:
        """The median.

        Raises:
            IndexError: there is no value yet.
        """
        middle = len(self._sorted) // 2
        return (self._sorted[middle] + self._sorted[~middle]) / 2
