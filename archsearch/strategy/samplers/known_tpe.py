"""Optuna's TPE where every trial has all of the knobs; what was computed of a trial is not computed again.

The numbers are Optuna's own, to the last digit. What takes it a time that grows with the trials, at every
question anew, is looking through all of them for the knobs they share, and for each knob's value as a number.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

Row = tuple[float, ...]
"""A trial's knobs as Optuna counts with them, in the order of the space."""


def row_of(params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> Row:
    """Return a trial's knobs as numbers."""
    return tuple(kind.to_internal_repr(params[name]) for name, kind in space.items())


class KnownTpe(TPESampler):
    """Optuna's sampler on trials whose knobs are known as numbers already.

    Args:
        space: what all trials choose from.
        rows: of the trials, by their numbers; those asked for after them are not among these.
        settings: of Optuna's sampler.
    """

    def __init__(
        self, space: Mapping[str, BaseDistribution], rows: Mapping[int, Row], **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._space = space
        self._rows = rows
        self._places = {name: place for place, name in enumerate(space)}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all knobs that have a choice, by name: no trial lacks any of them."""
        return {name: self._space[name] for name in sorted(self._space) if self._open(name)}

    def _open(self, name: str) -> bool:
        return not self._space[name].single()

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: Study
    ) -> dict[str, npt.NDArray[Any]]:
        known = self._rows
        rows = [known.get(trial.number) or row_of(trial.params, self._space) for trial in trials]
        places = {name: self._places[name] for name in search_space}
        return {name: np.asarray([row[place] for row in rows]) for name, place in places.items()}
