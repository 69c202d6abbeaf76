"""Whether a training that came to its end has learnt anything."""

import numpy as np

from archsearch.data.balance import class_weights
from archsearch.data.dataset import Dataset, Split
from archsearch.recipes.guessing import guess
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import EpochReport


def loss_weights(data: Dataset, recipe: Recipe) -> tuple[float, ...] | None:
    """Return the weight of each class in the training loss; None: all count alike."""
    if not recipe.class_weights:
        return None
    return class_weights(data.train.labels, len(data.classes))


def why_stalled(last: EpochReport, data: Dataset, recipe: Recipe) -> str:
    """Return what shows, after the last epoch, that nothing was learnt; empty: something was.

    No figure of that epoch may be better than guessing, of the training images or of the validation images:
    where images are changed a lot, or units dropped, training figures alone can be poor for a network that
    has learnt.
    """
    guessed = guess(
        _counts(data.train, data),
        smoothing=recipe.label_smoothing,
        weights=loss_weights(data, recipe),
    )
    if guessed.beaten_by(loss=last.loss, accuracy=last.accuracy):
        return ""
    if last.val_loss is not None and last.val_accuracy is not None:
        validated = guess(_counts(data.val, data))
        if validated.beaten_by(loss=last.val_loss, accuracy=last.val_accuracy):
            return ""
    return f"its loss ended at {last.loss:.3f}, guessing has {guessed.loss:.3f}"


def _counts(split: Split, data: Dataset) -> list[int]:
    """Count a split's images by class."""
    counts: list[int] = np.bincount(split.labels, minlength=len(data.classes)).tolist()
    return counts
