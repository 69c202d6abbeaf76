"""One network over two processes: the figures of one process with the whole batch; nobody is left waiting."""

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from archsearch.engines.local import LocalEngine
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.training.fit import train
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup
from archsearch.training.weights import load_weights
from tests.networks import deep, resnext_like

pytestmark = [pytest.mark.faults, pytest.mark.keras]

END_S = 240


def two_of(backend: str, *, slow: bool = False):
    """Return a worker of two processes on a backend, as a parameter of a test."""
    absent = importlib.util.find_spec(backend) is None
    marks = [pytest.mark.skipif(absent, reason=f"{backend} is not installed")]
    setup = WorkerSetup(backend=backend, devices=2)
    return pytest.param(setup, id=backend, marks=marks + slow * [pytest.mark.slow])


# Each process imports a framework anew: what one more backend adds is slow.
EVERY = pytest.mark.parametrize(
    "two", [two_of("torch"), two_of("tensorflow"), two_of("jax", slow=True)]
)
EVERY_SLOWLY = pytest.mark.parametrize(
    "two", [two_of("torch"), two_of("tensorflow", slow=True), two_of("jax", slow=True)]
)
TORCH = pytest.mark.parametrize("two", [two_of("torch")])


def with_dropout() -> Graph:
    net = Tracer("dropout", (16, 16, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3, stride=2)))
    return net.finish(net.dense(net.dropout(net.global_avg_pool(x), 0.5), 5))


def job(dataset: Path, graph: Graph, **changes) -> Job:
    given = Job(
        key="final-net-seed1", graph=to_json(graph), dataset=str(dataset),
        recipe=Recipe(batch=16, ema=0.9), images=3 * 96, seed=0, test=True,
    )  # fmt: skip
    return replace(given, **changes)


@pytest.fixture(scope="module")
def engine_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[WorkerSetup], LocalEngine]]:
    """An engine of each worker, for all tests here: its processes import a framework. None outlives it."""
    made: dict[WorkerSetup, LocalEngine] = {}

    def engine(setup: WorkerSetup) -> LocalEngine:
        if setup not in made:
            made[setup] = LocalEngine([setup], logs=tmp_path_factory.mktemp(setup.backend))
        return made[setup]

    yield engine
    for each in made.values():
        pids = [child.process.pid for child in each._workers[0].members]
        each.close()
        assert not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture
def engine(two: WorkerSetup, engine_of: Callable[[WorkerSetup], LocalEngine]) -> LocalEngine:
    return engine_of(two)


def trained(engine: LocalEngine, given: Job, watch=lambda engine, message: None):
    """Train a job and return its reports, its outcome and what else was said."""
    reports, others = [], []
    engine.submit(replace(given, backend=engine._setups[0].backend))
    end = time.monotonic() + END_S
    while time.monotonic() < end:
        for message in engine.events(0.2):
            watch(engine, message)
            if isinstance(message, Outcome):
                return reports, message, others
            (reports if isinstance(message, EpochReport) else others).append(message)
    raise AssertionError(f"no outcome in {END_S} s; {others}")


def trained_alone(setup: WorkerSetup, given: Job, engine_of) -> tuple[list[EpochReport], Outcome]:
    """Train a job in one process: this one, unless it has Keras on another framework."""
    if setup.backend == "jax":
        return trained(engine_of(replace(setup, devices=1)), given)[:2]
    reports: list[EpochReport] = []
    outcome = train(
        replace(given, backend=setup.backend), lambda report: not reports.append(report)
    )
    return reports, outcome


def figures(reports: list[EpochReport], outcome: Outcome) -> np.ndarray:
    by_epoch = {report.epoch: report for report in reports}  # one that goes on tells some again
    found = [[r.loss, r.accuracy, r.val_loss, r.val_accuracy] for r in by_epoch.values()]
    return np.array([*found, [outcome.test_loss, outcome.test_accuracy, 0, 0]])


@EVERY
def test_two_processes_train_as_one_does(colour_dataset, tmp_path, two, engine, engine_of):
    # An epoch in small steps: rounding, which differs, grows from step to step.
    recipe = Recipe(batch=16, ema=0.9, base_lr=0.4)
    given = job(colour_dataset, resnext_like(), images=96, recipe=recipe)
    jobs = {n: replace(given, weights=str(tmp_path / f"{n}.npz")) for n in (1, 2)}
    alone = trained_alone(two, jobs[1], engine_of)
    reports, outcome, _ = trained(engine, jobs[2])
    assert outcome.status == "complete", outcome.reason
    np.testing.assert_allclose(figures(reports, outcome), figures(*alone), rtol=1e-4)
    whole, spread = (load_weights(tmp_path / f"{count}.npz") for count in (1, 2))
    assert whole.keys() == spread.keys()
    for name, values in whole.items():  # moving statistics of the batch normalizations, too
        scale = max(1.0, float(np.abs(values).max()))
        np.testing.assert_allclose(spread[name], values, atol=1e-4 * scale, err_msg=name)


def kill_a_peer(which: int):
    """Kill a process of the worker after its first epoch, once."""
    killed = []

    def watch(engine: LocalEngine, message: object) -> None:
        if isinstance(message, EpochReport) and not killed:
            killed.append(engine._workers[0].members[which].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    return watch, killed


@EVERY_SLOWLY
@pytest.mark.parametrize("which", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_none_hanging_and_others_go_on_to_the_same_figures(
    colour_dataset, tmp_path, two, engine, which
):
    given = job(colour_dataset, with_dropout(), images=6 * 96)
    calm = trained(engine, replace(given, checkpoint=str(tmp_path / "a")))
    watch, killed = kill_a_peer(which)
    reports, outcome, others = trained(
        engine, replace(given, checkpoint=str(tmp_path / "b")), watch
    )
    assert [type(message) for message in others] == [WorkerLost]
    assert "SIGKILL" in others[0].why
    assert outcome.status == "complete"
    # Dropout differs by process, and each takes up its own.
    np.testing.assert_array_equal(figures(reports, outcome), figures(*calm[:2]))
    assert not psutil.pid_exists(killed[0]) or not psutil.Process(killed[0]).is_running()


@TORCH
def test_both_end_where_a_training_is_stopped_and_take_another_one(colour_dataset, two, engine):
    given = job(colour_dataset, with_dropout(), backend=two.backend)
    engine.submit(replace(given, images=10**6))
    engine.submit(replace(given, key="final-other-seed1"))
    ended: dict[str, Outcome] = {}
    end = time.monotonic() + END_S
    while len(ended) < 2 and time.monotonic() < end:
        for message in engine.events(0.2):
            if isinstance(message, EpochReport):
                engine.stop("final-net-seed1")
            elif isinstance(message, Outcome):
                ended[message.key] = message
    assert [outcome.status for outcome in ended.values()] == ["pruned", "complete"]


@TORCH
def test_two_processes_agree_that_they_stalled_and_try_again(dataset, tmp_path, engine):
    recipe = Recipe(batch=16, base_lr=30.0, unnormalized_lr=0.4)
    given = job(dataset, deep(), recipe=recipe, images=4 * 96, weights=str(tmp_path / "w.npz"))
    reports, outcome, _ = trained(engine, given)
    assert (outcome.status, outcome.stalled, outcome.rate_share) == ("complete", False, 1 / 3)
    assert [(r.before, r.epoch) for r in reports] == [(b, e) for b in (0, 4) for e in range(1, 5)]
    assert outcome.images == 2 * 4 * 96
    assert outcome.val_accuracy > 0.8
