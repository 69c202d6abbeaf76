"""Training steps on TensorFlow: one compiled function for training, one for evaluation.

Hand-written rather than `Model.fit`: no callbacks, metrics or data adapters between steps, one
update for all weights. XLA only where it is asked for: on a processor it compiles longer than a short
trial trains.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from archsearch.augmentation.policy import Policy
from archsearch.data.dataset import Split
from archsearch.training.backends.base import (
    AUXILIARY_WEIGHT,
    HELD_SHARE,
    Held,
    Images,
    Labels,
    Rates,
    Task,
)
from archsearch.training.backends.keras_task import (
    Untrained,
    keras_model,
    moving_statistics,
    scope_of,
)
from archsearch.training.backends.tensorflow_images import HeldImages
from archsearch.training.backends.tensorflow_loss import Loss, hits
from archsearch.training.backends.tensorflow_sums import Learnt, Sums
from archsearch.training.backends.tensorflow_update import UPDATES
from archsearch.training.devices import gpu_memory_bytes
from archsearch.training.teams.tensorflow_team import TensorFlowTeam, mean_of_all, total_of_all
from archsearch.training.weights import Weights, get_weights

_GPU: Final = "GPU:0"


def _rewrite(wanted: bool) -> None:
    """Have TensorFlow rewrite the graphs of what is called from here on, or not.

    In training that takes as long as several steps of a small trial and makes none faster; in
    evaluation, where convolutions take in what follows them, it makes calls 1.3 to 1.9 times as fast.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


def _rewritten(call: Callable[..., Any], *arguments: Any) -> Any:
    _rewrite(True)
    try:
        return call(*arguments)
    finally:
        _rewrite(False)


_rewrite(False)


