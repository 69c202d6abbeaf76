"""What the parts of a batch teach, added up on TensorFlow: of batches too large for the memory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class Learnt(NamedTuple):
    """What came of images run forwards and backwards.

    Attributes:
        loss: their mean.
        correct: answers, counted.
        gradients: of the mean loss, a vector for each of the weights'.
        statistics: of batch normalizations, one vector.
    """

    loss: Any
    correct: Any
    gradients: Sequence[Any]
    statistics: Any


class Sums:
    """Variables that hold the sums.

    Args:
        weights: vectors of weights.
        moving: the vector of moving statistics.
    """

    def __init__(self, weights: Sequence[Any], moving: Any) -> None:
        self._gradients = [tf.Variable(tf.zeros_like(vector)) for vector in weights]
        self._statistics = tf.Variable(tf.zeros_like(moving))
        self._found = tf.Variable(tf.zeros(2))

    def add(self, learnt: Learnt, weight: float) -> None:
        """Add what a part teaches, by its share of the images; answers are counted."""
        for total, gradient in zip(self._gradients, learnt.gradients, strict=True):
            total.assign_add(weight * gradient)
        self._statistics.assign_add(weight * learnt.statistics)
        self._found.assign_add(tf.stack([weight * learnt.loss, learnt.correct]))

    def taken(self) -> Learnt:
        """Return the sums, and begin anew."""
        loss, correct = tf.unstack(_emptied(self._found))
        gradients = [_emptied(total) for total in self._gradients]
        return Learnt(loss, correct, gradients, _emptied(self._statistics))


def _emptied(total: Any) -> Any:
    value = total.read_value()
    total.assign(tf.zeros_like(value))
    return value
