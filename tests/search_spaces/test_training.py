"""Candidates of every space learn, and live on without archsearch: trained, exported, called elsewhere."""

import subprocess
import sys
from itertools import pairwise
from random import Random

import pytest

from archsearch.ir.codec import to_json
from archsearch.ir.tracer import Tracer
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import load_spaces
from archsearch.space.solve import solve
from tests.exchange.test_export import PLAIN_TENSORFLOW
from tests.images import CLASSES, write_dataset

pytestmark = pytest.mark.keras

SPACES = load_spaces()


def candidate_of(name, flops, seed, side=32):
    """Draw a candidate of small images; of large ones return the classic, as deep ones take minutes."""
    space, size = SPACES[name], (side, side, 3)
    request = Request(size, len(CLASSES), Budget.cap(flops, size))
    drawn = draw(space.knobs(request), Random(seed))
    candidate = solve(space, drawn if side < 100 else space.classic_knobs(request), request)
    assert candidate.cost.flops in request.budget
    return candidate.graph


def learn(graph, steps):
    """Train on one batch, with the same elements and paths dropped in every step; return the losses.

    Fresh deep networks differ in how steep they are by orders of magnitude: each step is as long as makes the
    loss fall by 0.2 % to first order.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from archsearch.training.lowering.keras_model import build_model

    rng = np.random.default_rng(0)
    labels = np.arange(20 if graph.input[0] < 100 else 5) % len(CLASSES)
    # Mosaics of 8×8 colours, a hue a class: fine noise would average out in large maps, and normalising what
    # hardly varies makes gradients explode.
    tile = np.ones((1, graph.input[0] // 8, graph.input[1] // 8, 1))
    images = np.kron(rng.normal(0, 1, (len(labels), 8, 8, 3)), tile)
    images += rng.normal(0, 1, (len(CLASSES), 1, 1, 3))[labels]
    model = build_model(graph, lowering="train", seed=1)
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    variables = [v.value for v in model.trainable_variables]
    seeds = [v for v in model.non_trainable_variables if "seed_generator" in v.path]
    first = [np.array(v.value) for v in seeds]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = model(tf.constant(images, tf.float32), training=True)
            logits = outputs[0] if isinstance(outputs, list) else outputs
            loss = criterion(labels, logits)
        slopes = tape.gradient(loss, variables, unconnected_gradients="zero")
        rate = 0.002 * loss / tf.add_n([tf.reduce_sum(g * g) for g in slopes])
        for variable, slope in zip(variables, slopes, strict=True):
            variable.assign_sub(rate * slope)
        return loss

    losses = []
    for _ in range(steps):
        for variable, value in zip(seeds, first, strict=True):
            variable.assign(value)
        losses.append(float(step()))
    return model, losses


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "flops"), [(32, 20_000_000), (32, 50_000_000), (224, 1_000_000_000)]
)
@pytest.mark.parametrize("name", SPACES)
def test_the_loss_falls_step_by_step(name, side, flops):
    _, losses = learn(candidate_of(name, flops, seed=flops, side=side), 3)
    assert all(before > after for before, after in pairwise(losses)), losses


# In the quick run tests/exchange/test_export.py has a network for each way of joining layers.
@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.usefixtures("reloaded_here")
def test_candidates_are_called_where_archsearch_is_not(name, tmp_path):
    # -I: neither the working directory nor PYTHONPATH is searched.
    command = [sys.executable, "-I", "-c", PLAIN_TENSORFLOW, *map(str, exported(name, tmp_path))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def exported(name, folder):
    """Train and export a candidate of the space; return the model, and images with their answers."""
    import numpy as np

    from archsearch.data.dataset import load
    from archsearch.exchange.export import ExportRequest, export
    from archsearch.training.weights import get_weights, save_weights

    data = write_dataset(folder / "data", channels=3, side=32, counts=(20, 10, 10))
    graph = candidate_of(name, 50_000_000, seed=5)
    model, _ = learn(graph, 2)
    save_weights(get_weights(model, graph), folder / "weights.npz")
    out = export(
        ExportRequest(
            graph=to_json(graph),
            weights=str(folder / "weights.npz"),
            dataset=str(data),
            out=str(folder / "model"),
        )
    ).path
    prepared = load(data)
    images = prepared.test.images[:7]
    x = (images - np.float32(prepared.mean)) / np.float32(prepared.std)
    logits = np.asarray(model(x, training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    wanted = powers / powers.sum(axis=1, keepdims=True)
    np.savez(folder / "data.npz", images=images, wanted=wanted, classes=CLASSES)
    return out, folder / "data.npz"


def test_drop_path_leaves_out_inputs_in_training_only():
    import numpy as np

    from archsearch.training.lowering.keras_model import build_model

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
