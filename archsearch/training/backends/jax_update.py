"""What an optimizer makes of gradients, on JAX: pure functions of weights and means."""

from collections.abc import Mapping
from typing import Any, Final

import jax.numpy as jnp

from archsearch.recipes.recipe import Optimizer, Recipe
from archsearch.training.backends.base import SQUARE_FLOOR

MEANS: Final[Mapping[Optimizer, int]] = {"sgd": 1, "adamw": 2}
"""Means that an optimizer keeps of every weight's gradient: of itself, and of its square."""


def moved(
    recipe: Recipe,
    weights: list[Any],
    means: list[Any],
    gradients: list[Any],
    learning_rate: Any,
    step: Any,
) -> tuple[list[Any], list[Any]]:
    """Return weights and means after a step.

    Args:
        recipe: optimizer, clipping, decay.
        weights: a list of arrays.
        means: as many for each kind of them (`MEANS`), all of one kind after the other.
        gradients: of the weights.
        learning_rate: of the step.
        step: its number, from 1.
    """
    if recipe.clip_norm is not None:
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        shrink = jnp.minimum(1.0, recipe.clip_norm / (norm + 1e-12))
        gradients = [gradient * shrink for gradient in gradients]
    # Kernels have more than one axis; biases, gammas and betas have one, and do not decay.
    decays = [recipe.weight_decay if weight.ndim > 1 else 0.0 for weight in weights]
    if recipe.optimizer == "adamw":
        return _adamw(recipe, weights, means, gradients, decays, learning_rate, step)
    return _sgd(recipe, weights, means, gradients, decays, learning_rate)


def _sgd(
    recipe: Recipe,
    weights: list[Any],
    means: list[Any],
    gradients: list[Any],
    decays: list[float],
    learning_rate: Any,
) -> tuple[list[Any], list[Any]]:
    """Decay, and step with momentum; Nesterov's goes one step further."""
    trained, momenta = [], []
    for weight, momentum, gradient, decay in zip(weights, means, gradients, decays, strict=True):
        step = gradient + decay * weight
        momenta.append(recipe.momentum * momentum + step)
        step = step + recipe.momentum * momenta[-1] if recipe.nesterov else momenta[-1]
        trained.append(weight - learning_rate * step)
    return trained, momenta


def _adamw(
    recipe: Recipe,
    weights: list[Any],
    means: list[Any],
    gradients: list[Any],
    decays: list[float],
    learning_rate: Any,
    step: Any,
) -> tuple[list[Any], list[Any]]:
    """Decay, and step by the mean over the root of the mean square, both corrected for their start."""
    first, second = recipe.momentum, recipe.square_momentum
    trained, firsts, seconds = [], [], []
    olds = zip(means[: len(weights)], means[len(weights) :], strict=True)
    for weight, old, gradient, decay in zip(weights, olds, gradients, decays, strict=True):
        firsts.append(first * old[0] + (1 - first) * gradient)
        seconds.append(second * old[1] + (1 - second) * jnp.square(gradient))
        root = jnp.sqrt(seconds[-1] / (1 - second**step)) + SQUARE_FLOOR
        kept = weight * (1 - learning_rate * decay)
        trained.append(kept - learning_rate / (1 - first**step) * firsts[-1] / root)
    return trained, firsts + seconds
