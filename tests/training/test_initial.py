"""The weights a training starts from: those that earlier versions drew for the same seed, to the bit.

A study's trials are compared with trials of other days, so a seed must go on meaning the same numbers.
"""

import hashlib

import keras
import numpy as np
import pytest

from archsearch.ir import ops
from archsearch.ir.tracer import Tracer
from archsearch.training.initial import Start, initial_weights
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
    weights = initial_weights(NETWORKS[name], seed=seed, start=Start(zero_init_residual=residual))
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


def test_centred_kernels_of_what_is_not_normalized_have_no_mean_and_are_as_large_as_needed():
    graph = plain(16)
    usual, centred = (
        initial_weights(graph, seed=0, start=Start(centred_init=c)) for c in (False, True)
    )
    assert {name for name in usual if (usual[name][0] != centred[name][0]).any()} == {
        f"conv{i}"
        for i in range(2, 17)  # the first sees images, and the scores start at 0.01
    }
    for i in range(2, 17):
        kernel = centred[f"conv{i}"][0]
        np.testing.assert_allclose(kernel.mean(axis=(0, 1, 2)), 0, atol=1e-7)
        wanted = (2 / kernel[..., 0].size / (1 - 1 / np.pi)) ** 0.5
        assert kernel.std() == pytest.approx(wanted, rel=0.1)


@pytest.mark.keras
def test_images_stay_apart_in_a_deep_network_without_normalization():
    """Answers to two images: alike by chance only, and of the size they had."""
    from archsearch.training.lowering.keras_model import build_model

    images = np.random.default_rng(0).standard_normal((8, 8, 8, 3)).astype(np.float32)
    found = {}
    for centred in (False, True):
        model = build_model(plain(16), lowering="plain", start=Start(centred_init=centred))
        maps = keras.Model(model.input, model.layers[-3].output)(images)
        values = keras.ops.convert_to_numpy(maps).reshape(8, -1)
        alike = np.corrcoef(values)[np.triu_indices(8, 1)].mean()
        found[centred] = alike, float((values**2).mean())
    assert found[False][0] > 0.9
    assert found[True][0] < 0.6
    assert 0.1 < found[True][1] < 10


def test_what_is_normalized_or_depthwise_or_not_rectified_starts_as_ever():
    net = Tracer("others", (16, 16, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 16, kernel=3)))
    x = net.relu(net.conv(x, 16, kernel=1, name="after a norm"))
    x = net.activation(net.conv(x, 16, kernel=3, groups=16, name="depthwise"), "tanh")
    x = net.relu(net.conv(x, 16, kernel=3, name="after tanh"))
    x = net.relu(net.conv(x, 16, kernel=3, name="centred"))
    graph = net.finish(net.dense(net.global_avg_pool(x), 5))
    usual, centred = (
        initial_weights(graph, seed=0, start=Start(centred_init=c)) for c in (False, True)
    )
    assert [n for n in usual if (usual[n][0] != centred[n][0]).any()] == ["centred"]


def plain(depth: int):
    net = Tracer("plain", (8, 8, 3))
    x = net.input
    for i in range(1, depth + 1):
        x = net.relu(net.conv(x, 32, kernel=3, bias=True, name=f"conv{i}"))
    return net.finish(net.dense(net.global_avg_pool(x), 5))
