"""Which knobs to try next, and which trials to cut short: Optuna's choices, made repeatable.

A choice for trial n depends on the seed, n, and what trials up to n − window had given; the
trials between them count as running. So workers may end in any order, or die and be resumed,
and the choices stay the same. Each choice is made in a small study in memory, never in the
storage: a database takes a tenth of a second per question.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from archsearch.archive.store import Trial, distributions, hush, plain
from archsearch.space.knobs import Knob, KnobValue, draw

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

TPE_ATTEMPTS = 8
"""Proposals of the model per trial, before chance takes over when they have all been tried."""


def derive_seed(seed: int, *parts: object) -> int:
    """Return a seed in [0, 2³¹) for one purpose, independent of those for other purposes."""
    text = ":".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


class View:
    """What may be known when trial `number` is decided on: the trials `window` and more before it.

    Args:
        trials: all earlier trials.
        window: trials whose results are not to be known, this one included.
        startup: finished trials before the model proposes; chance does until then.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        *,
        number: int,
        window: int,
        knobs: tuple[Knob, ...],
        seed: int,
        startup: int,
    ) -> None:
        import optuna

        hush()
        self.number = number
        self._knobs = knobs
        self._seed = seed
        self._startup = startup
        self._study = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(), direction="maximize"
        )
        space = distributions(knobs)
        for trial in trials[:number]:
            known = trial.number <= number - window
            self._study.add_trial(_frozen(trial, space, known=known))

    def propose(self, attempt: int) -> dict[str, KnobValue]:
        """Choose knobs; a later attempt follows another that was of no use, and looks elsewhere."""
        seed = derive_seed(self._seed, "knobs", self.number, attempt)
        if attempt >= TPE_ATTEMPTS:
            return draw(self._knobs, Random(seed))
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Multivariate: knobs interact, a deep network wants another ratio than a shallow one.
            # Constant liar: what runs already is assumed to be bad, so that workers spread out.
            self._study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=self._startup
            )
        params = self._study.ask(distributions(self._knobs)).params
        return {knob.name: plain(params[knob.name]) for knob in self._knobs}

    def hopeless(self, reports: Mapping[int, float], *, warmup: int) -> bool:
        """Say whether accuracies by epoch are below the median of the complete trials so far.

        Args:
            reports: validation accuracy by 1-based epoch.
            warmup: epochs no trial is judged by.
        """
        import optuna

        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=self._startup, n_warmup_steps=warmup + 1, n_min_trials=3
        )
        now = datetime.min
        trial = optuna.trial.FrozenTrial(
            number=self.number,
            trial_id=self.number,
            state=optuna.trial.TrialState.RUNNING,
            value=None,
            datetime_start=now,
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values=dict(reports),
        )
        return bool(pruner.prune(self._study, trial))


def _frozen(trial: Trial, space: "Mapping[str, BaseDistribution]", *, known: bool) -> "FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    state, value = TrialState.RUNNING, None
    if known:
        state = {
            "complete": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }[trial.state]
        value = None if state is TrialState.FAIL else trial.accuracy
    now = datetime.min
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=value,
        datetime_start=now,
        datetime_complete=now if known else None,
        params=dict(trial.knobs),
        distributions=dict(space),
        user_attrs={},
        system_attrs={},
        intermediate_values=dict(trial.reports) if known else {},
    )
