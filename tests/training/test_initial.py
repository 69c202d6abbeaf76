"""The weights a training starts from: those that earlier versions drew for the same seed, to the bit.

A study's trials are compared with trials of other days, so a seed must go on meaning the same numbers.
"""

import hashlib

import numpy as np
import pytest

from archsearch.ir import ops
from archsearch.training.initial import initial_weights
from tests.networks import everything, modern, resnext_like, vgg_like

NETWORKS = {
    "everything0": everything(0),
    "everything1": everything(1),
    "everything2": everything(2),
    "everything3": everything(3),
    "resnext": resnext_like(),
    "vgg": vgg_like(),
}


def digest(weights):
    found = hashlib.sha256()
    for name, values in weights.items():
        for index, value in enumerate(values):
            found.update(f"{name}:{index} {value.dtype} {value.shape}".encode())
            found.update(value.tobytes())
    return found.hexdigest()[:16]


# Drawn by the code of commit b015a4f, before ops said their own weights, with NumPy 2.
@pytest.mark.parametrize(
    ("name", "seed", "residual", "drawn"),
    [
        ("everything0", 0, False, "dc5388f0a9b8741b"),
        ("everything0", 0, True, "634bc3376f5f8cd2"),
        ("everything1", 1, False, "90a0d9fe950a3fd2"),
        ("everything1", 1, True, "246350c977032ed0"),
        ("everything2", 2, False, "85c30b97d37ac0a9"),
        ("everything2", 2, True, "31ed92b2fd493456"),
        ("everything3", 3, False, "eca846d0c1d00f46"),
        ("everything3", 3, True, "caa50602c961096d"),
        ("resnext", 0, False, "9c124b4b3c979d10"),
        ("resnext", 0, True, "defcf37343d84d74"),
        ("vgg", 0, False, "6a2bdb101effb99f"),  # its scores start at 0.01
        ("vgg", 0, True, "6a2bdb101effb99f"),
    ],
)
def test_a_seed_means_the_numbers_it_always_meant(name, seed, residual, drawn):
    weights = initial_weights(NETWORKS[name], seed=seed, zero_init_residual=residual)
    assert digest(weights) == drawn


def test_they_start_as_their_ops_say():
    graph = modern()
    weights = initial_weights(graph, seed=0)
    for node in graph.nodes[1:]:
        said = node.op.weights(graph.input_shapes(node))
        assert len(said) == len(weights.get(node.name, ())), node.name
        for weight, value in zip(said, weights.get(node.name, ()), strict=True):
            assert value.dtype == np.float32
            assert value.size == np.prod(weight.shape)
            if not isinstance(weight.start, ops.He):
                assert (value == np.float32(weight.start)).all()
            else:
                assert value.std() == pytest.approx((2 / weight.start.inputs) ** 0.5, rel=0.3)
