"""Optuna's parameters as numbers from 0 to 1, or categories: drawn, changed, read back.

A parameter that only some trials have is absent from others. Where the value of one that all of them have
decides it, candidates are taken to have it or not by the same rule.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from archsearch.surrogate.algebra import Floats

Params: TypeAlias = Mapping[str, Any]

_NEAR: Final = 0.5
"""The share of changes of a number that go near it; the others go anywhere."""
_STEP: Final = 0.1
"""Standard deviation of near changes, as a share of the range."""


class Axis:
    """One parameter's values, of which there are two or more."""

    def __init__(self, distribution: BaseDistribution) -> None:
        self._distribution = distribution
        self.categorical: Final = isinstance(distribution, CategoricalDistribution)
        if isinstance(distribution, CategoricalDistribution):
            self._low, self._high = 0.0, float(len(distribution.choices))
            self._log, self._half = False, 0.0
        else:
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            # Each value of a grid has an equal share of the range, those at the ends as well.
            self._half = (distribution.step or 0.0) / 2
            self._log = distribution.log
            self._low, self._high = (
                self._scaled(distribution.low, -1),
                self._scaled(distribution.high, 1),
            )

    def _scaled(self, value: float, side: int = 0) -> float:
        moved = value + side * self._half
        return math.log(moved) if self._log else moved

    def number(self, value: Any) -> float:
        """Return a value's place from 0 to 1, or its category's number."""
        internal = self._distribution.to_internal_repr(value)
        if self.categorical:
            return internal
        return (self._scaled(internal) - self._low) / (self._high - self._low)

    def value(self, number: float) -> Any:
        """Return the value at a place, or of a category's number."""
        found = self._distribution
        if isinstance(found, CategoricalDistribution):
            return found.choices[int(number)]
        assert isinstance(found, FloatDistribution | IntDistribution)
        plain = self._low + min(1.0, max(0.0, number)) * (self._high - self._low)
        plain = math.exp(plain) if self._log else plain
        if found.step is not None:
            plain = found.low + round((plain - found.low) / found.step) * found.step
        plain = min(found.high, max(found.low, plain))
        return round(plain) if isinstance(found, IntDistribution) else float(plain)

    def drawn(self, rng: np.random.Generator) -> float:
        """Return a number, all values equally likely."""
        return self._settled(
            float(rng.integers(int(self._high))) if self.categorical else rng.random()
        )

    def changed(self, number: float, rng: np.random.Generator) -> float:
        """Return another category; or a number, near or anywhere."""
        if self.categorical:
            other = int(rng.integers(int(self._high) - 1))
            return float(other + (other >= number))
        if rng.random() >= _NEAR:
            return self.drawn(rng)
        return self.moved(number, rng, _STEP)

    def moved(self, number: float, rng: np.random.Generator, step: float) -> float:
        """Return a number nearby, by a normal step; by one value at least, where there is a grid."""
        if self.categorical:
            return number
        by = rng.normal() * step
        least = 2 * self._half / (self._high - self._low) if not self._log else 0.0
        by = math.copysign(max(abs(by), least), by)
        return self._settled(min(1.0, max(0.0, number + by)))

    def _settled(self, number: float) -> float:
        return self.number(self.value(number))


class Axes:
    """All parameters that any trial has had, each as it was last.

    Args:
        space: their distributions by name.
        trials: the parameters that each trial had.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], trials: Sequence[Params]) -> None:
        self.names: Final = tuple(space)
        self._axes = tuple(Axis(distribution) for distribution in space.values())
        self.categories: Final = tuple(axis.categorical for axis in self._axes)
        self._conditions = {
            at: found for at in range(len(self.names)) if (found := self._condition(at, trials))
        }

    def _condition(self, at: int, trials: Sequence[Params]) -> tuple[int, frozenset[float]] | None:
        """Return the parameter that decides whether one is there, and the numbers at which it is not."""
        name = self.names[at]
        if all(name in params for params in trials):
            return None
        for other, parent in enumerate(self.names):
            if not all(parent in params for params in trials):
                continue
            there = {self._number(other, p) for p in trials if name in p}
            absent = {self._number(other, p) for p in trials if name not in p}
            if not there & absent:
                return other, frozenset(absent)
        return None

    def _number(self, at: int, params: Params) -> float:
        if self.names[at] in params:
            return self._axes[at].number(params[self.names[at]])
        return -1.0 if self.categories[at] else 0.5

    def row(self, params: Params) -> Floats:
        """Return a setting as numbers; those it lacks are in the middle, or a category of their own."""
        return np.array([self._number(at, params) for at in range(len(self.names))])

    def params(self, row: Floats) -> dict[str, Any]:
        """Return the setting of a row, without what others decide it has not."""
        return {
            name: axis.value(row[at])
            for at, (name, axis) in enumerate(zip(self.names, self._axes, strict=True))
            if not self._absent(at, row)
        }

    def _absent(self, at: int, row: Floats) -> bool:
        condition = self._conditions.get(at)
        return condition is not None and float(row[condition[0]]) in condition[1]

    def whole(self, row: Floats) -> dict[str, Any]:
        """Return the setting of a row, all parameters; those that it has not can be passed over."""
        return {
            name: axis.value(max(0.0, row[at]))
            for at, (name, axis) in enumerate(zip(self.names, self._axes, strict=True))
        }

    def drawn(self, rng: np.random.Generator) -> Floats:
        """Return a row by chance."""
        return np.array([axis.drawn(rng) for axis in self._axes])

    def changed(self, row: Floats, rng: np.random.Generator, count: int) -> Floats:
        """Return a row that differs in so many parameters."""
        found = np.where(row < 0, 0.0, row)
        for at in rng.permutation(len(row))[:count]:
            found[at] = self._axes[at].changed(found[at], rng)
        return np.asarray(found)

    def moved(self, row: Floats, rng: np.random.Generator, step: float) -> Floats:
        """Return a row all of whose numbers are a little off."""
        found = zip(self._axes, row, strict=True)
        return np.array([axis.moved(max(0.0, number), rng, step) for axis, number in found])

    @property
    def moves(self) -> bool:
        """Whether there are numbers at all."""
        return not all(self.categories)