class TensorFlowSteps:
    """A network on TensorFlow with its optimizer's state (see base.Steps)."""

    def __init__(self, task: Task) -> None:
        self.device = _device()
        self._team = task.team if isinstance(task.team, TensorFlowTeam) else None
        untrained = keras_model(task)
        self._model, self._graph = untrained.model, task.graph
        self._recipe = task.recipe
        self._loss = Loss(task.recipe.label_smoothing, task.class_weights)
        self._mean, self._scale = task.image_mean, task.image_scale
        # Kernels have more than one axis; biases, gammas and betas have one, and do not decay.
        trained = self._model.trainable_variables
        kernels = [variable for variable in trained if len(variable.shape) > 1]
        others = [variable for variable in trained if len(variable.shape) <= 1]
        self._weights = [_Joined(kernels, untrained), _Joined(others, untrained)]
        update = UPDATES[task.recipe.optimizer]
        self._updates = [
            update(task.recipe, joined.vector, decay)
            for joined, decay in zip(self._weights, (task.recipe.weight_decay, 0.0), strict=True)
        ]
        averaged = self._weights if task.recipe.ema is not None else []
        self._averages = [tf.Variable(joined.vector, trainable=False) for joined in averaged]
        self._moving = _Joined(moving_statistics(self._model), untrained)
        moving = {id(variable) for variable in self._moving.variables}
        self._chance = [
            (variable, tf.Variable(untrained.value(variable), trainable=False))
            for variable in self._model.non_trainable_variables
            if id(variable) not in moving
        ]
        self._differ()
        size, rates = task.graph.input, tf.TensorSpec((5,), tf.float32)
        any_count = _batch_of(None, size)
        self._train = self._traced_training(task, rates)
        self._evaluate = _traced(self._evaluate_step, *any_count, compiled=False)
        self._probable = _traced(self._probable_step, any_count[0], compiled=False)

    def hold(self, split: Split, policy: Policy) -> Held | None:
        """Put images on a GPU that has room for them."""
        if not self.device or 2 * split.images.nbytes > _free_memory() * HELD_SHARE:
            return None
        return HeldImages(split, policy, _GPU)

    def train(self, images: Any, labels: Any, rates: Rates) -> Any:
        """Take a step."""
        return self._train(images, labels, rates.numbers())

    def _traced_training(self, task: Task, rates: Any) -> Callable[..., Any]:
        """Return what takes a step, as one graph; as one a part and one for the end where a batch is cut."""

        def traced(step: Callable[..., Any], *arguments: Any) -> Any:
            step = step if self._team is None else self._team.over_all(step)
            return _traced(step, *arguments, compiled=task.compiled)

        def batch(count: int) -> tuple[Any, Any]:
            return _batch_of(count, task.graph.input, mixed=task.recipe.mixes)

        parts = task.parts
        sizes = [part.stop - part.start for part in parts]
        if len(parts) == 1:
            return traced(self._train_step, *batch(*sizes), rates)  # type: ignore[no-any-return]
        self._sums = Sums([joined.vector for joined in self._weights], self._moving.vector)
        add = {
            size: traced(partial(self._add_step, weight=size / sum(sizes)), *batch(size), rates)
            for size in set(sizes)  # two at most
        }
        finish = traced(self._finish_step, rates)

        def train(images: Any, labels: Any, numbers: Any) -> Any:
            for part, size in zip(parts, sizes, strict=True):
                add[size](images[part], labels[part], numbers)
            return finish(numbers)

        return train

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps."""
        total: npt.NDArray[np.float64] = np.sum(
            [np.asarray(result, np.float64) for result in results], axis=0
        )
        return total

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights while the block runs."""
        swapped = list(zip(self._weights, self._averages, strict=bool(self._averages)))
        own = [joined.vector.numpy() for joined, _ in swapped]
        for joined, average in swapped:
            joined.vector.assign(average)
        try:
            yield
        finally:
            for (joined, _), value in zip(swapped, own, strict=True):
                joined.vector.assign(value)

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers."""
        total, answers = _rewritten(self._evaluate, images, labels)
        return float(total), answers.numpy()

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the probability of every class."""
        found: npt.NDArray[np.float32] = _rewritten(self._probable, images).numpy()
        return found

    def weights(self) -> Weights:
        """Copy the weights."""
        with scope_of(self._values(self._vectors())):
            return get_weights(self._model, self._graph)

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training."""
        return [np.array(variable.numpy()) for variable in self._kept()]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        for variable, value in zip(self._kept(), state, strict=True):
            variable.assign(value)
        self._differ()

    def _differ(self) -> None:
        """Have each of several processes drop out what no other does; checkpoints have the first one's."""
        if self._team is not None:
            for _, state in self._chance:
                state.assign(state + tf.cast([self._team.rank, 0], state.dtype))

    def _kept(self) -> list[Any]:
        chance = [state for _, state in self._chance]
        weights = [joined.vector for joined in self._weights]
        means = [mean for update in self._updates for mean in update.kept]
        return [*weights, *means, *self._averages, self._moving.vector, *chance]

    def _vectors(self) -> list[Any]:
        return [joined.vector.read_value() for joined in self._weights]

    def _values(self, weights: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Pair the model's variables with their values: these weights, and what else there is."""
        pairs = self._moving.parts(self._moving.vector)
        pairs += [(variable, state.read_value()) for variable, state in self._chance]
        for joined, vector in zip(self._weights, weights, strict=True):
            pairs += joined.parts(vector)
        return pairs

    def _logits(
        self, weights: Sequence[Any], images: Any, *, training: bool
    ) -> tuple[list[Any], keras.StatelessScope]:
        """Run the model with these weights; what it changes on the way is in the scope."""
        x = (tf.cast(images, tf.float32) - self._mean) * self._scale
        with scope_of(self._values(weights)) as scope:
            outputs = self._model(x, training=training)
        listed = outputs if isinstance(outputs, list) else [outputs]
        return [tf.cast(logits, tf.float32) for logits in listed], scope

    def _train_step(self, images: Any, labels: Any, rates: Any) -> Any:
        weights = self._vectors()
        return self._taken(weights, self._learnt(weights, images, labels, rates[3]), rates)

    def _add_step(self, images: Any, labels: Any, rates: Any, *, weight: float) -> None:
        """Add what a part of a batch teaches; `weight` is its share of the images."""
        self._sums.add(self._learnt(self._vectors(), images, labels, rates[3]), weight)

    def _finish_step(self, rates: Any) -> Any:
        """Move the weights by what all parts have taught."""
        return self._taken(self._vectors(), self._sums.taken(), rates)

    def _learnt(self, weights: Sequence[Any], images: Any, labels: Any, share: Any) -> Learnt:
        """Run a batch forwards and backwards, and take in what it changes of the state of chance."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            (logits, *others), changed = self._logits(weights, images, training=True)
            loss = self._loss(logits, labels, share)
            objective = loss
            for other in others:
                objective += AUXILIARY_WEIGHT * self._loss(other, labels, share)
        correct = hits(logits, labels, share)
        none = tf.UnconnectedGradients.ZERO  # a network may have kernels alone
        gradients = tape.gradient(objective, weights, unconnected_gradients=none)
        for variable, state in self._chance:
            state.assign(changed.get_current_value(variable))
        latest = _concatenated([changed.get_current_value(v) for v in self._moving.variables])
        return Learnt(loss, correct, gradients, latest)

    def _taken(self, weights: Sequence[Any], learnt: Learnt, rates: Any) -> Any:
        """Move the weights; averages follow. Return what came of the batch."""
        learning_rate, statistics_rate, average_rate, _, step = tf.unstack(rates)
        loss, correct, gradients, latest = learnt
        if self._team is not None:
            loss, correct, *gradients = self._of_all(loss, correct, gradients)
        self._update(weights, gradients, learning_rate, step)
        moving = self._moving.vector
        moving.assign_add(statistics_rate * (latest - moving))
        for joined, average in zip(self._weights, self._averages, strict=bool(self._averages)):
            average.assign_add(average_rate * (joined.vector - average))
        return tf.stack([loss, correct])

    def _evaluate_step(self, images: Any, labels: Any) -> Any:
        (logits, *_), _ = self._logits(self._vectors(), images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_sum(losses), tf.argmax(logits, axis=-1)

    def _probable_step(self, images: Any) -> Any:
        (logits, *_), _ = self._logits(self._vectors(), images, training=False)
        return tf.nn.softmax(logits)

    @staticmethod
    def _of_all(loss: Any, correct: Any, gradients: Sequence[Any]) -> tuple[Any, ...]:
        """Return the mean of all processes' losses, the sum of their hits, the mean of their gradients."""
        loss, *means = mean_of_all([loss, *gradients])
        return loss, total_of_all(correct), *means

    def _update(
        self, weights: Sequence[Any], gradients: Sequence[Any], rate: Any, step: Any
    ) -> None:
        """Clip and step."""
        clip_norm = self._recipe.clip_norm
        if clip_norm is not None:
            norm = tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))
            shrink = tf.minimum(1.0, clip_norm / (norm + 1e-12))
            gradients = [gradient * shrink for gradient in gradients]
        for update, value, gradient in zip(self._updates, weights, gradients, strict=True):
            update.take(value, gradient, rate, step)


