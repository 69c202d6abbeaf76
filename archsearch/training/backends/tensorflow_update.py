"""What an optimizer makes of gradients, on TensorFlow: weights, gradients and means are one vector each."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import tensorflow as tf

from archsearch.recipes.recipe import Optimizer, Recipe
from archsearch.training.backends.base import SQUARE_FLOOR


class Update(Protocol):
    """An optimizer with its means, of some of the weights."""

    kept: list[Any]
    """Variables: what it remembers from step to step."""

    def take(self, value: Any, gradient: Any, rate: Any, step: Any) -> None:
        """Move the weights, whose value is given, too; `step` is counted from 1."""


class _Sgd:
    """Stochastic gradient descent with momentum.

    Args:
        recipe: momentum.
        weights: the variable that is moved.
        decay: its L2 penalty.
    """

    def __init__(self, recipe: Recipe, weights: Any, decay: float) -> None:
        self._recipe, self._weights, self._decay = recipe, weights, decay
        self._momenta = _zeros_like(weights)
        self.kept = [self._momenta]

    def take(self, value: Any, gradient: Any, rate: Any, step: Any) -> None:
        """Decay, and step with momentum; Nesterov's goes one step further."""
        # momentum = μ·momentum + step; weight −= rate·momentum (Nesterov: one step further)
        tf.raw_ops.ResourceApplyMomentum(
            var=self._weights.handle,
            accum=self._momenta.handle,
            lr=rate,
            grad=gradient + self._decay * value if self._decay else gradient,
            momentum=self._recipe.momentum,
            use_nesterov=self._recipe.nesterov,
        )


class _AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2); arguments as of `_Sgd`."""

    def __init__(self, recipe: Recipe, weights: Any, decay: float) -> None:
        self._recipe, self._weights, self._decay = recipe, weights, decay
        self._means, self._squares = _zeros_like(weights), _zeros_like(weights)
        self.kept = [self._means, self._squares]

    def take(self, value: Any, gradient: Any, rate: Any, step: Any) -> None:
        """Decay, and step by the mean over the root of the mean square, both corrected for their start."""
        first, second = self._recipe.momentum, self._recipe.square_momentum
        mean = self._means.assign_add((1 - first) * (gradient - self._means))
        square = self._squares.assign_add((1 - second) * (tf.square(gradient) - self._squares))
        root = tf.sqrt(square / (1 - tf.pow(second, step))) + SQUARE_FLOOR
        moved = rate / (1 - tf.pow(first, step)) * mean / root
        self._weights.assign_sub(moved + rate * self._decay * value if self._decay else moved)


UPDATES: Final[Mapping[Optimizer, Callable[[Recipe, Any, float], Update]]] = {
    "sgd": _Sgd,
    "adamw": _AdamW,
}
"""What takes the steps, by the recipe's optimizer; arguments as of `_Sgd`."""


def _zeros_like(variable: Any) -> Any:
    return tf.Variable(tf.zeros_like(variable), trainable=False)
