"""Training steps on TensorFlow: one compiled function for training, one for evaluation.

Hand-written rather than `Model.fit`: no callbacks, metrics or data adapters between steps, one
update operation a variable. XLA only where it is asked for: on a processor it compiles longer than a short
trial trains.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from archsearch.data.augment import Policy
from archsearch.data.dataset import Split
from archsearch.runtime.backends.base import AUXILIARY_WEIGHT, Held, Images, Labels, Rates, Task
from archsearch.runtime.backends.keras_task import keras_model
from archsearch.runtime.layers import FusedBatchNorm
from archsearch.runtime.weights import Weights, get_weights


def _rewrite(wanted: bool) -> None:
    """Have TensorFlow rewrite the graphs of what is called from here on, or not.

    In training that takes as long as several steps of a small trial and makes none faster; in
    evaluation, where convolutions take in what follows them, it makes calls 1.3 to 1.9 times as fast.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


_rewrite(False)


class TensorFlowSteps:
    """A network on TensorFlow with its optimizer's state (see base.Steps)."""

    def __init__(self, task: Task) -> None:
        self.device = _device()
        self._model = keras_model(task)
        self._recipe = task.recipe
        self._class_weights = (
            None if task.class_weights is None else np.asarray(task.class_weights, np.float32)
        )
        self._mean, self._scale = task.image_mean, task.image_scale
        self._variables = [variable.value for variable in self._model.trainable_variables]
        # Kernels have more than one axis; biases, gammas and betas have one.
        self._decays = [len(variable.shape) > 1 for variable in self._variables]
        self._momenta = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        averaged = self._variables if task.recipe.ema is not None else []
        self._averages = [tf.Variable(variable, trainable=False) for variable in averaged]
        self._update_rate = tf.Variable(1.0, trainable=False)
        for layer in self._model.layers:
            if isinstance(layer, FusedBatchNorm):
                layer.update_rate = lambda: self._update_rate
        batch, size = task.recipe.batch, task.graph.input
        image, label = tf.TensorSpec((None, *size), tf.uint8), tf.TensorSpec((None,), tf.int64)
        self._train = tf.function(
            self._train_step,
            input_signature=[
                tf.TensorSpec((batch, *size), tf.uint8),
                tf.TensorSpec((batch,), tf.int64),
                tf.TensorSpec((3,), tf.float32),
            ],
            autograph=False,
            jit_compile=task.compiled,
        )
        self._evaluate = tf.function(
            self._evaluate_step,
            input_signature=[image, label],
            autograph=False,
            jit_compile=False,
        )

    def hold(self, split: Split, policy: Policy) -> Held | None:
        """Leave images where they are: batches come from the processor, made ahead."""
        return None

    def train(self, images: Any, labels: Any, rates: Rates) -> Any:
        """Take a step."""
        numbers = np.asarray([rates.learning, rates.statistics, rates.average], np.float32)
        return self._train(images, labels, numbers)

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps."""
        total: npt.NDArray[np.float64] = np.sum(
            [np.asarray(result, np.float64) for result in results], axis=0
        )
        return total

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights while the block runs."""
        own = [variable.numpy() for variable in self._variables[: len(self._averages)]]
        for variable, average in zip(self._variables, self._averages, strict=False):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, own, strict=False):
                variable.assign(value)

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers."""
        _rewrite(True)
        try:
            total, answers = self._evaluate(images, labels)
        finally:
            _rewrite(False)
        return float(total), answers.numpy()

    def weights(self) -> Weights:
        """Copy the weights."""
        return get_weights(self._model)

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training."""
        # `variables`, not `weights`: the random state of dropout is one of them.
        values = [keras.ops.convert_to_numpy(variable) for variable in self._model.variables]
        others = [variable.numpy() for variable in (*self._momenta, *self._averages)]
        return [np.array(value) for value in (*values, *others)]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        variables = [*self._model.variables, *self._momenta, *self._averages]
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)

    def _normalised(self, images: Any) -> Any:
        return (tf.cast(images, tf.float32) - self._mean) * self._scale

    def _logits(self, images: Any, *, training: bool) -> list[Any]:
        outputs = self._model(self._normalised(images), training=training)
        listed = outputs if isinstance(outputs, list) else [outputs]
        return [tf.cast(logits, tf.float32) for logits in listed]

    def _train_step(self, images: Any, labels: Any, rates: Any) -> Any:
        learning_rate, update_rate, average_rate = tf.unstack(rates)
        self._update_rate.assign(update_rate)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            logits, *others = self._logits(images, training=True)
            loss = self._smoothed_loss(logits, labels)
            total = loss
            for other in others:
                total += AUXILIARY_WEIGHT * self._smoothed_loss(other, labels)
        self._update(tape.gradient(total, self._variables), learning_rate)
        for average, variable in zip(self._averages, self._variables, strict=False):
            average.assign_add(average_rate * (variable - average))
        return tf.stack([loss, _correct(logits, labels)])

    def _evaluate_step(self, images: Any, labels: Any) -> Any:
        logits = self._logits(images, training=False)[0]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_sum(losses), tf.argmax(logits, axis=-1)

    def _smoothed_loss(self, logits: Any, labels: Any) -> Any:
        smoothing = self._recipe.label_smoothing
        classes = logits.shape[-1]
        targets = tf.one_hot(
            labels, classes, 1 - smoothing + smoothing / classes, smoothing / classes
        )
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        if self._class_weights is not None:
            losses *= tf.gather(self._class_weights, labels)
        return tf.reduce_mean(losses)

    def _update(self, gradients: list[Any], learning_rate: Any) -> None:
        recipe = self._recipe
        shrink: Any = None
        if recipe.clip_norm is not None:
            norm = tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))
            shrink = tf.minimum(1.0, recipe.clip_norm / (norm + 1e-12))
        for variable, momentum, decays, gradient in zip(
            self._variables, self._momenta, self._decays, gradients, strict=True
        ):
            step = gradient if shrink is None else gradient * shrink
            if decays and recipe.weight_decay:
                step += recipe.weight_decay * variable
            # momentum = μ·momentum + step; variable −= rate·momentum (Nesterov: one step further)
            tf.raw_ops.ResourceApplyMomentum(
                var=variable.handle,
                accum=momentum.handle,
                lr=learning_rate,
                grad=step,
                momentum=recipe.momentum,
                use_nesterov=recipe.nesterov,
            )


def _correct(logits: Any, labels: Any) -> Any:
    hits = tf.equal(tf.argmax(logits, axis=-1), labels)
    return tf.reduce_sum(tf.cast(hits, tf.float32))


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "a GPU"))
