"""A Gaussian process over parameters, and over features of what they give, as a sampler of Optuna.

All parameters that any trial has had take part, also those that only some trials have. The model is that of
the search (`surrogate/model.py`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from archsearch.optuna.axes import Axes
from archsearch.optuna.trial_values import Result, results_of
from archsearch.surrogate.algebra import Floats, one_thread
from archsearch.surrogate.fitting import Hyperpriors
from archsearch.surrogate.kernel import Columns, Points
from archsearch.surrogate.model import Model, Observations, model_of
from archsearch.surrogate.prior import Prior, Weighed, weighed
from archsearch.surrogate.targets import Scale

Features: TypeAlias = Callable[[Mapping[str, Any]], Mapping[str, float] | None]
"""From a setting to what is known of it before it is tried, by name; None: it can't be tried."""

_NOISE: Final = 0.01
"""The noise's variance that is expected, as a share of the values' variance; it is learnt."""
_DRAWN: Final = 400
"""Candidates by chance; fewer where each has to be described."""
_PARENTS: Final = 5
_CHILDREN: Final = 30
"""Candidates derived from each of the best trials."""
_DESCRIBED: Final = 5
"""How many times fewer candidates there are where each has to be described."""
_STEPS: Final = (0.05, 0.015, 0.005)
"""Standard deviations of ever smaller steps from the most promising candidates."""
_MOVED: Final = 8
_KEY: Final = "archsearch:setting"
_KEY_LENGTH: Final = 2045  # what Optuna's databases take
_SAME: Final = 1e-9


class _Row(NamedTuple):
    """A setting as numbers, and its features."""

    numbers: Floats
    features: Mapping[str, float]


