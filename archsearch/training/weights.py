"""Weights on disk: one NumPy file, keyed by node, so that any lowering or backend can read it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from archsearch.errors import ArchsearchError
from archsearch.ir.graph import Graph
from archsearch.training.initial import initial_weights
from archsearch.training.lowering.layer_names import layers_of

Weights = dict[str, npt.NDArray[Any]]


def get_weights(model: Any, graph: Graph) -> Weights:
    """Copy the weights of a network's Keras model: `node:0`, `node:1`, … in Keras's order within a layer.

    The random state of dropout layers is none of them.
    """
    return {key: np.array(variable) for key, variable in _named(model, graph)}


def set_weights(model: Any, graph: Graph, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a network's Keras model its weights; those of auxiliary classifiers that it lacks are left out.

    Raises:
        ArchsearchError: a weight is missing, or has another shape.
    """
    for key, variable in _named(model, graph):
        value = weights.get(key)
        if value is None or value.shape != tuple(variable.shape):
            found = "is missing" if value is None else f"has shape {value.shape}"
            raise ArchsearchError(
                f"these weights are another network's: {key} {found}, "
                f"wanted shape {tuple(variable.shape)}"
            )
        variable.assign(value)


def fresh_weights(graph: Graph) -> Weights:
    """Return the weights that a network starts from, as `get_weights` would of its fresh model."""
    return {
        f"{name}:{index}": value
        for name, values in initial_weights(graph, seed=0).items()
        for index, value in enumerate(values)
    }


def save_weights(weights: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write a `.npz` file: all of it, or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_weights(path: Path) -> Weights:
    """Read what `save_weights` wrote.

    Raises:
        ArchsearchError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise ArchsearchError(f"{path} is no readable file of weights: {error}") from error


def _named(model: Any, graph: Graph) -> list[tuple[str, Any]]:
    return [
        (f"{node}:{index}", variable)
        for node, layer in layers_of(model, graph).items()
        for index, variable in enumerate(layer.weights)
    ]
