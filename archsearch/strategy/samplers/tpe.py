"""Optuna's tree-structured Parzen estimator as a sampler, made repeatable.

A choice depends on the seed, the decision's number and what is known, so that workers may end in any
order, or die and be resumed, and the choices stay the same. Each choice is made in a small study in
memory, never in the study's storage: a database takes a tenth of a second per question.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

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


class TpeSampler:
    """Proposes what Optuna's TPE would; until enough trials have ended, what chance gives.

    What was made of a trial for one decision is kept for the next ones, which know it, too.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._space = distributions(choices.knobs)
        self._made: dict[int, tuple[Trial, FrozenTrial, Row]] = {}

    def propose(self, known: Known) -> Iterator[dict[str, KnobValue]]:
        """Yield the model's proposals; each looks elsewhere than those before it."""
        from archsearch.strategy.fixed_study import fixed_study

        hush()
        made = [self._of(trial) for trial in known.trials]
        study, rows = fixed_study([frozen for _, frozen, _ in made]), [row for *_, row in made]
        for attempt in range(ATTEMPTS):
            yield self._ask(study, rows, known.seed_of("knobs", attempt))

    def _of(self, trial: Trial) -> "tuple[Trial, FrozenTrial, Row]":
        """Return a trial in Optuna's terms; it is the same as long as nothing new is known of it."""
        from archsearch.strategy.samplers.known_tpe import row_of

        made = self._made.get(trial.number)
        if made is None or made[0] is not trial:
            made = trial, _frozen(trial, self._space), row_of(trial.knobs, self._space)
            self._made[trial.number] = made
        return made

    def _ask(self, study: "Study", rows: "Sequence[Row]", seed: int) -> dict[str, KnobValue]:
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


def _frozen(trial: Trial, space: "Mapping[str, BaseDistribution]") -> "FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    ended = trial.best_known
    state, value, reports = TrialState.RUNNING, None, {}
    if ended is not None and ended.outcome is not None:
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
        datetime_complete=None if ended is None else now,
        params=dict(trial.knobs),
        distributions=dict(space),
        user_attrs={},
        system_attrs={},
        intermediate_values=reports,
    )
