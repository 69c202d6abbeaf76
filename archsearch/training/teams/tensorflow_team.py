"""Processes that train one network together on TensorFlow: what they add up, and normalise by.

Each runs the same step on its share of a batch, as a replica of TensorFlow's multi-worker strategy, and all
take the mean of gradients, losses and statistics. So batch normalizations normalise by the whole batch.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from archsearch.training.setup import WorkerSetup
from archsearch.training.teams.meeting import addresses

_CLUSTER = "TF_CONFIG"


class TensorFlowTeam:
    """The processes of one worker, met (see archsearch.training.teams.team.Team)."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.rank, self.size = setup.rank, setup.devices
        os.environ[_CLUSTER] = json.dumps({
            "cluster": {"worker": addresses(setup)}, "task": {"type": "worker", "index": self.rank},
        })  # fmt: skip
        self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        del os.environ[_CLUSTER]  # it is meant for no one else
        wanted = tf.TensorSpec((None,), tf.float64)
        # What is added up must lie on a device, which an argument does not.
        add = self.over_all(lambda numbers: total_of_all(tf.identity(numbers)))
        self._total = tf.function(add, input_signature=[wanted], autograph=False)

    def agreed(self, answer: bool) -> bool:
        """Return the answer of the first process."""
        return bool(self.total(np.array([float(answer and self.rank == 0)]))[0])

    def total(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum of everyone's numbers."""
        found: npt.NDArray[np.float64] = self._total(np.asarray(numbers, np.float64)).numpy()
        return found

    def over_all(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call in which `total_of_all` and `mean_of_all` are over all processes."""
        return lambda *arguments: self._strategy.run(call, args=arguments)


def total_of_all(value: Any) -> Any:
    """Return the sum of all processes' values."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)


def mean_of_all(value: Any) -> Any:
    """Return the mean of all processes' values, tensors or a list of them."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def normalize_whole(
    x: Any, gamma: Any, beta: Any, *, epsilon: float, processes: int
) -> tuple[Any, Any, Any]:
    """Batch-normalize maps by the mean and variance of a batch that is spread over processes.

    Args:
        x: (n, height, width, channels), this process's share.
        gamma: (channels,), the factor after normalizing.
        beta: (channels,), the term after that.
        epsilon: added to the variance.
        processes: how many share the batch.

    Returns:
        The normalized maps, the batch's mean, and its variance by n − 1 (for the moving statistics).
    """
    values, axes = tf.cast(x, tf.float32), list(range(len(x.shape) - 1))
    # Each one's mean first: sums of squares would cancel out.
    middle = mean_of_all(tf.reduce_mean(values, axes))
    centred = values - middle
    variance = mean_of_all(tf.reduce_mean(tf.square(centred), axes))
    y = centred * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    count = processes * tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return tf.cast(y, x.dtype), middle, variance * (count / tf.maximum(count - 1, 1.0))
