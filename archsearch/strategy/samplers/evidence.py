"""What came of trials, for a model of accuracy: one value each, how much noise is in it, how long it trained.

Trainings that were cut short or that failed say something, too, and less than those that came to their end.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import Final

from archsearch.archive.orders import Training, Trial
from archsearch.surrogate.cut_short import carried_on

SEED_DEVIATION: Final = 0.004
"""Standard deviation of an accuracy over a network's seeds, besides what follows from few images."""
_SHARED: Final = 0.5
"""The share of the images' variance that is not the same for all networks, which see the same images."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one training of a trial came to.

    Attributes:
        trial: its number.
        accuracy: on the validation images, from 0 to 1.
        variance: of the accuracy's noise.
        length: the binary logarithm of its share of the longest training's length; 0: it is as long.
    """

    trial: int
    accuracy: float
    variance: float
    length: float = 0.0


def results(trials: Sequence[Trial], *, val_images: int | None = None) -> list[Result]:
    """Return what is known of trials, in their order; those of which nothing is known are left out.

    Args:
        trials: by number.
        val_images: the accuracies are of; None: it is not known.
    """
    by_rung: dict[int, list[tuple[int, Training]]] = defaultdict(list)
    for trial in trials:
        for training in trial.trainings:
            if training.outcome is not None:
                by_rung[training.order.key.rung].append((trial.number, training))
    lengths = _lengths(by_rung)
    found = [
        replace(result, length=lengths[rung])
        for rung, trained in sorted(by_rung.items())
        for result in _of_rung(trained, val_images)
    ]
    return sorted(_on_one_scale(found), key=lambda result: (result.trial, result.length))


def running(trials: Sequence[Trial]) -> list[int]:
    """Return the numbers of the trials of which nothing is known yet."""
    return [trial.number for trial in trials if trial.best_known is None]


def _lengths(by_rung: Mapping[int, Sequence[tuple[int, Training]]]) -> dict[int, float]:
    images = {
        rung: fmean(training.order.length.images for _, training in trained)
        for rung, trained in by_rung.items()
    }
    most = max(images.values(), default=1.0)
    # Trials without a network have no length either.
    return {rung: math.log2(max(count, 1.0) / max(most, 1.0)) for rung, count in images.items()}


def _of_rung(trained: Sequence[tuple[int, Training]], val_images: int | None) -> Iterator[Result]:
    ended = [
        (number, training, training.outcome.val_accuracy)
        for number, training in trained
        if training.outcome is not None and training.outcome.status == "complete"
    ]
    complete = [(n, t, a) for n, t, a in ended if a is not None and math.isfinite(a)]
    for number, _, accuracy in complete:
        yield Result(number, accuracy, _noise(accuracy, val_images))
    if not complete:
        return
    peers = [training for _, training, _ in complete]
    accuracies = [accuracy for *_, accuracy in complete]
    for number, training in trained:
        outcome = training.outcome
        if outcome is None or outcome.status == "complete":
            continue
        if outcome.status == "pruned":
            cut = _expected_end(training, peers)
            if cut is not None:
                value, variance = cut
                yield Result(number, value, variance + _noise(value, val_images))
        elif outcome.cause == "network":
            # It is not known how bad it would have been; it is not worth trying its like first.
            variance = max(pstdev(accuracies) ** 2, SEED_DEVIATION**2)
            yield Result(number, min(accuracies), variance)


def _noise(accuracy: float, val_images: int | None) -> float:
    """Return the variance of an accuracy: over seeds, and as its images are few."""
    few = 0.0 if not val_images else accuracy * (1 - accuracy) / val_images
    return SEED_DEVIATION**2 + _SHARED * max(0.0, few)


def _expected_end(training: Training, peers: Sequence[Training]) -> tuple[float, float] | None:
    """Return what a training that was cut short would have come to, and the variance of that guess."""
    if not training.reports:
        return None
    epoch = max(training.reports)
    there = [peer for peer in peers if epoch in peer.reports]
    ends = [peer.outcome.val_accuracy or 0.0 for peer in there if peer.outcome is not None]
    then = [peer.reports[epoch] for peer in there]
    found = carried_on(training.reports[epoch], then, ends)
    return None if found is None else (min(1.0, max(0.0, found[0])), found[1])


def _on_one_scale(found: Sequence[Result]) -> list[Result]:
    """Return results, those of longer trainings less what the same trials gained by being longer."""
    by_trial: dict[int, dict[float, Result]] = defaultdict(dict)
    for result in found:
        by_trial[result.trial][result.length] = result
    gains: dict[float, list[float]] = defaultdict(list)
    for trained in by_trial.values():
        shortest = trained[min(trained)]
        for length, result in trained.items():
            gains[length].append(result.accuracy - shortest.accuracy)
    least = min(gains, default=0.0)
    return [
        result
        if result.length == least
        else replace(result, accuracy=result.accuracy - fmean(gains[result.length]))
        for result in found
    ]
