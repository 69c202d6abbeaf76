"""The fidelity scheme `rungs`: every network trains for a short while, and the best train anew in full.

Successive halving that waits for nobody (Li et al. 2020, ASHA) with two lengths, and with a share of the
training FLOPs in place of a share of the networks.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelity import NO_RUNGS, Outlook, Promotion
from archsearch.strategy.sampler import Known
from archsearch.strategy.samplers.excerpt import MODELLED

LEAST_EPOCHS: Final = 4
"""Epochs of a short training at least: below, what it tells of the full length is little."""
PART: Final = 12
"""The divisor of the full length's epochs that gives those of a short training. At 1/16 of the length its
ranking at equal FLOPs agrees with the full one's to a Kendall's tau of 0.4 to 0.6 (NAS-Bench-201)."""
PRICE: Final = 3
"""Times the training FLOPs of a full training that short ones must have cost to pay for it: so they are three
quarters of all."""
LAST_PRICE: Final = 1
"""The same when nothing new is tried any more, of all but the first."""


class _Account(NamedTuple):
    """What went into a trial's short and its full training, and what that would cost if it waits for one."""

    short: int
    full: int
    waits: bool
    cost: int
    is_baseline: bool


class Rungs(MedianPruning):
    """Trains all networks for a twelfth of the length, and from time to time the best one in full.

    When nothing new is tried any more the best one does, until it is one that has: a short training that
    promises more than all full ones, and was never followed up, would have told nobody anything.

    Short trainings come to their ends: a schedule that is cut off ranks worse than a short one that is not.
    Full ones are cut short below the median of the others, as in `MedianPruning`.
    """

    def __init__(self, startup: int) -> None:
        super().__init__(startup)
        self._booked: tuple[Trial, ...] = ()
        self._accounts: list[_Account] = []

    def rungs(self, full: Length) -> tuple[Length, ...]:
        """Return a short and the full length; the full one alone where it is short itself."""
        if full.epochs <= NO_RUNGS:
            return (full,)
        epochs = max(LEAST_EPOCHS, round(full.epochs / PART))
        return Length(full.images * epochs // full.epochs, epochs), full

    def judge(self, curve: Mapping[int, float], order: Order, known: Known) -> str:
        """Return that a full training is below the median of the others."""
        return "" if order.key.rung == 0 else super().judge(curve, order, known)

    def promote(self, known: Known, outlook: Outlook) -> Promotion | None:
        """Return the best network of the short trainings, when those have paid for its full one.

        The matched baseline comes first, once all short trainings together cost as much as its full one: the
        yardstick of a search that is long enough. It is not among those that are compared, and not counted.
        """
        accounts = self._looked(known, outlook)
        if outlook.closing:
            return _last(known, outlook, accounts)
        waiting = [number for number, one in enumerate(accounts) if one.waits]
        short = sum(one.short for one in accounts)
        for number in waiting:
            if accounts[number].is_baseline and accounts[number].cost <= short:
                return Promotion(number, 1)
        left = sum(one.short - PRICE * one.full for one in accounts if not one.is_baseline)
        able = [
            known.trials[number]
            for number in waiting
            if not accounts[number].is_baseline and PRICE * accounts[number].cost <= left
        ]
        return Promotion(_best(able, known, outlook), 1) if able else None

    def _looked(self, known: Known, outlook: Outlook) -> Sequence[_Account]:
        """Return the trials' accounts; those of trials that are the same as before are kept."""
        del self._accounts[len(known.trials) :]
        for number in known.changed(self._booked):
            trial = known.trials[number]
            waits = self._waits(trial, outlook)
            self._accounts[number : number + 1] = [
                _Account(
                    short=_spent(trial, rung=0),
                    full=_spent(trial, rung=1),
                    waits=waits,
                    cost=_cost(trial, outlook) if waits else 0,
                    is_baseline=trial.design.role == "baseline",
                )
            ]
        self._booked = known.trials
        return self._accounts

    def promotions(self, trials: int, full: Length) -> int:
        """Return about how many of so many networks train in full."""
        short, *longer = self.rungs(full)
        if not longer or not trials:
            return 0
        times = full.images / short.images
        # The best one does at the end, if none did before.
        candidates = max(int((trials - 1) / (PRICE * times)), min(1, trials - 1))
        return candidates + (trials >= times)

    def _waits(self, trial: Trial, outlook: Outlook) -> bool:
        """Whether a short training has come to its end, and a full one would be another."""
        if len(trial.trainings) != 1 or trial.last.outcome is None:
            return False
        if trial.last.outcome.status != "complete":
            return False
        return len(self.rungs(outlook.length(trial.design.flops))) > 1


def _last(known: Known, outlook: Outlook, accounts: Sequence[_Account]) -> Promotion | None:
    """Return the best network, if it still waits for a full training and is the first or well paid for."""
    able = [
        trial
        for trial, one in zip(known.trials, accounts, strict=True)
        if not one.is_baseline and (one.waits or _is_in_full(trial))
    ]
    best = _best(able, known, outlook) if able else None
    if best is None or not accounts[best].waits:
        return None
    full = sum(one.full for one in accounts if not one.is_baseline)
    left = sum(one.short - LAST_PRICE * one.full for one in accounts if not one.is_baseline)
    return None if full and LAST_PRICE * accounts[best].cost > left else Promotion(best, 1)


def _is_in_full(trial: Trial) -> bool:
    outcome = trial.last.outcome
    return trial.last.order.key.rung == 1 and outcome is not None and outcome.status == "complete"


def _best(trials: Sequence[Trial], known: Known, outlook: Outlook) -> int:
    """Return the number of the trial that is expected to be the best at the full length.

    Without a model the accuracies of the short trainings say so: one value each, with equal noise, whose
    posterior means have the order of the values.
    """
    values = {} if outlook.predicted is None else outlook.predicted(known)
    if len(known.trials) > MODELLED:  # the model knows the best of them, and the newest
        trials = [trial for trial in trials if trial.number in values] or trials
    if any(trial.number not in values for trial in trials):
        values = {trial.number: _accuracy(trial.trainings[0]) for trial in trials}
    return max(trials, key=lambda trial: (values[trial.number], -trial.number)).number


def _accuracy(training: Training) -> float:
    assert training.outcome is not None
    return training.outcome.val_accuracy or 0.0


def _cost(trial: Trial, outlook: Outlook) -> int:
    """Return the training FLOPs of a trial's full length."""
    return trial.design.training_flops(outlook.length(trial.design.flops).images)


def _spent(trial: Trial, *, rung: int) -> int:
    """Return the training FLOPs of a trial's training on a rung: all of it while it runs."""
    return sum(
        training.order.flops if training.outcome is None else training.spent_flops
        for training in trial.trainings
        if training.order.key.rung == rung
    )
