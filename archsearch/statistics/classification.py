"""How well answers fit the labels: accuracy, per class, confusion, calibration. Numbers in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 15
"""Of equal width, as in Guo et al. 2017, section 2 and table 1."""
_Z: Final = 1.96  # two-sided 95 % of a normal distribution
_LEAST: Final = 1e-12  # a probability of zero would be an infinite loss


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """One class: its images, and the shares of them and of the answers that are right.

    Attributes:
        name: of the class.
        images: that belong to it.
        recall: share of its images that are answered right; None: it has none.
        precision: share of the answers that name it and are right; None: no answer does.
        f1: harmonic mean of both; None: one of them is not known.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Whether answers of 80 % are right in 80 % of the cases.

    Attributes:
        ece: expected calibration error, 0 to 1: the mean distance between confidence and accuracy over
            the images, in BINS bins of confidence (Guo et al. 2017, equation 3).
        nll: mean negative log of the right class's probability, in nats.
        brier: mean squared distance of the probabilities from the right answer, 0 to 2 (Brier 1950).
        bins: of confidence that are not empty: images, mean confidence, accuracy.
    """

    ece: float
    nll: float
    brier: float
    bins: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """How well a model answers on images whose classes are known.

    Attributes:
        images: how many.
        accuracy: share of right answers; it lies from `low` to `high` at 95 % (Wilson 1927).
        balanced_accuracy: mean recall over the classes that have images.
        classes: a score each, in the model's order.
        confusion: images by class (rows) and by answer (columns).
    """

    images: int
    accuracy: float
    low: float
    high: float
    balanced_accuracy: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    def confused(self, most: int) -> list[tuple[str, str, int]]:
        """Return the commonest mistakes: class, answer, images."""
        names = [score.name for score in self.classes]
        wrong = [
            (names[i], names[j], count)
            for i, row in enumerate(self.confusion)
            for j, count in enumerate(row)
            if i != j and count
        ]
        return sorted(wrong, key=lambda found: -found[2])[:most]


def classification(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[Any], classes: Sequence[str]
) -> Classification:
    """Judge answers.

    Args:
        labels: (n,) the right classes, n at least 1.
        probabilities: (n, classes).
        classes: names, in the order of the probabilities.
    """
    answers = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, answers), 1)
    right = int(np.trace(confusion))
    low, high = wilson(right, len(labels))
    scores = tuple(_score(name, n, confusion) for n, name in enumerate(classes))
    return Classification(
        images=len(labels),
        accuracy=right / len(labels),
        low=low,
        high=high,
        balanced_accuracy=float(np.mean([s.recall for s in scores if s.recall is not None])),
        classes=scores,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=_calibration(labels, probabilities.astype(np.float64)),
    )


def wilson(right: int, images: int) -> tuple[float, float]:
    """Return between which two a share lies at 95 %, of which `right` of `images` were seen."""
    share, z2 = right / images, _Z**2 / images
    middle = (share + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * math.sqrt(share * (1 - share) / images + z2 / images / 4)
    return middle - half, middle + half


def _score(name: str, number: int, confusion: npt.NDArray[np.int64]) -> ClassScore:
    right = int(confusion[number, number])
    mine, named = int(confusion[number].sum()), int(confusion[:, number].sum())
    return ClassScore(
        name=name,
        images=mine,
        recall=right / mine if mine else None,
        precision=right / named if named else None,
        f1=2 * right / (mine + named) if mine and named else None,
    )


def _calibration(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]
) -> Calibration:
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    # The bins are open below and closed above, as in the paper.
    number = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = tuple(
        (int(mine.sum()), float(confidence[mine].mean()), float(right[mine].mean()))
        for mine in (number == n for n in range(BINS))
        if mine.any()
    )
    rows = np.arange(len(labels))
    wanted = np.zeros_like(probabilities)
    wanted[rows, labels] = 1
    return Calibration(
        ece=sum(n * abs(sure - true) for n, sure, true in bins) / len(labels),
        nll=float(-np.log(np.maximum(probabilities[rows, labels], _LEAST)).mean()),
        brier=float(((probabilities - wanted) ** 2).sum(axis=1).mean()),
        bins=bins,
    )
