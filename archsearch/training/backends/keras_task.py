"""The Keras model of a task, for the backends that train Keras models."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from archsearch.training.backends.base import Task
from archsearch.training.initial import Start
from archsearch.training.lowering.keras_model import build_model
from archsearch.training.lowering.layers import FusedBatchNorm


class Untrained(NamedTuple):
    """A Keras model whose variables have no values of their own, and the values to start from.

    It is called in a scope that gives them all (`scope_of`): backends keep them as suits them, and Keras
    creates none, which takes longer than everything else about a variable.
    """

    model: keras.Model
    scope: keras.StatelessScope

    def value(self, variable: Any) -> Any:
        """Return what a variable starts from, as the backend's tensor."""
        found = self.scope.get_current_value(variable)
        return variable.value if found is None else found  # of chance: what its seed says


def scope_of(values: Sequence[tuple[Any, Any]]) -> keras.StatelessScope:
    """Return a scope in which variables have these values; those are (variable, value)."""
    return keras.StatelessScope(values, initialize_variables=False)


def keras_model(task: Task) -> Untrained:
    """Build a task's model in its precision; what the process's last task left behind goes.

    Its batch normalizations leave the latest batch's statistics in `moving_statistics`, for the caller
    to average; those are the whole batch's where processes share it.
    """
    keras.backend.clear_session()  # collects garbage, too
    before = keras.config.dtype_policy()
    try:
        if task.precision == "bfloat16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        with scope_of(()) as scope:
            model = build_model(
                task.graph,
                lowering="train",
                seed=task.seed,
                start=Start.of(task.recipe),
                auxiliary=True,
            )
        for layer in _batch_norms(model):
            layer.keeps_latest = True
            layer.processes = task.team.size
        return Untrained(model, scope)
    finally:
        keras.config.set_dtype_policy(before)


def moving_statistics(model: keras.Model) -> list[Any]:
    """Return the moving means and variances of a model's batch normalizations."""
    return [v for layer in _batch_norms(model) for v in (layer.moving_mean, layer.moving_variance)]


def _batch_norms(model: keras.Model) -> list[FusedBatchNorm]:
    return [layer for layer in model.layers if isinstance(layer, FusedBatchNorm)]
