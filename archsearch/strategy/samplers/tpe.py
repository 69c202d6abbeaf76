"""Optuna's tree-structured Parzen estimator as a sampler, made repeatable.

A choice depends on the seed, the decision's number and what is known, so that workers may end in any
order, or die and be resumed, and the choices stay the same. Each choice is made in a small study in
memory, never in the study's storage: a database takes a tenth of a second per question.
"""

import warnings
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from archsearch.archive.optuna_terms import distributions, hush, plain
from archsearch.archive.orders import Trial
from archsearch.space.knobs import KnobValue
from archsearch.strategy.sampler import Choices, Known

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from archsearch.strategy.samplers.known_tpe import Row

ATTEMPTS: Final = 8
"""Proposals of the model per decision, before chance takes over when they have all been tried."""
MODELLED: Final = 256
"""Trials that ended and that the model is made of, at most: all that it calls good, and the newest others.

Optuna's model counts the 25 best as good, of however many; the others weigh the less the older they are.
"""
_GOOD: Final = 25

_Rank: TypeAlias = tuple[int, int, float, int]
"""Where Optuna's model has a trial that ended: kind, epochs, accuracy (each negated), number."""


class TpeSampler:
    """Proposes what Optuna's TPE would; until enough trials have ended, what chance gives.

    What was made of a trial for one decision is kept for the next ones, which know it, too.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._space = distributions(choices.knobs)
        self._seen: tuple[Trial, ...] = ()
        self._made: list[tuple[FrozenTrial, Row, _Rank | None]] = []
        self._ranks: list[_Rank] = []

    def propose(self, known: Known) -> Iterator[dict[str, KnobValue]]:
        """Yield the model's proposals; each looks elsewhere than those before it."""
        from archsearch.strategy.fixed_study import fixed_study

        hush()
        self._learn(known)
        numbers = self._modelled()
        study = fixed_study([self._made[number][0] for number in numbers])
        rows = {number: self._made[number][1] for number in numbers}
        for attempt in range(ATTEMPTS):
            yield self._ask(study, rows, known.seed_of("knobs", attempt))

    def _learn(self, known: Known) -> None:
        """Bring what was made of the trials up to what is known now."""
        from archsearch.strategy.samplers.known_tpe import row_of

        for number in range(len(known.trials), len(self._made)):  # more was known before
            self._forget(number)
        del self._made[len(known.trials) :]
        for number in known.changed(self._seen):
            trial = known.trials[number]
            frozen = _frozen(trial, self._space)
            made = frozen, row_of(trial.knobs, self._space), _rank_of(frozen)
            if number < len(self._made):
                self._forget(number)
                self._made[number] = made
            else:
                self._made.append(made)
            if made[2] is not None:
                insort(self._ranks, made[2])
        self._seen = known.trials

    def _forget(self, number: int) -> None:
        rank = self._made[number][2]
        if rank is not None:
            del self._ranks[bisect_left(self._ranks, rank)]

    def _modelled(self) -> list[int]:
        """Return the numbers of the trials that the model is made of, those that run among them."""
        from optuna.trial import TrialState

        good = {number for *_, number in self._ranks[:_GOOD]}
        others: list[int] = []
        room = MODELLED - len(good)
        for number in range(len(self._made) - 1, -1, -1):
            if not room:
                break
            frozen, _, rank = self._made[number]
            if number in good or frozen.state is TrialState.FAIL:
                continue
            others.append(number)
            room -= rank is not None
        return sorted((*good, *others))

    def _ask(self, study: "Study", rows: "Mapping[int, Row]", seed: int) -> dict[str, KnobValue]:
        import optuna

        from archsearch.strategy.samplers.known_tpe import KnownTpe

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Multivariate: knobs interact, a deep network wants another ratio than a shallow one.
            # Constant liar: what runs already is assumed to be bad, so that workers spread out.
            study.sampler = KnownTpe(
                self._space,
                rows,
                seed=seed,
                multivariate=True,
                constant_liar=True,
                n_startup_trials=self._choices.startup,
            )
        params = study.ask(self._space).params
        return {knob.name: plain(params[knob.name]) for knob in self._choices.knobs}


def _rank_of(frozen: "FrozenTrial") -> _Rank | None:
    """Return a trial's place among those that ended, as Optuna's model orders them; None: it is not in it.

    What was cut short comes after what was not, the later the better.
    """
    from optuna.trial import TrialState

    if frozen.state is TrialState.COMPLETE:
        assert frozen.value is not None
        return 0, 0, -frozen.value, frozen.number
    if frozen.state is not TrialState.PRUNED:
        return None
    if not frozen.intermediate_values:
        return 1, 1, 0.0, frozen.number
    epoch, accuracy = max(frozen.intermediate_values.items())
    return 1, -epoch, -accuracy, frozen.number


def _frozen(trial: Trial, space: "Mapping[str, BaseDistribution]") -> "FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    # Figures after trainings of different length are not to be compared: what all have is the shortest. A
    # longer one that failed counts as a failure.
    ended, last = trial.trainings[0], trial.best_known
    if last is not None and last.outcome is not None and last.outcome.status == "failed":
        ended = last
    state, value, reports = TrialState.RUNNING, None, {}
    if ended.outcome is not None:
        state = {
            "complete": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }[ended.outcome.status]
        value = None if state is TrialState.FAIL else ended.outcome.val_accuracy
        reports = dict(ended.reports)
    now = datetime.min
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=value,
        datetime_start=now,
        datetime_complete=None if ended.outcome is None else now,
        params=dict(trial.knobs),
        distributions=dict(space),
        user_attrs={},
        system_attrs={},
        intermediate_values=reports,
    )
