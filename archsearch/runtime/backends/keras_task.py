"""The Keras model of a task, for the backends that train Keras models."""

from typing import Any

import keras

from archsearch.runtime.backends.base import Task
from archsearch.runtime.layers import FusedBatchNorm
from archsearch.runtime.model import build_model


def keras_model(task: Task) -> keras.Model:
    """Build a task's model in its precision; what the process's last task left behind goes.

    Its batch normalizations leave the latest batch's statistics in `moving_statistics`, for the caller
    to average.
    """
    keras.backend.clear_session()  # collects garbage, too
    before = keras.config.dtype_policy()
    try:
        if task.precision == "bfloat16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        model = build_model(
            task.graph,
            lowering="train",
            seed=task.seed,
            zero_init_residual=task.recipe.zero_init_residual,
            auxiliary=True,
        )
        for layer in _batch_norms(model):
            layer.keeps_latest = True
        return model
    finally:
        keras.config.set_dtype_policy(before)


def moving_statistics(model: keras.Model) -> list[Any]:
    """Return the moving means and variances of a model's batch normalizations."""
    return [v for layer in _batch_norms(model) for v in (layer.moving_mean, layer.moving_variance)]


def _batch_norms(model: keras.Model) -> list[FusedBatchNorm]:
    return [layer for layer in model.layers if isinstance(layer, FusedBatchNorm)]
