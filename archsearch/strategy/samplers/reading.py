"""Settings and their networks as points for a model: columns for knobs, columns for features."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from archsearch.strategy.samplers.descriptions import Description
from archsearch.strategy.samplers.grid import Grid, Place
from archsearch.surrogate.algebra import Floats
from archsearch.surrogate.kernel import Columns, Points
from archsearch.surrogate.prior import Weighed

_SAME: Final = 1e-9
"""The deviation below which a feature says nothing, as all networks have the same."""


class Entry(NamedTuple):
    """A setting and its network."""

    place: Place
    description: Description


class Reading:
    """Reads entries as points; features are in standard deviations of those it is made of.

    Args:
        grid: of the settings.
        entries: of which features are to differ by about 1; one at least.
        prior: what is expected of them, with its weight.
    """

    def __init__(self, grid: Grid, entries: Sequence[Entry], prior: Weighed | None = None) -> None:
        self._grid, self._prior = grid, prior
        features = _features(entries)
        self._means, deviations = features.mean(0), features.std(0)
        self._telling = np.flatnonzero(deviations > _SAME)
        self._deviations = deviations[self._telling]
        self._knobs = grid.open
        ordered = [grid.ordered[knob] for knob in self._knobs]
        count = len(self._telling)
        self.columns: Final = Columns(
            (*(not order for order in ordered), *([False] * count)),
            (*([0] * len(ordered)), *([1 if ordered else 0] * count)),
        )

    def points(self, entries: Sequence[Entry], lengths: Sequence[float] | None = None) -> Points:
        """Return entries as points, of trainings of these lengths (see `Points`)."""
        if not entries:
            return Points.of(np.zeros((0, self.columns.count)))
        features = (_features(entries) - self._means)[:, self._telling] / self._deviations
        knobs = self._grid.rows([entry.place for entry in entries])[:, self._knobs]
        points = Points.of(np.hstack([knobs, features]))
        if self._prior is not None:
            means, variances = self._prior.predict([e.description.features for e in entries])
            points = Points(points.rows, points.lengths, means, variances)
        if lengths is None:
            return points
        return Points(points.rows, np.asarray(lengths, float), points.means, points.variances)


def _features(entries: Sequence[Entry]) -> Floats:
    rows = [list(entry.description.features.values()) for entry in entries]
    return np.array(rows, dtype=float)
