"""Evaluation by the mean over ten crops of each image."""

from collections.abc import Callable

import numpy as np

from archsearch.augmentation.crops import ten_crops
from archsearch.data.dataset import Split
from archsearch.training.backends.base import Steps


def evaluate_crops(
    steps: Steps,
    split: Split,
    *,
    mirror: bool,
    batch: int,
    on_progress: Callable[[], None] = lambda: None,
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy of probabilities averaged over ten crops.

    Args:
        steps: the network.
        split: the images to test.
        mirror: whether a mirrored image still belongs to its class; otherwise there are five crops.
        batch: images at a time.
        on_progress: called after each batch.
    """
    loss, hits = 0.0, 0
    for start in range(0, len(split), batch):
        part = slice(start, start + batch)
        images, labels = np.asarray(split.images[part]), split.labels[part]
        views = [steps.probabilities(view) for view in ten_crops(images, mirror=mirror)]
        mean = np.stack(views).mean(axis=0, dtype=np.float64)
        # A probability may be too small for float32.
        loss -= float(np.log(np.maximum(mean[np.arange(len(labels)), labels], 1e-45)).sum())
        hits += int((mean.argmax(axis=1) == labels).sum())
        on_progress()
    return loss / len(split), hits / len(split)
