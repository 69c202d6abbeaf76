"""An Optuna study of trials that are known already, for a sampler or a pruner to be asked in.

Optuna's own storage in memory copies every trial that it is given and every one it gives back; what is
asked here changes none of them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection, create_study
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    from collections.abc import Container

    from optuna.distributions import BaseDistribution
    from optuna.study import Study

_States: TypeAlias = tuple[TrialState, ...] | None


def fixed_study(trials: Sequence[FrozenTrial]) -> "Study":
    """Return a study of these trials, to be maximised; what is asked for has the numbers after theirs."""
    return create_study(storage=_FixedTrials(trials), direction=StudyDirection.MAXIMIZE)


class _FixedTrials(InMemoryStorage):
    """Holds one study: trials that stay as they are, and those that are asked for after them."""

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._fixed = tuple(trials)
        self._first = 1 + max((trial.number for trial in trials), default=-1)
        self._asked: list[FrozenTrial] = []
        self._by_states: dict[_States, list[FrozenTrial]] = {}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = self._first + len(self._asked)
        self._asked.append(template_trial or _running(number))
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: Any
    ) -> None:
        trial = self._of(trial_id)
        value = distribution.to_external_repr(param_value_internal)
        distributions: dict[str, BaseDistribution] = {**trial.distributions}
        trial.params = {**trial.params, param_name: value}
        trial.distributions = {**distributions, param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._of(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._of(trial_id)

    def get_trial_number_from_id(self, trial_id: int) -> int:
        return trial_id

    def get_n_trials(self, study_id: int, state: Any = None) -> int:
        states = (state,) if isinstance(state, TrialState) else state
        return len(self.get_all_trials(study_id, deepcopy=False, states=states))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: "Container[TrialState] | None" = None,
    ) -> list[FrozenTrial]:
        wanted = None if states is None else tuple(state for state in TrialState if state in states)
        if wanted not in self._by_states:
            self._by_states[wanted] = [
                trial for trial in self._fixed if wanted is None or trial.state in wanted
            ]
        asked = [trial for trial in self._asked if wanted is None or trial.state in wanted]
        return [*self._by_states[wanted], *asked]

    def _of(self, trial_id: int) -> FrozenTrial:
        return self._asked[trial_id - self._first]


def _running(number: int) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
