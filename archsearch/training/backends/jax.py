"""Training steps on JAX: the Keras model as a pure function, compiled by XLA with its optimizer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

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
from archsearch.training.backends.jax_images import hold_images
from archsearch.training.backends.jax_update import MEANS, moved
from archsearch.training.backends.keras_task import keras_model, moving_statistics, scope_of
from archsearch.training.teams.jax_team import JaxTeam, own
from archsearch.training.weights import Weights, get_weights


class _Values(NamedTuple):
    """All that changes in training, each a list of arrays; `average` is empty without `ema`.

    `means` are the optimizer's, a list an idea: of gradients, and AdamW's of their squares, too.
    """

    trained: list[Any]
    kept: list[Any]
    means: list[Any]
    average: list[Any]


class _Sums(NamedTuple):
    """What the parts of a batch teach, added up.

    Attributes:
        gradients: a list of arrays.
        kept: what becomes of `kept` of the values: moving statistics are added up, chance goes on.
        found: the loss and the correct answers, (2,).
    """

    gradients: list[Any]
    kept: list[Any]
    found: Any


class JaxSteps:
    """A network on JAX with its optimizer's state (see base.Steps)."""

    def __init__(self, task: Task) -> None:
        device = jax.local_devices()[0]
        self._team = task.team if isinstance(task.team, JaxTeam) else None
        self.device = "" if device.platform == "cpu" else str(device.device_kind)
        untrained = keras_model(task)
        self._model, self._graph = untrained.model, task.graph
        self._recipe = task.recipe
        self._mean, self._scale = task.image_mean, task.image_scale
        self._class_weights = (
            None if task.class_weights is None else np.asarray(task.class_weights, np.float32)
        )
        moving = {id(variable) for variable in moving_statistics(self._model)}
        self._moves = [id(v) in moving for v in self._model.non_trainable_variables]
        # Copies: a step gives its arguments' memory away.
        trained, kept = (
            [jnp.array(untrained.value(variable)) for variable in variables]
            for variables in (
                self._model.trainable_variables,
                self._model.non_trainable_variables,
            )
        )
        values = _Values(
            trained,
            kept,
            [
                jnp.zeros_like(value)
                for _ in range(MEANS[task.recipe.optimizer])
                for value in trained
            ],
            [] if task.recipe.ema is None else [jnp.array(value) for value in trained],
        )
        self._values = self._placed(values)
        everywhere = {} if self._team is None else {"out_shardings": self._team.everywhere}
        self._train = jax.jit(self._train_step, donate_argnums=0, **everywhere)
        self._parts = task.parts
        self._begin = jax.jit(self._begin_step, **everywhere)
        self._add = jax.jit(self._add_step, donate_argnums=1, **everywhere)
        self._finish = jax.jit(self._taken, donate_argnums=0, **everywhere)
        self._evaluate = jax.jit(self._evaluate_step)
        self._probable = jax.jit(self._probable_step)

    def hold(self, split: Split, policy: Policy) -> Held | None:
        """Put images on a GPU that has room for them."""
        stats = jax.local_devices()[0].memory_stats() or {}
        free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
        if not self.device or 2 * split.images.nbytes > free * HELD_SHARE:
            return None
        return hold_images(split, policy)

    def train(self, images: Any, labels: Any, rates: Rates) -> Any:
        """Take a step."""
        if len(self._parts) > 1:
            return self._train_cut(images, labels, rates.numbers())
        if self._team is not None:
            images, labels = self._team.joined(images), self._team.joined(labels)
        self._values, result = self._train(self._values, images, labels, rates.numbers())
        return result

    def _train_cut(self, images: Any, labels: Any, numbers: Any) -> Any:
        """Take a step with one part of the batch after another."""
        sums = self._begin(self._values)
        for part in self._parts:
            batch = images[part], labels[part]
            if self._team is not None:
                batch = self._team.joined(batch[0]), self._team.joined(batch[1])
            sums = self._add(self._values, sums, *batch, numbers)
        self._values, result = self._finish(self._values, sums, numbers)
        return result

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps."""
        total: npt.NDArray[np.float64] = np.sum(
            [np.asarray(result, np.float64) for result in results], axis=0
        )
        return total

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights while the block runs."""
        own = self._values
        if own.average:
            self._values = own._replace(trained=own.average)
        try:
            yield
        finally:
            self._values = own

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers."""
        total, answers = self._evaluate(self._own(), images, labels)
        return float(total), np.asarray(answers, np.int64)

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the probability of every class."""
        return np.asarray(self._probable(self._own(), images))

    def weights(self) -> Weights:
        """Copy the weights."""
        with scope_of(self._pairs(self._own())):
            return get_weights(self._model, self._graph)

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training."""
        return [np.array(value) for values in self._values for value in values]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        left = iter(state)
        self._values = self._placed(
            _Values(*([jnp.asarray(next(left)) for _ in values] for values in self._values))
        )

    def _placed(self, values: _Values) -> _Values:
        """Put values where steps are taken: on this process's device, or on all processes'."""
        if self._team is None:
            return values
        return _Values(*([self._team.same(value) for value in one] for one in values))

    def _own(self) -> _Values:
        """Return the values on this process's device."""
        if self._team is None:
            return self._values
        return _Values(*([own(value) for value in one] for one in self._values))

    def _pairs(self, values: _Values) -> list[tuple[Any, Any]]:
        """Pair the model's variables with these values."""
        model = self._model
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        return list(zip(variables, [*values.trained, *values.kept], strict=True))

    def _logits(
        self, values: _Values, images: Any, *, training: bool, statistics_rate: Any = 1.0
    ) -> tuple[list[Any], list[Any]]:
        """Run the model with these values; return its logits, and what has become of `kept`."""
        x = (images.astype(jnp.float32) - self._mean) * self._scale
        with scope_of(self._pairs(values)) as scope:
            outputs = self._model(x, training=training)
        changed = []
        variables = self._model.non_trainable_variables
        for variable, value, moves in zip(variables, values.kept, self._moves, strict=True):
            latest = scope.get_current_value(variable)
            changed.append(value + statistics_rate * (latest - value) if moves else latest)
        listed = outputs if isinstance(outputs, list) else [outputs]
        return [logits.astype(jnp.float32) for logits in listed], changed

    def _train_step(
        self, values: _Values, images: Any, labels: Any, numbers: Any
    ) -> tuple[_Values, Any]:
        return self._taken(values, self._learnt(values, images, labels, numbers), numbers)

    def _begin_step(self, values: _Values) -> _Sums:
        kept = [
            jnp.zeros_like(value) if moves else value
            for value, moves in zip(values.kept, self._moves, strict=True)
        ]
        return _Sums([jnp.zeros_like(value) for value in values.trained], kept, jnp.zeros(2))

    def _add_step(
        self, values: _Values, sums: _Sums, images: Any, labels: Any, numbers: Any
    ) -> _Sums:
        """Add what a part of a batch teaches, by its share of the images."""
        weight, moves = len(images) / self._recipe.batch, self._moves
        now = [
            value if one else total
            for value, total, one in zip(values.kept, sums.kept, moves, strict=True)
        ]
        learnt = self._learnt(values._replace(kept=now), images, labels, numbers)
        kept = [
            total + weight * value if one else value
            for total, value, one in zip(sums.kept, learnt.kept, moves, strict=True)
        ]
        gradients = [
            total + weight * gradient
            for total, gradient in zip(sums.gradients, learnt.gradients, strict=True)
        ]
        return _Sums(gradients, kept, sums.found + learnt.found * jnp.array([weight, 1.0]))

    def _learnt(self, values: _Values, images: Any, labels: Any, numbers: Any) -> _Sums:
        """Run a batch forwards and backwards."""
        _, statistics_rate, _, share, _ = numbers

        def total_loss(trained: list[Any]) -> Any:
            outputs, changed = self._logits(
                values._replace(trained=trained),
                images,
                training=True,
                statistics_rate=statistics_rate,
            )
            loss, *others = (self._mixed_loss(logits, labels, share) for logits in outputs)
            correct = _correct(outputs[0], labels, share)
            return loss + AUXILIARY_WEIGHT * sum(others), (loss, correct, changed)

        (_, (loss, correct, kept)), gradients = jax.value_and_grad(total_loss, has_aux=True)(
            values.trained
        )
        return _Sums(gradients, kept, jnp.stack([loss, correct]))

    def _taken(self, values: _Values, learnt: _Sums, numbers: Any) -> tuple[_Values, Any]:
        """Return the values after a step, and what came of its batch."""
        learning_rate, _, average_rate, _, step = numbers
        gradients, kept, found = learnt
        trained, means = moved(
            self._recipe, values.trained, values.means, gradients, learning_rate, step
        )
        average = [
            old + average_rate * (new - old)
            for old, new in zip(values.average, trained, strict=bool(values.average))
        ]
        return _Values(trained, kept, means, average), found

    def _evaluate_step(self, values: _Values, images: Any, labels: Any) -> Any:
        (logits, *_), _ = self._logits(values, images, training=False)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=-1)
        return losses.sum(), logits.argmax(-1)

    def _probable_step(self, values: _Values, images: Any) -> Any:
        (logits, *_), _ = self._logits(values, images, training=False)
        return jax.nn.softmax(logits)

    def _mixed_loss(self, logits: Any, labels: Any, share: Any) -> Any:
        if labels.ndim == 1:
            return self._smoothed_loss(logits, labels)
        own, other = (self._smoothed_loss(logits, labels[:, i]) for i in (0, 1))
        return share * own + (1 - share) * other

    def _smoothed_loss(self, logits: Any, labels: Any) -> Any:
        smoothing, classes = self._recipe.label_smoothing, logits.shape[-1]
        targets = jax.nn.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
        losses = -(targets * jax.nn.log_softmax(logits)).sum(-1)
        if self._class_weights is not None:
            losses *= jnp.asarray(self._class_weights)[labels]
        return losses.mean()


def _correct(logits: Any, labels: Any, share: Any) -> Any:
    """Count the correct answers; of an image with two labels, each by its share."""
    answers = logits.argmax(-1)
    if labels.ndim == 1:
        return jnp.sum((answers == labels).astype(jnp.float32))
    own, other = (jnp.sum((answers == labels[:, i]).astype(jnp.float32)) for i in (0, 1))
    return share * own + (1 - share) * other
