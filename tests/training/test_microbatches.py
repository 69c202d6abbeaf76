"""Batches that are taken in parts: the same training, whatever fits into memory."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.engines.local import LocalEngine
from archsearch.ir.codec import to_json
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.training.backends.base import Rates, cut
from archsearch.training.backends.choice import make_steps
from archsearch.training.evaluation import evaluate
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup
from tests.networks import deep, everything, modern, resnext_like
from tests.real_runs import BACKEND
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
def test_it_does_not_wait_for_its_device_between_the_parts(backend, monkeypatch):
    import torch

    from archsearch.training.backends import torch as torch_backend

    # On this device there are shapes but no numbers: whoever looks at one fails.
    monkeypatch.setattr(torch_backend, "_place", lambda: torch.device("meta"))
    graph = everything(1)
    steps = make_steps(backend, replace(task(graph, **RECIPE), microbatches=PARTS))
    batch = np.zeros((BATCH, *graph.input), np.uint8), np.zeros(BATCH, np.int64)
    result = steps.train(*batch, Rates(learning=0.1, statistics=0.5))
    assert (result.device.type, result.shape) == ("meta", (2,))


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


def job_for(dataset, graph, folder=None, **changes):
    job = Job(
        key="trial-0001", graph=to_json(graph), dataset=str(dataset), recipe=Recipe(batch=16),
        images=2 * 96, seed=0, backend=BACKEND, checkpoint=folder and str(folder), test=True,
    )  # fmt: skip
    return replace(job, **changes)


def trained(job, *, until=99):
    from archsearch.training.fit import train

    reports = []

    def on_epoch(report):
        reports.append(report)
        return report.epoch < until

    return train(job, on_epoch), reports


def test_a_whole_training_of_parts_is_that_of_whole_batches(dataset):
    graph = deep()  # without batch normalization or chance
    whole, wanted = trained(job_for(dataset, graph))
    parts, found = trained(job_for(dataset, graph, microbatches=5))
    assert (whole.microbatches, parts.microbatches) == (1, 5)
    assert (parts.images, parts.epochs) == (whole.images, whole.epochs)
    assert [report.learning_rate for report in found] == [r.learning_rate for r in wanted]
    for figure in ("loss", "accuracy", "val_loss", "val_accuracy"):
        each = [[getattr(report, figure) for report in reports] for reports in (found, wanted)]
        assert each[0] == pytest.approx(each[1], rel=1e-3)
    assert parts.test_loss == pytest.approx(whole.test_loss, rel=1e-3)


def test_it_goes_on_in_the_parts_that_it_came_to(dataset, tmp_path):
    folder = tmp_path / "checkpoint"
    job = job_for(dataset, resnext_like(channels=1), folder)
    straight, wanted = trained(replace(job, checkpoint=None, microbatches=4))
    trained(replace(job, microbatches=4), until=1)
    outcome, reports = trained(job)  # memory ran out before: whoever goes on knows of whole batches
    assert outcome.microbatches == straight.microbatches == 4
    assert outcome.test_loss == straight.test_loss
    assert [report.loss for report in reports] == [report.loss for report in wanted]
    # Where memory runs out on the way, its first epoch is not done once more.
    outcome, reports = trained(replace(job, microbatches=8))
    assert (outcome.microbatches, reports[0].loss) == (8, wanted[0].loss)


def test_no_more_images_are_evaluated_at_once_than_trained(dataset):
    from archsearch.training.evaluation import evaluation_batch
    from archsearch.training.fit import train_steps

    job = job_for(dataset, deep(), microbatches=3)
    assert (job.at_once, job.evaluated_at_once) == (6, 6)
    assert replace(job, microbatches=1).evaluated_at_once is None
    data = load(dataset)
    with train_steps(job, data) as (steps, take):
        assert evaluation_batch(steps, job.evaluated_at_once) == 6
        assert evaluation_batch(steps) > 6
        take(1)
        few = evaluate(steps, data.val, most=6)
        assert few == pytest.approx(evaluate(steps, data.val), rel=1e-5)


def test_a_job_is_cut_until_its_parts_are_of_one_image():
    job, parts = job_for("", deep()), []
    while job is not None:
        parts.append(job.microbatches)
        job = job.finer
    assert parts == [1, 2, 4, 8, 16]


@pytest.mark.slow
@pytest.mark.faults
def test_where_memory_runs_out_another_worker_tries_once_more(dataset, tmp_path, toys):
    engine = LocalEngine(
        [WorkerSetup(backend=BACKEND)], logs=tmp_path / "logs", main=toys.short_of_memory
    )
    asked = job_for(dataset, deep(), tmp_path / "checkpoint", microbatches=2, test=False)
    heard = []
    try:
        engine.submit(asked)
        while not heard or not isinstance(heard[-1], Outcome):
            heard += engine.events(1.0)
    finally:
        engine.close()
    assert [type(message) for message in heard] == [WorkerLost, EpochReport, EpochReport, Outcome]
    outcome = heard[-1]
    assert (outcome.status, outcome.microbatches) == ("complete", 4)
    said = (
        "out of memory for 8 images at a time (RuntimeError: CUDA out of memory. Tried to allocate"
    )
    assert outcome.worker_lost.startswith(said)
    # The same as if it had been known from the beginning.
    again, _ = trained(replace(asked, microbatches=4, checkpoint=None))
    assert again.val_loss == pytest.approx(outcome.val_loss, rel=1e-6)
