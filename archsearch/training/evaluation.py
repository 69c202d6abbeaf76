"""Evaluation of images: as they are, or by the mean over ten crops of each."""

from collections.abc import Callable

import numpy as np

from archsearch.augmentation.crops import ten_crops
from archsearch.data.balance import balanced_accuracy
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Steps
from archsearch.training.teams.team import ALONE, Team

_EVALUATION_BATCH = 256  # on a GPU,
_PROCESSOR_EVALUATION_BATCH = 64  # and where maps of more images would not stay in the caches


def evaluation_batch(steps: Steps, most: int | None = None) -> int:
    """Return how many images are evaluated at a time; `most` where memory is short."""
    usual = _EVALUATION_BATCH if steps.device else _PROCESSOR_EVALUATION_BATCH
    return usual if most is None else min(usual, most)


def evaluate(
    steps: Steps,
    split: Split,
    on_progress: Callable[[], None] = lambda: None,
    team: Team = ALONE,
    *,
    most: int | None = None,
) -> tuple[float, float, float]:
    """Return the mean cross-entropy, the accuracy and the balanced accuracy over a split.

    `most` images are looked at at a time, where memory is short.
    """
    # The loss, then the answers, which the others leave at 0: so everyone has all of them in the sum.
    found = np.zeros(1 + len(split))
    batch = evaluation_batch(steps, most)
    for start in range(team.rank * batch, len(split), team.size * batch):
        part = slice(start, start + batch)
        one_loss, answers = steps.evaluate(split.images[part], split.labels[part])
        found[0] += one_loss
        found[1 + start : 1 + start + len(answers)] = answers
        on_progress()
    found = team.total(found)
    answered = found[1:].astype(np.int64)
    accuracy = float(np.mean(answered == split.labels))
    return float(found[0]) / len(split), accuracy, balanced_accuracy(split.labels, answered)


def evaluate_crops(
    steps: Steps,
    split: Split,
    *,
    mirror: bool,
    batch: int,
    on_progress: Callable[[], None] = lambda: None,
    team: Team = ALONE,
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy of probabilities averaged over ten crops.

    Args:
        steps: the network.
        split: the images to test.
        mirror: whether a mirrored image still belongs to its class; otherwise there are five crops.
        batch: images at a time.
        on_progress: called after each batch.
        team: processes that share the images.
    """
    found = np.zeros(2)  # the loss and the hits
    for start in range(team.rank * batch, len(split), team.size * batch):
        part = slice(start, start + batch)
        images, labels = np.asarray(split.images[part]), split.labels[part]
        views = [steps.probabilities(view) for view in ten_crops(images, mirror=mirror)]
        mean = np.stack(views).mean(axis=0, dtype=np.float64)
        # A probability may be too small for float32.
        found[0] -= np.log(np.maximum(mean[np.arange(len(labels)), labels], 1e-45)).sum()
        found[1] += (mean.argmax(axis=1) == labels).sum()
        on_progress()
    loss, hits = team.total(found) / len(split)
    return float(loss), float(hits)
