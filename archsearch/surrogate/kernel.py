"""How alike two networks are: a sum of Matérn kernels, one over knobs and one over features.

k(a, b) = √v(a)·√v(b) · Σ_g s_g · m(r_g(a, b)) · ρ^|t(a) − t(b)|, with the Matérn 5/2 kernel
m(r) = (1 + √5r + 5r²/3)·exp(−√5r) (Rasmussen & Williams 2006, equation 4.17). r_g² = Σ_d w_d·Δ_d² is over
the columns of a group; Δ_d is a difference of numbers, or 0 for equal categories and 1 for others. t is the
binary logarithm of a training's length, v what a prior leaves open.

Knobs tell neighbours apart; features carry over between branches that have no knob in common.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from archsearch.surrogate.algebra import Floats

_SQRT5 = 5**0.5


@dataclass(frozen=True)
class Columns:
    """What the columns of points are.

    Attributes:
        categories: whether each holds category numbers, of which no two are nearer than others.
        groups: the number of the group each belongs to, 0 and on.
    """

    categories: tuple[bool, ...]
    groups: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.groups)

    @property
    def group_count(self) -> int:
        """How many groups there are."""
        return max(self.groups, default=-1) + 1

    @cached_property
    def members(self) -> tuple[npt.NDArray[np.intp], ...]:
        """The numbers of the columns of each group."""
        groups = np.asarray(self.groups, dtype=np.intp)
        return tuple(np.flatnonzero(groups == group) for group in range(self.group_count))

    @cached_property
    def categorical(self) -> npt.NDArray[np.bool_]:
        """`categories` as an array."""
        return np.asarray(self.categories, dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Points:
    """Networks, or settings of anything else, as rows of numbers.

    Attributes:
        rows: (points, columns).
        lengths: (points,) the binary logarithm of the training's share of the full length; 0: all of it.
        means: (points,) what a prior expects, in standard deviations of the values; 0 without one.
        variances: (points,) what it leaves open, as a share of what would be open without one.
    """

    rows: Floats
    lengths: Floats
    means: Floats
    variances: Floats

    @classmethod
    def of(cls, rows: Floats) -> "Points":
        """Return points at full length of which nothing is expected."""
        count = len(rows)
        return cls(rows, np.zeros(count), np.zeros(count), np.ones(count))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: npt.NDArray[np.intp] | Sequence[int]) -> "Points":
        """Return some of the points."""
        which = np.asarray(chosen, dtype=np.intp)
        return Points(
            self.rows[which], self.lengths[which], self.means[which], self.variances[which]
        )

    def at_full_length(self) -> "Points":
        """Return the same points as if trained in full."""
        return replace(self, lengths=np.zeros(len(self)))

    def joined(self, other: "Points") -> "Points":
        """Return these points and, after them, others."""
        both = ((getattr(self, name), getattr(other, name)) for name in Points.__slots__)
        return Points(*(np.concatenate(pair) for pair in both))


@dataclass(frozen=True, slots=True)
class Scales:
    """What a kernel is set by.

    Attributes:
        weights: w_d, one over a squared length, for each column.
        amplitudes: s_g, variances, for each group.
        lost: −ln ρ, what correlation loses where one training is twice as long as another.
    """

    weights: Floats
    amplitudes: Floats
    lost: float


def matern(squared: Floats) -> tuple[Floats, Floats]:
    """Return m(r) and its derivative by r², from r²."""
    r = _SQRT5 * np.sqrt(squared)
    fading = np.exp(-r)
    return (1 + r + r * r / 3) * fading, (-5 / 6) * (1 + r) * fading


def differences(points: Points, columns: Columns) -> Floats:
    """Return Δ_d² of all pairs of points: (columns, points, points)."""
    found = points.rows.T[:, :, None] - points.rows.T[:, None, :]
    np.square(found, out=found)
    found[columns.categorical] = found[columns.categorical] > 0
    return np.asarray(found)


def covariance(a: Points, b: Points, columns: Columns, scales: Scales) -> Floats:
    """Return k of the points `a` with the points `b`: (len(a), len(b))."""
    found = np.zeros((len(a), len(b)))
    for group, members in enumerate(columns.members):
        radii = _radii(a.rows, b.rows, members, columns, scales)
        found += scales.amplitudes[group] * matern(radii)[0]
    found *= np.sqrt(np.outer(a.variances, b.variances))
    if a.lengths.any() or b.lengths.any():
        found *= np.exp(-scales.lost * np.abs(np.subtract.outer(a.lengths, b.lengths)))
    return found


def _radii(
    a: Floats, b: Floats, members: npt.NDArray[np.intp], columns: Columns, scales: Scales
) -> Floats:
    """Return r² of a group: of numbers by one matrix product, of categories one column after the other."""
    numbers = members[~columns.categorical[members]]
    root = np.sqrt(scales.weights[numbers])
    x, y = a[:, numbers] * root, b[:, numbers] * root
    found = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2 * (x @ y.T)
    np.maximum(found, 0.0, out=found)
    for column in members[columns.categorical[members]]:
        found += scales.weights[column] * (a[:, column, None] != b[None, :, column])
    return np.asarray(found)
