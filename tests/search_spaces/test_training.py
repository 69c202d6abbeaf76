"""Candidates of every space learn: a few steps on a handful of images lower their loss."""

from math import isfinite

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import load_spaces
from archsearch.space.solve import solve

pytestmark = pytest.mark.keras

SIZE = (32, 32, 3)


def losses_of(graph, steps):
    import keras
    import numpy as np

    from archsearch.runtime.model import build_model

    rng = np.random.default_rng(0)
    labels = np.arange(16) % 4
    # Four classes that differ in colour: something to learn from the first step on.
    images = rng.normal(0, 0.3, (16, *SIZE)) + rng.normal(0, 1, (4, 1, 1, 3))[labels]
    model = build_model(graph, lowering="train", seed=1)
    model.compile(
        optimizer=keras.optimizers.SGD(0.02, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    # On the batch, and as in training: dropout and drop-path included.
    return [float(model.train_on_batch(images, labels)) for _ in range(steps)]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(load_spaces()))
def test_the_classic_learns(name):
    space = load_spaces()[name]
    request = Request(SIZE, 4, Budget.cap(20_000_000, SIZE))
    graph = solve(space, space.classic_knobs(request), request).graph
    losses = losses_of(graph, 12)
    assert all(map(isfinite, losses))
    assert min(losses[-3:]) < losses[0]


def test_drop_path_leaves_out_inputs_in_training_only():
    import numpy as np

    from archsearch.runtime.model import build_model

    net = Tracer("join", (4, 4, 2))
    x = net.conv(net.input, 8, kernel=1, name="a")
    y = net.conv(net.input, 8, kernel=1, name="b")
    z = net.mean(x, y, drop=0.5, name="join")
    graph = net.finish(net.dense(net.global_avg_pool(z), 3))
    train, plain = (build_model(graph, lowering=kind, seed=0) for kind in ("train", "plain"))
    image = np.random.default_rng(1).normal(size=(64, 4, 4, 2)).astype("float32")
    np.testing.assert_allclose(train(image), plain(image), rtol=1e-5, atol=1e-5)

    layer = train.get_layer("join")
    ones, threes = np.ones((256, 2, 2, 1), "float32"), np.full((256, 2, 2, 1), 3, "float32")
    joined = np.asarray(layer([ones, threes], training=True))
    assert np.ptp(joined, axis=(1, 2, 3)).max() == 0  # a sample's whole map, or none of it
    shares = {value: np.mean(joined[:, 0, 0, 0] == value) for value in (1, 2, 3)}
    assert sum(shares.values()) == 1
    # Both kept in 1/4 of the samples; else either of the two, also where both would have been dropped.
    assert abs(shares[2] - 0.25) < 0.1
    assert abs(shares[1] - shares[3]) < 0.2