class _Joined:
    """Values of Keras variables in one vector, one behind the other.

    An update is then a handful of operations, however many layers there are, and so is a checkpoint: tracing
    takes a fifth to a third less time.
    """

    def __init__(self, variables: Sequence[Any], untrained: Untrained) -> None:
        self.variables = list(variables)
        self._sizes = [prod(variable.shape) for variable in self.variables]
        values = [tf.reshape(untrained.value(variable), (-1,)) for variable in self.variables]
        self.vector = tf.Variable(_concatenated(values))

    def parts(self, vector: Any) -> list[tuple[Any, Any]]:
        """Pair each variable with its part of a vector."""
        if not self.variables:
            return []
        parts = tf.split(vector, self._sizes)
        return [
            (variable, part if len(variable.shape) == 1 else tf.reshape(part, variable.shape))
            for variable, part in zip(self.variables, parts, strict=True)
        ]


def limit_gpu_memory(share: float) -> None:
    """Let this process take no more than a share of its GPU's memory; call it before that is used."""
    gpus, total = tf.config.list_physical_devices("GPU"), gpu_memory_bytes()
    if gpus and total is not None:
        megabytes = int(share * total / 2**20)
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=megabytes)
        tf.config.set_logical_device_configuration(gpus[0], [limit])


def _free_memory() -> float:
    """Say how many bytes of its GPU this process may still take; none where nobody knows."""
    (gpu, *_) = tf.config.list_physical_devices("GPU")
    limits = tf.config.get_logical_device_configuration(gpu)
    if not limits or limits[0].memory_limit is None:
        return 0.0
    used = tf.config.experimental.get_memory_info(_GPU)["current"]
    return float(limits[0].memory_limit * 2**20 - used)


def _batch_of(
    count: int | None, size: tuple[int, int, int], *, mixed: bool = False
) -> tuple[Any, Any]:
    """Say what images and labels are, of `count` images or of any number; mixed ones have two labels."""
    labels = (count, 2) if mixed else (count,)
    return tf.TensorSpec((count, *size), tf.uint8), tf.TensorSpec(labels, tf.int64)


def _traced(step: Callable[..., Any], *arguments: Any, compiled: bool) -> Any:
    """Return a step as one graph, traced for arguments of these shapes alone."""
    return tf.function(step, input_signature=arguments, autograph=False, jit_compile=compiled)


def _concatenated(vectors: Sequence[Any]) -> Any:
    return tf.concat(vectors, 0) if vectors else tf.zeros(0)


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU"))
