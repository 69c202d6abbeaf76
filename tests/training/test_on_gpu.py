"""What only a GPU can show: `CUDA_VISIBLE_DEVICES=0 pytest tests/training/test_on_gpu.py`."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import draw as draw_transforms
from archsearch.data.dataset import Split
from archsearch.ir.codec import to_json
from archsearch.training.backends.base import Rates
from tests.networks import everything, resnext_like, vgg_like
from tests.training.test_backends import BATCH, lesson, task, without_chance


@pytest.fixture(autouse=True)
def there_is_one():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no NVIDIA GPU")


NETWORKS = {
    "resnext": resnext_like,
    "vgg": lambda: without_chance(vgg_like()),
    "everything": lambda: without_chance(everything(1)),
    "dropout": lambda: everything(2),
}


def on_gpu(graph, **changes):
    from archsearch.training.backends.choice import make_steps

    return make_steps("torch", replace(task(graph, ema=0.9), **changes))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["resnext", "vgg", "everything"])
def test_a_recorded_step_teaches_what_a_plain_one_does(name, precision, compiled):
    graph = NETWORKS[name]()
    plain, recorded = (
        on_gpu(graph, precision=precision),
        on_gpu(graph, precision=precision, compiled=compiled),
    )
    plain._take = plain._step
    wanted, got = (lesson(steps, graph, 3)["results"] for steps in (plain, recorded))
    assert recorded._take._replay is not None, "it was not recorded"
    np.testing.assert_allclose(
        got[:, 0], wanted[:, 0], rtol=5e-2 if precision != "float32" else 1e-2
    )


def test_a_recorded_step_draws_anew_every_time():
    graph = NETWORKS["dropout"]()
    steps = on_gpu(graph)
    images = np.zeros((BATCH, *graph.input), np.uint8)
    rates = Rates(learning=0.0, statistics=0.0)
    losses = [float(steps.train(images, np.arange(BATCH) % 5, rates)[0]) for _ in range(4)]
    assert steps._take._replay is not None
    assert len(set(losses)) == 4


def test_it_goes_on_where_it_was_put_back():
    graph = NETWORKS["resnext"]()
    steps = on_gpu(graph)
    lesson(steps, graph, 2)
    kept = steps.state()
    first = lesson(steps, graph, 2)["results"]
    steps.restore(kept)
    np.testing.assert_allclose(lesson(steps, graph, 2)["results"], first, rtol=1e-3)


@pytest.mark.parametrize("kind", ["HeldImages", "SentImages"])
def test_images_move_there_as_they_do_on_the_processor(kind):
    import torch

    from archsearch.training.backends import torch_images

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8), np.arange(50))
    policy = Policy(4, mirror=True, fill=(9, 8, 7))
    held = getattr(torch_images, kind)(split, policy, torch.device("cuda"))
    numbers, moves = rng.permutation(50)[:32], draw_transforms(policy, (32, 32, 3), 32, rng)
    images, labels = held(numbers, moves)
    assert images.device.type == labels.device.type == "cuda"
    np.testing.assert_array_equal(labels.cpu(), numbers)
    np.testing.assert_array_equal(images.cpu(), augment(split.images[numbers], policy, moves))


CHILD = """
import sys
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend=sys.argv[1], threads=2, gpu=sys.argv[2] or None, gpu_share=0.2).apply()
import numpy as np
from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import draw as draw_transforms
from archsearch.data.dataset import Split
from archsearch.ir.codec import from_json
from archsearch.training.backends.choice import make_steps
from tests.training.test_backends import lesson, task
graph = from_json(open(sys.argv[3]).read())
steps = make_steps(sys.argv[1], task(graph, ema=0.9))
assert bool(steps.device) == bool(sys.argv[2]), steps.device
if steps.device:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8), np.arange(50))
    policy = Policy(4, mirror=True)
    held = steps.hold(split, policy)
    moves = draw_transforms(policy, (32, 32, 3), 32, rng)
    images, labels = held(np.arange(32), moves)
    images = images.cpu() if sys.argv[1] == 'torch' else images
    np.testing.assert_array_equal(np.asarray(images), augment(split.images[:32], policy, moves))
np.savez(sys.argv[4], **lesson(steps, graph, 3))
"""


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_it_learns_there_what_it_learns_on_the_processor(backend, tmp_path):
    pytest.importorskip(backend)
    graph = NETWORKS["resnext"]()
    file = tmp_path / "graph.json"
    file.write_text(to_json(graph))
    learned = []
    for place in ("", "0"):
        out = tmp_path / f"on{place}.npz"
        subprocess.run(
            [sys.executable, "-c", CHILD, backend, place, str(file), str(out)],
            check=True,
            timeout=300,
            cwd=Path(__file__).parents[2],
            env={name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"},
        )
        learned.append(np.load(out)["results"][:, 0])
    np.testing.assert_allclose(learned[1], learned[0], rtol=2e-2)  # TensorFloat-32
