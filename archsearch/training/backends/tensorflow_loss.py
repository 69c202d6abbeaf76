"""The training loss on TensorFlow: cross-entropy, smoothed and weighed, of one label an image or of two."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


class Loss:
    """Mean cross-entropy.

    Args:
        smoothing: of the labels.
        class_weights: of each class; None: every image counts alike.
    """

    def __init__(self, smoothing: float, class_weights: Sequence[float] | None) -> None:
        self._smoothing = smoothing
        self._class_weights = (
            None if class_weights is None else np.asarray(class_weights, np.float32)
        )

    def __call__(self, logits: Any, labels: Any, share: Any) -> Any:
        """Return the loss for labels (n,), or (n, 2) with the first one's share (see base.Steps)."""
        return shared(share, labels, lambda one: self._of(logits, one))

    def _of(self, logits: Any, labels: Any) -> Any:
        smoothing, classes = self._smoothing, logits.shape[-1]
        targets = tf.one_hot(
            labels, classes, 1 - smoothing + smoothing / classes, smoothing / classes
        )
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        if self._class_weights is not None:
            losses *= tf.gather(self._class_weights, labels)
        return tf.reduce_mean(losses)


def hits(logits: Any, labels: Any, share: Any) -> Any:
    """Count correct answers; of an image with two labels, each by its share."""
    answers = tf.argmax(logits, axis=-1)

    def count(one: Any) -> Any:
        return tf.reduce_sum(tf.cast(tf.equal(answers, one), tf.float32))

    return shared(share, labels, count)


def shared(share: Any, labels: Any, value: Callable[[Any], Any]) -> Any:
    """Return a value of labels (n,); of two (n, 2) the first one's by its share, the other's by the rest."""
    if labels.shape.rank == 1:
        return value(labels)
    return share * value(labels[:, 0]) + (1 - share) * value(labels[:, 1])
