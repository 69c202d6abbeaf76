"""Who is in an ensemble: greedy forward selection on validation images (Caruana et al. 2004, ICML)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_LEAST = 1e-12


def chosen(members: Sequence[Probabilities], labels: Labels, *, most: int) -> tuple[int, ...]:
    """Return which networks to average, by their places, in the order in which they were taken.

    First is the best alone, then always the one with which the mean is best: most images right, among equals
    the lowest log loss, among these the first. It ends at `most`, or where no further one makes it better:
    at one, where that is better alone. No network is taken twice, unlike in the paper: a second time it would
    cost nothing and only weigh more.

    Args:
        members: each network's probabilities, (images, classes).
        labels: the images' classes, (images,).
        most: members at most.

    Raises:
        ValueError: there is no network, or `most` is less than one.
    """
    if not members or most < 1:
        raise ValueError(f"a choice is of one network or more: {len(members)} given, {most} wanted")
    taken: list[int] = []
    total = np.zeros_like(members[0])
    reached = (-1.0, 0.0)
    while len(taken) < min(most, len(members)):
        left = [place for place in range(len(members)) if place not in taken]
        merits = {p: merit((total + members[p]) / (len(taken) + 1), labels) for p in left}
        best = max(left, key=lambda place: merits[place])
        if taken and merits[best] <= reached:
            break
        taken.append(best)
        total, reached = total + members[best], merits[best]
    return tuple(taken)


def merit(probabilities: Probabilities, labels: Labels) -> tuple[float, float]:
    """Return accuracy and, for those of one accuracy, minus the log loss: the larger, the better."""
    own = probabilities[np.arange(len(labels)), labels]
    return accuracy(probabilities, labels), float(np.log(np.maximum(own, _LEAST)).mean())


def accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Return the share of images whose most probable class is theirs."""
    return float((probabilities.argmax(axis=1) == labels).mean())
