"""One training step and one evaluation step, compiled for TensorFlow.

Hand-written rather than `Model.fit`: no callbacks, metrics or data adapters between steps, one
update operation a variable. Another backend gets a file like this one with the same four methods.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from archsearch.runtime.layers import FusedBatchNorm
from archsearch.runtime.recipe import Recipe

AUXILIARY_WEIGHT = 0.3  # of an auxiliary classifier's loss: Szegedy et al. 2014, section 5


class TensorFlowSteps:
    """A model with its optimizer state, called with batches of uint8 images.

    Args:
        model: takes normalised images, gives logits (a list, with auxiliary classifiers).
        recipe: optimizer and loss; the learning rate comes with every step.
        mean, std: per channel, on the 0..255 scale.
        class_weights: of each class in the training loss; None: every image counts alike.
    """

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        class_weights: Sequence[float] | None = None,
    ) -> None:
        self._model = model
        self._recipe = recipe
        self._class_weights = (
            None if class_weights is None else np.asarray(class_weights, np.float32)
        )
        self._mean = np.asarray(mean, np.float32)
        self._scale = np.float32(1) / np.maximum(np.asarray(std, np.float32), np.float32(1e-3))
        self._variables = [variable.value for variable in model.trainable_variables]
        # Kernels have more than one axis; biases, gammas and betas have one.
        self._decays = [len(variable.shape) > 1 for variable in self._variables]
        self._momenta = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self._variables]
        self._update_rate = tf.Variable(1.0, trainable=False)
        for layer in model.layers:
            if isinstance(layer, FusedBatchNorm):
                layer.update_rate = self._update_rate
        image = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
        label = tf.TensorSpec((None,), tf.int64)
        number = tf.TensorSpec((), tf.float32)
        fixed = tf.TensorSpec((recipe.batch, *model.input_shape[1:]), tf.uint8)
        self._train = tf.function(
            self._train_step,
            input_signature=[fixed, tf.TensorSpec((recipe.batch,), tf.int64), number, number],
            autograph=False,
            jit_compile=False,
        )
        self._evaluate = tf.function(
            self._evaluate_step,
            input_signature=[image, label],
            autograph=False,
            jit_compile=False,
        )

    def train(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.int64],
        *,
        learning_rate: float,
        update_rate: float,
    ) -> Any:
        """Take a step; return (mean loss, correct) as a tensor that need not be read at once."""
        return self._train(images, labels, np.float32(learning_rate), np.float32(update_rate))

    def evaluate(
        self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
    ) -> tuple[float, npt.NDArray[np.int64]]:
        """Return the summed cross-entropy and the answers: the number of a class an image."""
        total, answers = self._evaluate(images, labels)
        return float(total), answers.numpy()

    def state(self) -> list[npt.NDArray[np.float32]]:
        """Copy the optimizer's state (the momenta), in the order of the trainable weights."""
        return [momentum.numpy() for momentum in self._momenta]

    def restore(self, state: Sequence[npt.NDArray[np.float32]]) -> None:
        """Put back what `state` returned."""
        for momentum, value in zip(self._momenta, state, strict=True):
            momentum.assign(value)

    def _normalised(self, images: Any) -> Any:
        return (tf.cast(images, tf.float32) - self._mean) * self._scale

    def _train_step(self, images: Any, labels: Any, learning_rate: Any, update_rate: Any) -> Any:
        self._update_rate.assign(update_rate)
        x = self._normalised(images)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            outputs = self._model(x, training=True)
            logits, *others = outputs if isinstance(outputs, list) else [outputs]
            loss = self._smoothed_loss(logits, labels)
            total = loss
            for other in others:
                total += AUXILIARY_WEIGHT * self._smoothed_loss(other, labels)
        self._update(tape.gradient(total, self._variables), learning_rate)
        return tf.stack([loss, _correct(logits, labels)])

    def _evaluate_step(self, images: Any, labels: Any) -> Any:
        outputs = self._model(self._normalised(images), training=False)
        logits = outputs[0] if isinstance(outputs, list) else outputs
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
