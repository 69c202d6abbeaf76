from dataclasses import replace

import pytest

from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.planning import sharing
from archsearch.planning.sharing import (
    MEASURED,
    default_per_gpu,
    first_sharing,
    half_sharing,
    other_sharings,
    settled,
)
from archsearch.settings import RunSettings
from archsearch.training.backends import choice
from archsearch.training.devices import gpu_numbers

SMALL = 3 * 20_000_000 * 32
SETTINGS = RunSettings(
    space="resnext", flops="20M", trials=100, backend="tensorflow", precision="float32"
)


def machine() -> Machine:
    """Eight cores, and the GPUs of the environment."""
    return Machine(cores=8, gpus=gpu_numbers())


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: True)
    return lambda text: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)


def first(step_flops=SMALL, **changes):
    return first_sharing(replace(SETTINGS, **changes), machine(), step_flops=step_flops)


def test_on_a_cpu_threads_are_shared(gpus):
    gpus("")
    shared = first()
    assert [setup.threads for setup in shared.setups] == [2] * 4
    assert {setup.gpu for setup in shared.setups} == {None}
    assert shared.shares == "4 workers of 2 threads"
    assert not shared.compiled
    one = first(workers=1)
    assert one.setups[0].threads == 8
    assert one.shares == "1 worker of 8 threads"
    assert first(workers=20).setups[0].threads == 1
    # No worker without a trial: the others have its threads.
    assert first(trials=2).shares == "2 workers of 4 threads"


def test_small_trials_share_a_gpu_large_ones_do_not(gpus):
    gpus("0,1")
    shared = first()
    assert [setup.gpu for setup in shared.setups] == ["0", "1"] * 8
    assert {setup.gpu_share for setup in shared.setups} == {0.125}
    assert shared.shares == "16 workers: 8 on GPU 0, 8 on GPU 1"
    large = first(3 * 4_000_000_000 * 256)
    assert [(s.gpu, s.gpu_share) for s in large.setups] == [("0", 1.0), ("1", 1.0)]
    assert default_per_gpu(60_000_000_000) == 3


def test_what_is_asked_for_is_what_there_is(gpus):
    gpus("3")
    shared = first(workers_per_gpu=2)
    assert [(s.gpu, s.gpu_share, s.threads) for s in shared.setups] == [("3", 0.5, 4)] * 2
    gpus("0,1")
    assert [s.gpu_share for s in first(workers=3).setups] == [0.5] * 3
    gpus("")
    with pytest.raises(UserError, match="shows no NVIDIA GPU"):
        first(workers_per_gpu=2)


def test_a_tensorflow_without_nvidias_libraries_shares_the_processor(gpus, monkeypatch):
    gpus("0")
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: False)
    assert first().shares == "4 workers of 2 threads"
    assert first(precision="auto").precision == "float32"
    with pytest.raises(UserError, match="backend tensorflow uses no NVIDIA GPU"):
        first(workers_per_gpu=2)


def test_half_as_many_workers(gpus):
    gpus("")
    half = half_sharing(SETTINGS, machine(), first())
    assert half.shares == "2 workers of 4 threads"
    one = half_sharing(SETTINGS, machine(), half)
    assert one.shares == "1 worker of 8 threads"
    assert half_sharing(SETTINGS, machine(), one) is None
    assert half_sharing(replace(SETTINGS, workers=4), machine(), first(workers=4)) is None
    gpus("0,1,2")
    assert half_sharing(SETTINGS, machine(), first(workers=4)).shares.startswith(
        "3 workers: 1 on GPU 0"
    )
    assert half_sharing(SETTINGS, machine(), first(workers=3)) is None


def others(this, **changes):
    return list(map(str, other_sharings(replace(SETTINGS, **changes), machine(), this)))


def test_a_processors_other_ways_are_more_and_fewer_workers(gpus, monkeypatch):
    gpus("")
    assert others(first()) == [
        "8 workers of 1 thread, tensorflow, float32",
        "2 workers of 4 threads, tensorflow, float32",
    ]
    # A worker has a core at least, and a trial.
    assert others(first(workers=8)) == ["4 workers of 2 threads, tensorflow, float32"]
    assert others(first(trials=3), trials=3) == []
    assert others(first(workers=2)) == ["4 workers of 2 threads, tensorflow, float32"]
    monkeypatch.setattr(sharing, "rivals", lambda gpu: ["tensorflow", "jax"])
    fixed = replace(SETTINGS, workers=4)
    (other,) = other_sharings(replace(fixed, backend="auto"), machine(), first())
    assert (other.backend, other.backend_why, other.workers) == ("jax", MEASURED, 4)
    # What was measured is not given up for what a rule says of another number of threads.
    more = next(other_sharings(replace(SETTINGS, backend="auto"), machine(), other))
    assert (more.backend, more.workers) == ("jax", 8)


def test_a_gpus_other_ways_are_packing_and_compiling(gpus, monkeypatch):
    gpus("0,1")
    large = first(3 * 4_000_000_000 * 256)
    assert others(large) == [
        "4 workers: 2 on GPU 0, 2 on GPU 1, tensorflow, float32",
        "2 workers: 1 on GPU 0, 1 on GPU 1, tensorflow, compiled, float32",
    ]
    compiled = replace(large, compiled=True)
    assert others(compiled) == ["4 workers: 2 on GPU 0, 2 on GPU 1, tensorflow, compiled, float32"]
    assert others(large, workers_per_gpu=1, compile=False) == []


def test_what_is_settled_leaves_nothing_open(gpus):
    gpus("")
    auto = replace(SETTINGS, backend="auto")
    shared = first_sharing(auto, machine(), step_flops=SMALL)
    fixed = settled(auto, shared)
    assert list(other_sharings(fixed, machine(), shared)) == []
    assert first_sharing(fixed, machine(), step_flops=1).setups == shared.setups
