"""A format as a third party would write one: weights in a `.npz`, computed by NumPy alone."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.errors import UserError
from archsearch.exchange.formats.format import Need, Trained
from archsearch.ir import ops
from archsearch.ir.codec import from_json, to_json

Array = npt.NDArray[Any]
HELD = (ops.Input, ops.Conv, ops.BatchNorm, ops.Activation, ops.GlobalPool, ops.Dense)


class Npz:
    name = "npz"
    suffix = ".npz"
    exact = True
    needs = (Need("numpy", "numpy"),)

    def write(self, trained: Trained, out: Path) -> None:
        for node in trained.graph:
            if not isinstance(node.op, HELD):
                raise UserError(f"{node.name}: --format npz holds no {node.op.kind} operation")
        shift, scale = trained.preprocessing()
        extra = {"graph": np.array(to_json(trained.graph)), "shift": shift, "scale": scale}
        np.savez(out, **extra, **trained.weights)

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> Array:
        if images.dtype != np.uint8:
            raise TypeError("images are uint8, pixels of 0 to 255")
        with np.load(out) as file:
            kept = dict(file)
        graph = from_json(str(kept["graph"]))
        values: list[Array] = [(images - kept["shift"]) / kept["scale"]]
        for node in graph.nodes[1:]:
            weights = [kept[f"{node.name}:{i}"] for i in range(9) if f"{node.name}:{i}" in kept]
            values.append(compute(node.op, values[node.inputs[0]], weights))
        powers = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def compute(op: ops.Op, x: Array, weights: list[Array]) -> Array:
    if isinstance(op, ops.Conv):
        top, bottom, left, right = op.padding
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, op.kernel, axis=(1, 2))
        windows = windows[:, :: op.stride[0], :: op.stride[1]]
        return np.einsum("nhwcij,ijco->nhwo", windows, weights[0])
    if isinstance(op, ops.BatchNorm):
        gamma, beta, mean, variance = weights
        return (x - mean) / np.sqrt(variance + op.epsilon) * gamma + beta
    if isinstance(op, ops.Activation):
        assert op.function == "relu"
        return np.maximum(x, 0)
    if isinstance(op, ops.GlobalPool):
        return x.mean(axis=(1, 2))
    assert isinstance(op, ops.Dense)
    return x @ weights[0] + weights[1]


NPZ = Npz()
