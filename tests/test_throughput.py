import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    import torch

    torch.set_num_threads(1)  # several wait for each other, busily, on a machine with other work
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in ("cases", "sides", "torch_candidates", "torch_loop", "torch_nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("budget", ["20M", "100M"])
def test_plain_networks_have_the_candidates_parameters_and_flops(budget):
    from cases import FAMILIES, candidate_case, plain_network

    for family in FAMILIES:
        case = candidate_case(family, budget)
        assert plain_network(case) is not None  # raises where they differ
        limit = float(budget.removesuffix("M")) * 1e6
        assert 0.95 * limit <= case.flops <= limit


def test_another_network_is_refused():
    from dataclasses import replace

    from cases import candidate_case, plain_network

    case = candidate_case("resnet", "20M")
    with pytest.raises(ValueError, match=r"resnet 20M: the plain network has .* FLOPs"):
        plain_network(replace(case, params=case.params + 1))


@pytest.mark.parametrize("fed", [False, True])
def test_the_plain_loop_learns(tmp_path, fed):
    import torch
    from sides import batches_at_hand, write_dataset
    from torch_loop import PlainLoop
    from torch_nets import vgg

    from archsearch.data import load

    torch.manual_seed(0)
    data = load(write_dataset(tmp_path / "data", size=(16, 16, 3), classes=4, count=64))
    model = vgg(depths=(1, 1), widths=(8, 16), hidden=(), side=16, classes=4)
    loop = PlainLoop(
        model,
        data,
        batch=16,
        device="cpu",
        precision="float32",
        compiled=False,
        batches=None if fed else batches_at_hand(data, 16),
        read_every=4,
        learning_rate=0.1,
    )
    first = sum(float(loop._step(*loop._next())) for _ in range(4))
    loop.take(30)
    last = sum(float(loop._step(*loop._next())) for _ in range(4))
    assert np.isfinite(last)
    assert last < 0.9 * first


def run(script, *options):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *options, "--json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow  # the same processes as above, timed otherwise
def test_packing_tells_trials_an_hour_by_number_of_workers():
    said = run(
        "packing.py", "--workers", "1", "2", "--trials", "2", "--images", "64", "--batch", "16",
        "--rounds", "1", "--families", "vgg", "--flops", "5M", "--backend", "torch",
    )  # fmt: skip
    one, two = said["rows"]
    assert (one["workers"], one["ratio"]) == (1, 1.0)
    assert two["shares"].startswith("2 workers of")
    assert two["ratio"] == pytest.approx(two["trials_per_hour"][0] / one["trials_per_hour"][0])


def test_throughput_tells_images_a_second_of_every_side():
    said = run(
        "throughput.py", "--families", "vgg", "--budgets", "5M", "--backends", "torch",
        "--rounds", "1", "--seconds", "0.1", "--batch", "4", "--images", "40", "--threads", "1",
    )  # fmt: skip
    (row,) = said["rows"]
    assert row["failed"] == {}
    plain, ours = row["sides"]["plain"], row["sides"]["torch"]
    assert ours["ratio"] == pytest.approx(ours["median"] / plain["median"])
    assert said["smallest_of_best"] == ours["ratio"]
