import pytest

from archsearch.errors import UserError
from archsearch.study import workers
from archsearch.study.workers import default_per_gpu, describe, worker_setups

SMALL = 3 * 20_000_000 * 32


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 8)


@pytest.fixture
def gpus(monkeypatch):
    return lambda text: monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)


def test_on_a_cpu_threads_are_shared(gpus):
    gpus("")
    setups = worker_setups(None, step_flops=SMALL)
    assert [setup.threads for setup in setups] == [2] * 4
    assert {setup.gpu for setup in setups} == {None}
    assert describe(setups) == "4 workers of 2 threads"
    (one,) = worker_setups(1, step_flops=SMALL)
    assert one.threads == 8
    assert describe((one,)) == "1 worker of 8 threads"
    assert worker_setups(20, step_flops=SMALL)[0].threads == 1


def test_small_trials_share_a_gpu_large_ones_do_not(gpus):
    gpus("0,1")
    setups = worker_setups(None, step_flops=SMALL)
    assert [setup.gpu for setup in setups] == ["0", "1"] * 8
    assert {setup.gpu_share for setup in setups} == {0.125}
    assert describe(setups) == "16 workers: 8 on GPU 0, 8 on GPU 1"
    large = worker_setups(None, step_flops=3 * 4_000_000_000 * 256)
    assert [(setup.gpu, setup.gpu_share) for setup in large] == [("0", 1.0), ("1", 1.0)]
    assert default_per_gpu(60_000_000_000) == 3


def test_what_is_asked_for_is_what_there_is(gpus):
    gpus("3")
    setups = worker_setups(None, step_flops=SMALL, workers_per_gpu=2)
    assert [(setup.gpu, setup.gpu_share, setup.threads) for setup in setups] == [("3", 0.5, 4)] * 2
    gpus("0,1")
    shares = [s.gpu_share for s in worker_setups(3, step_flops=SMALL)]
    assert shares == [0.5] * 3
    gpus("")
    with pytest.raises(UserError, match="shows no NVIDIA GPU"):
        worker_setups(None, step_flops=SMALL, workers_per_gpu=2)
