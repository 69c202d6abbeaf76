"""Training steps on JAX: the Keras model as a pure function, compiled by XLA with its optimizer."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt

from archsearch.runtime.backends.base import AUXILIARY_WEIGHT, Images, Labels, Task
from archsearch.runtime.backends.keras_task import keras_model
from archsearch.runtime.layers import FusedBatchNorm
from archsearch.runtime.weights import Weights, get_weights

Values = list[Any]


class JaxSteps:
    """A network on JAX with its optimizer's state (see base.Steps)."""

    def __init__(self, task: Task) -> None:
        device = jax.devices()[0]
        self.device = "" if device.platform == "cpu" else str(device.device_kind)
        self._model = keras_model(task)
        self._recipe = task.recipe
        self._mean, self._scale = task.image_mean, task.image_scale
        self._class_weights = (
            None if task.class_weights is None else np.asarray(task.class_weights, np.float32)
        )
        # A variable, so that its value can be given to the compiled step like the weights' values.
        self._update_rate = keras.Variable(1.0, trainable=False, name="update_rate")
        for layer in self._model.layers:
            if isinstance(layer, FusedBatchNorm):
                layer.update_rate = lambda: self._update_rate
        # Copies: a step gives its arguments' memory away.
        self._trained, self._kept = (
            [jnp.array(variable.value) for variable in variables]
            for variables in (self._model.trainable_variables, self._model.non_trainable_variables)
        )
        self._momenta = [jnp.zeros_like(value) for value in self._trained]
        self._train = jax.jit(self._train_step, donate_argnums=(0, 1, 2))
        self._evaluate = jax.jit(self._evaluate_step)

    def train(
        self, images: Images, labels: Labels, *, learning_rate: float, update_rate: float
    ) -> Any:
        """Take a step."""
        self._trained, self._kept, self._momenta, result = self._train(
            self._trained,
            self._kept,
            self._momenta,
            images,
            labels,
            np.float32(learning_rate),
            np.float32(update_rate),
        )
        return result

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps."""
        total: npt.NDArray[np.float64] = np.sum(
            [np.asarray(result, np.float64) for result in results], axis=0
        )
        return total

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers."""
        total, answers = self._evaluate(self._trained, self._kept, images, labels)
        return float(total), np.asarray(answers, np.int64)

    def weights(self) -> Weights:
        """Copy the weights."""
        self._put_back()
        return get_weights(self._model)

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training."""
        return [np.array(value) for value in (*self._trained, *self._kept, *self._momenta)]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        values = [jnp.asarray(value) for value in state]
        one, two = len(self._trained), len(self._trained) + len(self._kept)
        self._trained, self._kept, self._momenta = values[:one], values[one:two], values[two:]

    def _put_back(self) -> None:
        for variables, values in (
            (self._model.trainable_variables, self._trained),
            (self._model.non_trainable_variables, self._kept),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def _logits(
        self, trained: Values, kept: Values, images: Any, *, training: bool, update_rate: Any = 1.0
    ) -> tuple[Values, Values]:
        """Run the model with these values of its variables; return logits and what changed in `kept`."""
        variables = [*self._model.trainable_variables, *self._model.non_trainable_variables]
        mapping = list(zip(variables, [*trained, *kept], strict=True))
        x = (images.astype(jnp.float32) - self._mean) * self._scale
        with keras.StatelessScope([*mapping, (self._update_rate, update_rate)]) as scope:
            outputs = self._model(x, training=training)
        changed = [
            value if (new := scope.get_current_value(variable)) is None else new
            for variable, value in zip(self._model.non_trainable_variables, kept, strict=True)
        ]
        listed = outputs if isinstance(outputs, list) else [outputs]
        return [logits.astype(jnp.float32) for logits in listed], changed

    def _train_step(
        self,
        trained: Values,
        kept: Values,
        momenta: Values,
        images: Any,
        labels: Any,
        learning_rate: Any,
        update_rate: Any,
    ) -> tuple[Values, Values, Values, Any]:
        def total_loss(trained: Values) -> Any:
            outputs, changed = self._logits(
                trained, kept, images, training=True, update_rate=update_rate
            )
            losses = [self._smoothed_loss(logits, labels) for logits in outputs]
            total = losses[0] + AUXILIARY_WEIGHT * sum(losses[1:])
            return total, (losses[0], jnp.sum(outputs[0].argmax(-1) == labels), changed)

        (_, (loss, correct, changed)), gradients = jax.value_and_grad(total_loss, has_aux=True)(
            trained
        )
        moved = self._update(trained, momenta, gradients, learning_rate)
        return *moved[:1], changed, moved[1], jnp.stack([loss, correct.astype(jnp.float32)])

    def _evaluate_step(self, trained: Values, kept: Values, images: Any, labels: Any) -> Any:
        (logits, *_), _ = self._logits(trained, kept, images, training=False)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
        return losses.sum(), logits.argmax(-1)

    def _smoothed_loss(self, logits: Any, labels: Any) -> Any:
        smoothing, classes = self._recipe.label_smoothing, logits.shape[-1]
        targets = jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
        losses = -(targets * jax.nn.log_softmax(logits)).sum(-1)
        if self._class_weights is not None:
            losses *= jnp.asarray(self._class_weights)[labels]
        return losses.mean()

    def _update(
        self, trained: Values, momenta: Values, gradients: Values, learning_rate: Any
    ) -> tuple[Values, Values]:
        """Clip, decay, and step with momentum; Nesterov's goes one step further."""
        recipe = self._recipe
        if recipe.clip_norm is not None:
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
            shrink = jnp.minimum(1.0, recipe.clip_norm / (norm + 1e-12))
            gradients = [gradient * shrink for gradient in gradients]
        move = partial(_moved, recipe=recipe, learning_rate=learning_rate)
        pairs = [move(*values) for values in zip(trained, momenta, gradients, strict=True)]
        return [weight for weight, _ in pairs], [momentum for _, momentum in pairs]


def _moved(
    weight: Any, momentum: Any, gradient: Any, *, recipe: Any, learning_rate: Any
) -> tuple[Any, Any]:
    # Kernels have more than one axis; biases, gammas and betas have one, and do not decay.
    if weight.ndim > 1 and recipe.weight_decay:
        gradient = gradient + recipe.weight_decay * weight
    momentum = recipe.momentum * momentum + gradient
    step = gradient + recipe.momentum * momentum if recipe.nesterov else momentum
    return weight - learning_rate * step, momentum
