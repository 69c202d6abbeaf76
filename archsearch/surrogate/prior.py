"""What may be expected of networks before any of them has trained in this search, and what that is worth.

A prior says which networks are the better ones, on any scale. It is learnt from other searches (`learnt`), or
written down. What it says is taken for what it has been worth so far (`weighed`): the part of the variance
that it explains of the values known, each foretold from the others. So a prior of the wrong sign counts for
nothing as soon as there is something to see it by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from archsearch.surrogate.algebra import Floats, one_thread
from archsearch.surrogate.targets import Scale

PENALTIES: Final = tuple(10.0**power for power in np.arange(0.0, 3.1, 0.5))
"""Penalties of the ridge regression that are tried, for features of variance 1."""
DOUBT: Final = 4.0
"""Trials that a prior's worth is weighed against: so many halve it. Of few, chance makes it look good."""
_SAME: Final = 1e-9


class Prior(Protocol):
    """Expects something of features: learnt from other searches, or written down."""

    def expected(self, features: Sequence[Mapping[str, float]]) -> Floats:
        """Return a number for each network, the higher the better: (networks,), on any scale."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What another search has found.

    Attributes:
        features: of each network, by name.
        values: (networks,) what came of them: accuracies, say, all of trainings of one kind.
    """

    features: Sequence[Mapping[str, float]]
    values: Floats


@dataclass(frozen=True, slots=True)
class LinearPrior:
    """A sum of features, each times a weight; features without one say nothing.

    Attributes:
        weights: by the feature's name.
    """

    weights: Mapping[str, float]

    def expected(self, features: Sequence[Mapping[str, float]]) -> Floats:
        """Return the sum for each network."""
        sums = [
            sum(weight * one.get(name, 0.0) for name, weight in self.weights.items())
            for one in features
        ]
        return np.array(sums, dtype=float)


def learnt(tasks: Sequence[Task]) -> LinearPrior | None:
    """Return what tasks teach together; None: they teach nothing.

    Ridge regression (Hoerl & Kennard 1970). Both sides are taken off their means within each task, and values
    are in its standard deviations: other budgets and other data have other levels. The penalty is the one by
    which values are best foretold from the others, which has a closed form.
    """
    told = [task for task in tasks if len(task.values) > 1 and np.ptp(task.values) > _SAME]
    names = sorted({name for task in told for one in task.features for name in one})
    if not names:
        return None
    rows = np.vstack([_centered(task, names) for task in told])
    values = np.concatenate([Scale(task.values).standardized(task.values) for task in told])
    deviations = rows.std(0)
    telling = np.flatnonzero(deviations > _SAME)
    if not len(telling):
        return None
    weights = _ridge(rows[:, telling] / deviations[telling], values)
    if weights is None:
        return None
    by_unit = weights / deviations[telling]
    return LinearPrior({names[i]: float(w) for i, w in zip(telling, by_unit, strict=True)})


def _centered(task: Task, names: Sequence[str]) -> Floats:
    rows = np.array([[float(one.get(name, 0.0)) for name in names] for one in task.features])
    return np.asarray(rows - rows.mean(0))


def _ridge(rows: Floats, values: Floats) -> Floats | None:
    """Return the weights of the best penalty; None: each foretells values worse than their mean does."""
    from sklearn.linear_model import (
        RidgeCV,
    )  # takes a second, which a search without a prior need not wait

    with one_thread():
        found = RidgeCV(alphas=PENALTIES, fit_intercept=False).fit(rows, values)
    if -found.best_score_ >= np.mean(values**2):
        return None
    return np.asarray(found.coef_)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A prior as far as it has been worth something.

    Attributes:
        prior: it is of.
        center, unit: mean and standard deviation of what it expects of the networks that are known.
        worth: the share of the values' variance that it explains, above 0 and below 1.
    """

    prior: Prior
    center: float
    unit: float
    worth: float

    def predict(self, features: Sequence[Mapping[str, float]]) -> tuple[Floats, Floats]:
        """Return a mean for each network, in standard deviations, and the share of variance left open."""
        apart = (self.prior.expected(features) - self.center) / self.unit
        return np.sqrt(self.worth) * apart, np.full(len(apart), 1 - self.worth)


def weighed(
    prior: Prior, features: Sequence[Mapping[str, float]], values: Floats
) -> Weighed | None:
    """Return a prior with the weight that what is known gives it; None: it is worth nothing so far.

    Args:
        prior: that is judged.
        features: of the networks that are known.
        values: (networks,) what came of them.
    """
    expected = prior.expected(features)
    found = worth(expected, values)
    if not found > 0:
        return None
    return Weighed(prior, float(expected.mean()), float(expected.std()), found)


def worth(expected: Floats, values: Floats) -> float:
    """Return the share of the values' variance that is explained by what was expected, 0 at least.

    Each value is foretold by a line through the others that never falls, one observation of no slope among
    them. The share is R² of that, less the more, the fewer they are: n / (n + DOUBT) of it.
    """
    count = len(values)
    if count < 3 or expected.std() <= _SAME or values.std() <= _SAME:
        return 0.0
    x, y = (expected - expected.mean()) / expected.std(), values - values.mean()
    rest = count - 1
    # Sums over all but one, about the mean of those.
    without = count / rest
    squares = count - without * x**2
    products = x @ y - without * x * y
    slopes = np.maximum(0.0, products / (squares + 1.0))
    lost = float(np.sum((without * (y - slopes * x)) ** 2))
    explained = 1 - lost / float(np.sum((without * y) ** 2))
    return max(0.0, explained) * count / (count + DOUBT)
