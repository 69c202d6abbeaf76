"""The fidelity scheme `rungs`: every network trains for a short while, and the best train anew in full.

Successive halving that waits for nobody (Li et al. 2020, ASHA) with two lengths, and with a share of the
training FLOPs in place of a share of the networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelity import NO_RUNGS, Outlook, Promotion
from archsearch.strategy.sampler import Known

LEAST_EPOCHS: Final = 4
"""Epochs of a short training at least: below, what it tells of the full length is little."""
PART: Final = 12
"""The divisor of the full length's epochs that gives those of a short training. At 1/16 of the length its
ranking at equal FLOPs agrees with the full one's to a Kendall's tau of 0.4 to 0.6 (NAS-Bench-201)."""
PRICE: Final = 3
"""Times the training FLOPs of a full training that short ones must have cost to pay for it: so they are three
quarters of all."""


class Rungs(MedianPruning):
    """Trains all networks for a twelfth of the length, and from time to time the best one in full.

    Short trainings come to their ends: a schedule that is cut off ranks worse than a short one that is not.
    Full ones are cut short below the median of the others, as in `MedianPruning`.
    """

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
        waiting = [trial for trial in known.trials if self._waits(trial, outlook)]
        short = dict(_spent(known.trials, rung=0))
        for trial in waiting:
            if _is_baseline(trial) and _cost(trial, outlook) <= sum(short.values()):
                return Promotion(trial.number, 1)
        candidates = [trial for trial in known.trials if not _is_baseline(trial)]
        left = sum(short[trial.number] for trial in candidates)
        left -= PRICE * sum(flops for _, flops in _spent(candidates, rung=1))
        able = [t for t in waiting if not _is_baseline(t) and PRICE * _cost(t, outlook) <= left]
        return Promotion(_best(able, known, outlook), 1) if able else None

    def promotions(self, trials: int, full: Length) -> int:
        """Return about how many of so many networks train in full."""
        short, *longer = self.rungs(full)
        if not longer:
            return 0
        times = full.images / short.images
        return int((trials - 1) / (PRICE * times)) + (trials >= times)

    def _waits(self, trial: Trial, outlook: Outlook) -> bool:
        """Whether a short training has come to its end, and a full one would be another."""
        if len(trial.trainings) != 1 or trial.last.outcome is None:
            return False
        if trial.last.outcome.status != "complete":
            return False
        return len(self.rungs(outlook.length(trial.design.flops))) > 1


def _best(trials: Sequence[Trial], known: Known, outlook: Outlook) -> int:
    """Return the number of the trial that is expected to be the best at the full length.

    Without a model the accuracies of the short trainings say so: one value each, with equal noise, whose
    posterior means have the order of the values.
    """
    values = {} if outlook.predicted is None else outlook.predicted(known)
    if any(trial.number not in values for trial in trials):
        values = {trial.number: _accuracy(trial.last) for trial in trials}
    return max(trials, key=lambda trial: (values[trial.number], -trial.number)).number


def _is_baseline(trial: Trial) -> bool:
    return trial.design.role == "baseline"


def _accuracy(training: Training) -> float:
    assert training.outcome is not None
    return training.outcome.val_accuracy or 0.0


def _cost(trial: Trial, outlook: Outlook) -> int:
    """Return the training FLOPs of a trial's full length."""
    return trial.design.training_flops(outlook.length(trial.design.flops).images)


def _spent(trials: Sequence[Trial], *, rung: int) -> Iterator[tuple[int, int]]:
    """Yield trials' numbers and the training FLOPs of their training on a rung: all of it while it runs."""
    for trial in trials:
        for training in trial.trainings:
            if training.order.key.rung == rung:
                running = training.outcome is None
                yield trial.number, training.order.flops if running else training.spent_flops
