"""Evaluation by the mean over ten crops of each image."""

from collections.abc import Callable

import numpy as np

from archsearch.augmentation.crops import ten_crops
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Steps
from archsearch.training.team import ALONE, Team


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
