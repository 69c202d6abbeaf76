"""Classes of different size: how different, and how to weigh them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Labels


def imbalance(counts: Sequence[int]) -> float:
    """Divide the largest class by the smallest that has any images; 1 is balanced."""
    present = [count for count in counts if count]
    return max(present) / min(present) if present else 1.0


def largest_share(labels: Labels) -> float | None:
    """Return the share of the most common class: what naming it always gets right; None without images."""
    return float(np.max(np.bincount(labels)) / len(labels)) if len(labels) else None


def class_weights(labels: Labels, classes: int) -> tuple[float, ...]:
    """Weigh each class so that all together count alike: n / (classes · n_c).

    The mean over the images is 1, so a learning rate keeps its meaning (King and Zeng 2001; the
    "balanced" weights of scikit-learn). A class without images gets 0.

    Args:
        labels: (n,) class numbers below `classes`.
        classes: how many classes there are.
    """
    counts = np.bincount(labels, minlength=classes)
    present = int(np.sum(counts > 0))
    with np.errstate(divide="ignore"):
        weights = np.where(counts > 0, len(labels) / (present * counts), 0.0)
    return tuple(weights.tolist())


def balanced_accuracy(labels: Labels, predicted: npt.NDArray[np.integer]) -> float:
    """Average over the classes the share of each one's images that is predicted right.

    Args:
        labels: (n,) true class numbers.
        predicted: (n,) predicted class numbers.

    Returns:
        In [0, 1]; classes without images do not count. 0 images give NaN.
    """
    if not len(labels):
        return float("nan")
    total = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(total))
    present = total > 0
    return float(np.mean(right[present] / total[present]))
