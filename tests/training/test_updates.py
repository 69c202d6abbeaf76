"""A step of every backend is the one that PyTorch's own optimizer takes."""

from importlib.util import find_spec

import numpy as np
import pytest

from archsearch.recipes.recipe import Recipe

pytestmark = pytest.mark.skipif(
    find_spec("torch") is None, reason="the steps are compared with PyTorch's own"
)

JAX = pytest.param(
    "jax", marks=pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
)
RATES = (0.01, 0.1, 0.05)
KERNEL, BIAS = (3, 4), (5,)


def recipe(optimizer, **parts):
    return Recipe(optimizer=optimizer, weight_decay=0.1, clip_norm=None, **parts)


def values(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=size).astype(np.float32) for size in (KERNEL, BIAS)]


def with_pytorch(of):
    """Weights after a few steps of PyTorch's optimizer; biases do not decay."""
    import torch

    weights = [torch.from_numpy(value).requires_grad_() for value in values(0)]
    groups = [
        {"params": [weights[0]], "weight_decay": of.weight_decay},
        {"params": [weights[1]], "weight_decay": 0.0},
    ]
    if of.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, betas=(of.momentum, of.square_momentum))
    else:
        optimizer = torch.optim.SGD(groups, momentum=of.momentum, nesterov=of.nesterov)
    for step, rate in enumerate(RATES, 1):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for weight, gradient in zip(weights, values(step), strict=True):
            weight.grad = torch.from_numpy(gradient)
        optimizer.step()
    return np.concatenate([weight.detach().numpy().ravel() for weight in weights])


def flat(seed):
    return np.concatenate([value.ravel() for value in values(seed)])


def with_torch(of):
    import torch

    from archsearch.training.backends.torch_update import UPDATES

    weights = torch.from_numpy(flat(0))
    update = UPDATES[of.optimizer](of, weights, 12)
    for step, rate in enumerate(RATES, 1):
        update.take(torch.from_numpy(flat(step)), torch.tensor(rate), torch.tensor(float(step)))
    return weights.numpy()


def with_tensorflow(of):
    import tensorflow as tf

    from archsearch.training.backends.tensorflow_update import UPDATES

    weights = [tf.Variable(value) for value in values(0)]
    decays = (of.weight_decay, 0.0)
    updates = [UPDATES[of.optimizer](of, *pair) for pair in zip(weights, decays, strict=True)]
    for step, rate in enumerate(RATES, 1):
        for update, weight, gradient in zip(updates, weights, values(step), strict=True):
            given = tf.constant(gradient), tf.constant(rate), tf.constant(float(step))
            update.take(weight.read_value(), *given)
    return np.concatenate([weight.numpy().ravel() for weight in weights])


def with_jax(of):
    from archsearch.training.backends.jax_update import MEANS, moved

    weights = values(0)
    means = [np.zeros_like(weight) for _ in range(MEANS[of.optimizer]) for weight in weights]
    for step, rate in enumerate(RATES, 1):
        weights, means = moved(of, weights, means, values(step), rate, float(step))
    return np.concatenate([np.ravel(weight) for weight in weights])


TAKEN = {"torch": with_torch, "tensorflow": with_tensorflow, "jax": with_jax}


@pytest.mark.parametrize(
    "of",
    [recipe("sgd"), recipe("sgd", nesterov=False), recipe("adamw", momentum=0.8)],
    ids=["nesterov", "momentum", "adamw"],
)
@pytest.mark.parametrize("backend", ["torch", "tensorflow", JAX])
def test_steps_are_pytorchs_own(backend, of):
    np.testing.assert_allclose(TAKEN[backend](of), with_pytorch(of), rtol=2e-5, atol=1e-6)
