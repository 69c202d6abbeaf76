"""Batches that are taken in parts: the same training, whatever fits into memory."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from archsearch.ir.codec import to_json
from archsearch.ir.tracer import Tracer
from archsearch.training.backends.base import Rates, cut
from archsearch.training.backends.choice import make_steps
from tests.networks import everything, modern
from tests.training.test_backends import BATCH, close, installed, lesson, task

pytestmark = pytest.mark.keras

HERE = ["tensorflow", installed("torch")]
PARTS = 3  # of 3, 3 and 2 images
ROUNDING = 1e-4
RECIPE = {"ema": 0.9, "clip_norm": 0.5, "label_smoothing": 0.1}


def smallest():
    net = Tracer("smallest", (6, 6, 3))
    x = net.max_pool(net.relu(net.conv(net.input, 4, kernel=3, bias=True)), kernel=2)
    return net.finish(net.dense(net.flatten(x), 5))


def slowly(*cases):
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def taught(backend, graph, parts, count=3, **recipe):
    """What a network learns of batches in so many parts; of mixed images where it is `modern`."""
    mixes = graph.name == "modern"
    given = task(graph, **RECIPE, mixup=float(mixes), **recipe)
    return lesson(
        make_steps(backend, replace(given, microbatches=parts)), graph, count, mixes=mixes
    )


def test_parts_are_as_equal_as_they_can_be():
    assert cut(128, 1) == (slice(0, 128),)
    assert cut(8, 3) == (slice(0, 3), slice(3, 6), slice(6, 8))
    for images in (1, 7, 97, 128):
        for parts in (1, 2, 5, 200):
            found = cut(images, parts)
            sizes = [part.stop - part.start for part in found]
            assert len(found) == min(parts, images)
            assert sum(sizes) == images
            assert max(sizes) - min(sizes) <= 1
            assert sizes[0] == max(sizes)


@pytest.mark.parametrize("graph", [smallest(), *slowly((modern(),))], ids=lambda graph: graph.name)
@pytest.mark.parametrize("backend", HERE)
def test_without_batch_normalization_it_learns_what_it_does_from_whole_batches(backend, graph):
    close(taught(backend, graph, 1), taught(backend, graph, PARTS), ROUNDING)


CHILD = """
import sys
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend="jax", threads=1).apply()
import numpy as np
from archsearch.ir.codec import from_json
from tests.training.test_microbatches import PARTS, taught
file, out = sys.argv[1:]
graph = from_json(open(file).read())
for parts in (1, PARTS):
    np.savez(f"{out}/{parts}.npz", **taught("jax", graph, parts))
"""


@pytest.mark.parametrize("graph", [smallest(), *slowly((modern(),))], ids=lambda graph: graph.name)
@pytest.mark.parametrize("backend", [installed("jax")])
def test_so_it_does_on_jax(backend, graph, tmp_path):
    file = tmp_path / "graph.json"
    file.write_text(to_json(graph))
    subprocess.run([sys.executable, "-c", CHILD, str(file), str(tmp_path)], check=True, timeout=300)
    whole, parts = (dict(np.load(tmp_path / f"{count}.npz")) for count in (1, PARTS))
    close(whole, parts, ROUNDING)


@pytest.mark.parametrize("backend", HERE)
def test_moving_statistics_take_in_the_mean_of_the_parts(backend):
    net = Tracer("statistics", (4, 4, 3))
    graph = net.finish(net.dense(net.flatten(net.batch_norm(net.input)), 5))
    steps = make_steps(backend, replace(task(graph), microbatches=PARTS))
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 4, 4, 3), dtype=np.uint8)
    steps.train(images, np.zeros(BATCH, np.int64), Rates(learning=0.0, statistics=1.0))
    seen = (images.astype(np.float64) - 100) / 60
    each = [
        (len(seen[part]) / BATCH, seen[part].reshape(-1, 3).mean(0), _variance(seen[part]))
        for part in cut(BATCH, PARTS)
    ]
    *_, mean, variance = (value for key, value in steps.weights().items() if "batch_norm" in key)
    np.testing.assert_allclose(mean, sum(w * m for w, m, _ in each), rtol=1e-4)
    np.testing.assert_allclose(variance, sum(w * v for w, _, v in each), rtol=1e-4)


def _variance(images):
    return images.reshape(-1, 3).var(0, ddof=1)


@pytest.mark.parametrize("backend", HERE)
def test_it_repeats_itself_and_remembers_all_there_is(backend):
    net = Tracer("chance", (6, 6, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 4, kernel=3)))
    graph = net.finish(net.dense(net.dropout(net.flatten(x), 0.5), 5))
    steps = make_steps(backend, replace(task(graph, **RECIPE), microbatches=PARTS))
    lesson(steps, graph, 2)
    kept = steps.state()
    first = lesson(steps, graph, 2)
    other = make_steps(backend, replace(task(graph, **RECIPE), seed=4, microbatches=PARTS))
    other.restore(kept)
    for key, value in lesson(other, graph, 2).items():
        np.testing.assert_array_equal(value, first[key], err_msg=key)


@pytest.mark.parametrize("backend", [installed("torch")])
def test_pytorch_takes_less_memory_at_a_time(backend):
    from torch.profiler import ProfilerActivity, profile

    def peak(parts):
        """Most bytes that a step has in use at a time, beside what is there before and after."""
        steps = make_steps(backend, replace(task(graph), microbatches=parts))
        batch = np.zeros((BATCH, *graph.input), np.uint8), np.zeros(BATCH, np.int64)
        steps.train(*batch, Rates(learning=0.0, statistics=0.1))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            steps.train(*batch, Rates(learning=0.0, statistics=0.1))
        events = watched.profiler.kineto_results.events()
        changes = [event.nbytes() for event in events if event.name() == "[memory]"]
        return max(np.cumsum(changes))

    graph = everything(2)
    assert peak(BATCH) < 0.25 * peak(1)
