"""The Keras model of a task, for the backends that train Keras models."""

import keras

from archsearch.runtime.backends.base import Task
from archsearch.runtime.model import build_model


def keras_model(task: Task) -> keras.Model:
    """Build a task's model in its precision; what the process's last task left behind goes."""
    keras.backend.clear_session()  # collects garbage, too
    before = keras.config.dtype_policy()
    try:
        if task.precision == "bfloat16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        return build_model(
            task.graph,
            lowering="train",
            seed=task.seed,
            zero_init_residual=task.recipe.zero_init_residual,
            auxiliary=True,
        )
    finally:
        keras.config.set_dtype_policy(before)
