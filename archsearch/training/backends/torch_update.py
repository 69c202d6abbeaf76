"""What an optimizer makes of gradients, on PyTorch: weights, gradients and means are one vector each."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import torch
from torch import Tensor

from archsearch.recipes.recipe import Optimizer, Recipe
from archsearch.training.backends.base import SQUARE_FLOOR


class Update(Protocol):
    """An optimizer with its means."""

    kept: list[Tensor]
    """What it remembers from step to step."""

    def take(self, gradients: Tensor, learning_rate: Tensor, step: Tensor) -> None:
        """Move the weights in place; the gradients are no longer needed. Nothing waits for the device."""


class _Sgd:
    """Stochastic gradient descent with momentum.

    Args:
        recipe: momentum, decay.
        weights: those that are moved.
        decaying: how many of them, from the first on, decay.
    """

    def __init__(self, recipe: Recipe, weights: Tensor, decaying: int) -> None:
        self._recipe, self._weights, self._decaying = recipe, weights, slice(0, decaying)
        self._momenta = torch.zeros_like(weights)
        self.kept = [self._momenta]

    def take(self, gradients: Tensor, learning_rate: Tensor, step: Tensor) -> None:
        """Decay, and step with momentum; Nesterov's goes one step further."""
        recipe = self._recipe
        if recipe.weight_decay:
            decaying = self._decaying
            gradients[decaying].add_(self._weights[decaying], alpha=recipe.weight_decay)
        self._momenta.mul_(recipe.momentum).add_(gradients)
        if recipe.nesterov:
            gradients.add_(self._momenta, alpha=recipe.momentum)
            self._weights.addcmul_(gradients, learning_rate, value=-1)
        else:
            self._weights.addcmul_(self._momenta, learning_rate, value=-1)


class _AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2); arguments as of `_Sgd`."""

    def __init__(self, recipe: Recipe, weights: Tensor, decaying: int) -> None:
        self._recipe, self._weights, self._decaying = recipe, weights, slice(0, decaying)
        self._means, self._squares = torch.zeros_like(weights), torch.zeros_like(weights)
        self.kept = [self._means, self._squares]

    def take(self, gradients: Tensor, learning_rate: Tensor, step: Tensor) -> None:
        """Decay, and step by the mean over the root of the mean square, both corrected for their start."""
        first, second = self._recipe.momentum, self._recipe.square_momentum
        self._means.lerp_(gradients, 1 - first)
        self._squares.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        if self._recipe.weight_decay:
            self._weights[self._decaying] *= 1 - learning_rate * self._recipe.weight_decay
        root = (self._squares / (1 - second**step)).sqrt_().add_(SQUARE_FLOOR)
        self._weights.addcmul_(self._means / root, learning_rate / (1 - first**step), value=-1)


UPDATES: Final[Mapping[Optimizer, Callable[[Recipe, Tensor, int], Update]]] = {
    "sgd": _Sgd,
    "adamw": _AdamW,
}
"""What takes the steps, by the recipe's optimizer; arguments as of `_Sgd`."""
