"""The fidelity scheme `median`: one length, and what falls below the median of its peers is cut short."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from archsearch.archive.keys import JobKey
from archsearch.archive.optuna_terms import hush
from archsearch.archive.orders import Order, Training, Trial
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.sampler import Known

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_LEAST_PEERS: Final = 3
_WARM_UP: Final = 3
"""The divisor of a training's epochs that gives how many at its start are not judged."""
_STUDIES: Final = 512
"""Trainings whose peers are held ready, at most: few machines have more run at a time."""
_PEERS: Final = 1000
"""Trials that a training is compared with at most, the newest: a median of more says the same."""


class MedianPruning(FullLength):
    """Cuts a training short whose best accuracy is below the median of the complete ones at its epoch.

    Optuna's median pruner (Golovin et al. 2017, Google Vizier, section 3.1) with a warm-up of a third.
    """

    def __init__(self, startup: int) -> None:
        super().__init__(startup)
        # What was made for one question is kept for the next ones, where the same is known.
        self._studies: dict[JobKey, tuple[Known, Study]] = {}
        self._seen: tuple[Trial, ...] = ()
        self._made: list[list[tuple[int, FrozenTrial]]] = []

    def judge(self, curve: Mapping[int, float], order: Order, known: Known) -> str:
        """Return that it is below the median, and when."""
        epoch, epochs = max(curve), order.length.epochs
        warm_up = max(1, epochs // _WARM_UP)
        if epoch <= warm_up or epoch >= epochs:
            return ""
        if not self._below_median(curve, order, known, warm_up):
            return ""
        return f"below the median of the trials before it after epoch {epoch}"

    def _below_median(
        self, curve: Mapping[int, float], order: Order, known: Known, warm_up: int
    ) -> bool:
        import optuna

        hush()
        study = self._study(order, known)
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=self._startup, n_warmup_steps=warm_up + 1, n_min_trials=_LEAST_PEERS
        )
        mine = _trial(optuna.trial.TrialState.RUNNING, None, curve)
        return bool(pruner.prune(study, mine))

    def _study(self, order: Order, known: Known) -> "Study":
        """Return the peers of a training as a study: the same ones after each of its epochs."""
        from archsearch.strategy.fixed_study import fixed_study

        asked = self._studies.get(order.key)
        if asked is None or asked[0] is not known:
            self._learn(known)
            rung = order.key.rung
            newest = self._made[-_PEERS:]
            peers = [frozen for trial in newest for there, frozen in trial if there == rung]
            asked = known, fixed_study(peers)
            while len(self._studies) >= _STUDIES:
                del self._studies[next(iter(self._studies))]
            self._studies[order.key] = asked
        return asked[1]

    def _learn(self, known: Known) -> None:
        """Bring what was made of the trials' trainings, each with its rung, up to what is known now."""
        del self._made[len(known.trials) :]  # more was known before
        for number in known.changed(self._seen):
            trainings = known.trials[number].trainings
            made = [(t.order.key.rung, _frozen(t)) for t in trainings if t.outcome is not None]
            self._made[number : number + 1] = [made]
        self._seen = known.trials


def _frozen(peer: Training) -> "FrozenTrial":
    from optuna.trial import TrialState

    assert peer.outcome is not None
    state = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }[peer.outcome.status]
    value = None if state is TrialState.FAIL else peer.outcome.val_accuracy
    return _trial(state, value, peer.reports)


def _trial(state: object, value: float | None, reports: Mapping[int, float]) -> "FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    assert isinstance(state, TrialState)
    now = datetime.min
    return FrozenTrial(
        number=0,
        trial_id=0,
        state=state,
        value=value,
        datetime_start=now,
        datetime_complete=now if state.is_finished() else None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values=dict(reports),
    )