class Sampler(BaseSampler):
    """Proposes the setting of which most improvement is expected; for one objective.

    Trials that run are taken as if they had come out as expected, those that were pruned for what others
    became that stood there, those that break a constraint for the worst. Failed ones are passed over.

    Args:
        seed: of all that is random; None: another one each time.
        features: what is known of a setting before it is tried.
        prior: what is expected by features before anything is known; later it counts as far as trials bear
            it out.
        n_startup: trials before the model proposes: by chance, or half of them as the prior has it.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        features: Features | None = None,
        prior: Prior | None = None,
        n_startup: int = 4,
    ) -> None:
        self._seed = (
            seed if seed is not None else int(np.random.SeedSequence().generate_state(1)[0])
        )
        self._chance = RandomSampler(seed=seed)
        self._features, self._prior, self._startup = features, prior, n_startup

    def reseed_rng(self) -> None:
        """Go on with other chance, as Optuna asks of a sampler in another process."""
        self._seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._chance.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all parameters that any trial has had, as the latest trial had them."""
        self._raise_error_if_multi_objective(study)
        found: dict[str, BaseDistribution] = {}
        for other in study.get_trials(deepcopy=False):
            if other.state in (TrialState.COMPLETE, TrialState.PRUNED):
                found.update(other.distributions)
        return {name: found[name] for name in sorted(found) if not found[name].single()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a value by chance: of the first trials, and of parameters that no trial has had."""
        self._raise_error_if_multi_objective(study)
        return self._chance.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what promises most; nothing, before there is enough to go by."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        trials = study.get_trials(deepcopy=False)
        results = results_of(trials, study.direction)
        running = [
            setting
            for other in trials
            if other.state is TrialState.RUNNING and other.number != trial.number
            if (setting := _setting(other)) and search_space.keys() & setting.keys()
        ]
        rng = np.random.default_rng([self._seed, trial.number])
        if not results or len(results) < self._startup:
            proposed = self._started(search_space, results, rng)
        else:
            with one_thread():
                proposed = self._proposed(search_space, results, running, rng)
        if proposed:
            _keep(study, trial, proposed)
        return proposed

    def _started(
        self,
        space: Mapping[str, BaseDistribution],
        results: Sequence[Result],
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        """Return the draw of which the prior expects most; nothing where chance is to decide."""
        if self._prior is None or 2 * len(results) < self._startup:
            return {}
        axes = Axes(space, [result.params for result in results])
        drawn = self._rows(axes, [axes.drawn(rng) for _ in range(self._count(_DRAWN))])
        if not drawn:
            return {}
        expected = self._prior.expected([row.features for row in drawn])
        return axes.whole(drawn[int(np.argmax(expected))].numbers)

    def _proposed(
        self,
        space: Mapping[str, BaseDistribution],
        results: Sequence[Result],
        running: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        axes = Axes(space, [result.params for result in results])
        told = [(r, row) for r in results if (row := self._row(axes, r.params)) is not None]
        drawn = self._rows(axes, [axes.drawn(rng) for _ in range(self._count(_DRAWN))])
        if not told or not drawn:
            return axes.whole(axes.drawn(rng))
        values = np.array([result.value for result, _ in told])
        scale = Scale(values)
        prior = None
        if self._prior is not None:
            features = [row.features for _, row in told]
            prior = weighed(self._prior, features, scale.standardized(values))
        reading = _Reading(axes, [*(row for _, row in told), *drawn], prior)
        noise = _NOISE + np.array([result.variance for result, _ in told]) / scale.unit**2
        points = reading.points([row for _, row in told])
        evidence = Observations(points, scale.standardized(values), noise)
        model = model_of(evidence, reading.columns, reading.hyperpriors)
        best = [told[number][1] for number in model.best_first(points)[:_PARENTS]]
        children = [
            axes.changed(row.numbers, rng, 1 + number % 2)
            for row in best
            for number in range(self._count(_CHILDREN))
        ]
        waiting = [row for params in running if (row := self._row(axes, params)) is not None]
        known = {row.numbers.tobytes() for row in (*(row for _, row in told), *waiting)}
        candidates = [*drawn, *self._rows(axes, children)]
        new = [row for row in candidates if row.numbers.tobytes() not in known]
        model = model.believing(reading.points(waiting))
        chosen = self._best(axes, reading, model, new or candidates, rng, known)
        return axes.whole(chosen.numbers)

    def _best(
        self,
        axes: Axes,
        reading: "_Reading",
        model: Model,
        candidates: list[_Row],
        rng: np.random.Generator,
        known: set[bytes],
    ) -> _Row:
        """Return the candidate that promises most, after some steps from the best to what is not known."""
        for step in _STEPS if axes.moves and self._features is None else ():
            order = model.most_promising_first(reading.points(candidates))[:_MOVED]
            moved = [
                axes.moved(candidates[number].numbers, rng, step)
                for number in order
                for _ in range(_MOVED)
            ]
            there = [row for row in self._rows(axes, moved) if row.numbers.tobytes() not in known]
            candidates = [*(candidates[number] for number in order), *there]
        first = int(model.most_promising_first(reading.points(candidates))[0])
        return candidates[first]

    def _count(self, count: int) -> int:
        return count if self._features is None else count // _DESCRIBED

    def _rows(self, axes: Axes, numbers: Sequence[Floats]) -> list[_Row]:
        """Return settings that can be tried; parameters that they have not are as those that lack them."""
        settings = [axes.params(each) for each in numbers]
        return [row for params in settings if (row := self._row(axes, params)) is not None]

    def _row(self, axes: Axes, params: Mapping[str, Any]) -> _Row | None:
        features = {} if self._features is None else self._features(params)
        return None if features is None else _Row(axes.row(params), features)


class _Reading:
    """Reads rows as points; features are in standard deviations of those it is made of."""

    def __init__(self, axes: Axes, rows: Sequence[_Row], prior: Weighed | None) -> None:
        self._prior = prior
        self._names = tuple(dict.fromkeys(name for row in rows for name in row.features))
        features = self._features(rows)
        self._means, deviations = features.mean(0), features.std(0)
        self._telling = np.flatnonzero(deviations > _SAME)
        self._deviations = deviations[self._telling]
        count = len(self._telling)
        self.columns = Columns(
            (*axes.categories, *([False] * count)), (*([0] * len(axes.names)), *([1] * count))
        )
        # Numbers go from 0 to 1, features have a standard deviation of 1.
        self.hyperpriors = Hyperpriors(
            lengths=(0.3, 1.0)[: self.columns.group_count],
            amplitudes=(0.3, 0.7) if count else (1.0,),
            weights_spread=1.5,
            noise_spread=1.5,
        )

    def _features(self, rows: Sequence[_Row]) -> Floats:
        found = [[float(row.features.get(name, 0.0)) for name in self._names] for row in rows]
        return np.array(found, dtype=float).reshape(len(rows), len(self._names))

    def points(self, rows: Sequence[_Row]) -> Points:
        """Return rows as points."""
        if not rows:
            return Points.of(np.zeros((0, self.columns.count)))
        features = (self._features(rows) - self._means)[:, self._telling] / self._deviations
        points = Points.of(np.hstack([np.array([row.numbers for row in rows]), features]))
        if self._prior is None:
            return points
        means, variances = self._prior.predict([row.features for row in rows])
        return Points(points.rows, points.lengths, means, variances)


def _keep(study: Study, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
    """Tell other workers what a trial tries, before its objective has asked for it."""
    text = json.dumps(params) if all(map(_is_plain, params.values())) else ""
    if text and len(text) <= _KEY_LENGTH:
        study._storage.set_trial_system_attr(trial._trial_id, _KEY, text)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _setting(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return what a running trial tries, as far as it is known."""
    kept = trial.system_attrs.get(_KEY)
    told: Mapping[str, Any] = json.loads(kept) if kept else {}
    return {**told, **trial.params}
