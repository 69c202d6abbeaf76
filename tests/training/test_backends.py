"""One network, three frameworks: from equal weights they answer, learn and remember alike."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from archsearch.augmentation.apply import NUMPY, augment, paired
from archsearch.augmentation.policy import NO_AUGMENTATION, Policy
from archsearch.augmentation.transforms import draw as draw_transforms
from archsearch.data.dataset import Split, load
from archsearch.errors import UserError
from archsearch.ir import ops
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import load_spaces
from archsearch.space.solve import solve
from archsearch.training.backends import choice
from archsearch.training.backends.base import HELD_SHARE, Rates, Task
from archsearch.training.backends.choice import (
    choose_backend,
    choose_compiled,
    choose_precision,
    make_steps,
    rivals,
)
from archsearch.training.fit import train_steps
from archsearch.training.job import Job
from archsearch.training.weights import save_weights
from tests.networks import everything, modern, resnext_like, vgg_like

pytestmark = pytest.mark.keras

BATCH = 8


def installed(name):
    return pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )


OTHERS = [installed("torch"), installed("jax")]


def without_chance(graph: Graph) -> Graph:
    """The same network, its dropout and drop-path at rest."""

    def quiet(op):
        if isinstance(op, ops.Dropout):
            return replace(op, rate=0.0)
        if isinstance(op, ops.Mean):
            return replace(op, drop=0.0)
        return replace(op, survival=1.0) if isinstance(op, ops.DropPath) else op

    nodes = tuple(node._replace(op=quiet(node.op)) for node in graph)
    return replace(graph, nodes=nodes)


def smallest(name: str, *, drawn: bool) -> Graph:
    """A space's network of few FLOPs, its dropout at rest: drawn by chance, or as shallow as there are."""
    space = load_spaces()[name]
    request = Request((32, 32, 3), 5, Budget(1, 1))
    cap = max(12_000_000, int(1.1 * space.reach(request)[0]))
    asked = replace(request, budget=Budget.cap(cap, (32, 32, 3)))
    knobs = space.knobs(asked)
    chosen = draw(knobs, Random(5)) if drawn else {knob.name: knob.values()[0] for knob in knobs}
    return without_chance(solve(space, chosen, asked).graph)


def task(graph, precision="float32", **recipe):
    channels = graph.input[2]
    return Task(
        graph=graph,
        recipe=Recipe(batch=BATCH, **recipe),
        mean=[100.0] * channels,
        std=[60.0] * channels,
        class_weights=[0.5, 1.0, 1.5, 1.0, 1.0],
        seed=3,
        precision=precision,
    )


def lesson(steps, graph, count, *, mixes=False):
    """Train a few steps on fixed images; return losses and hits, answers, and the weights."""
    rng = np.random.default_rng(0)
    results = []
    for step in range(count):
        images = rng.integers(0, 256, (BATCH, *graph.input), dtype=np.uint8)
        labels = rng.integers(0, graph.classes, (BATCH, 2) if mixes else BATCH)
        rates = Rates(learning=0.02, statistics=1 / (step + 1), average=0.5, share=0.75)
        result = steps.train(images, labels, rates)
        results.append(steps.read([result]))
    images = rng.integers(0, 256, (5, *graph.input), dtype=np.uint8)
    with steps.averaged():
        total, answers = steps.evaluate(images, np.arange(5) % graph.classes)
        weights = steps.weights()
    plain, _ = steps.evaluate(images, np.arange(5) % graph.classes)
    probabilities = steps.probabilities(images)
    told = -np.log(probabilities[np.arange(5), np.arange(5) % graph.classes]).sum()
    assert told == pytest.approx(plain, rel=1e-3)
    return {
        "probabilities": probabilities,
        "results": np.array(results).reshape(-1, 2),
        "totals": np.array([total, plain]),
        "answers": np.asarray(answers),
        **{f"w/{key}": value for key, value in weights.items()},
    }


CHILD = """
import sys
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend=sys.argv[1], threads=1).apply()
import numpy as np
from archsearch.ir.codec import from_json
from archsearch.training.backends.choice import make_steps
from tests.training.test_backends import lesson, task
out, count, *files = sys.argv[2:]
for number, file in enumerate(files):
    graph = from_json(open(file).read())
    mixup = 1.0 if graph.name == "modern" else 0.0
    steps = make_steps(sys.argv[1], task(graph, ema=0.9, mixup=mixup))
    np.savez(f"{out}/{number}.npz", **lesson(steps, graph, int(count), mixes=mixup > 0))
    if sys.argv[1] == "jax":  # compiled once for all steps
        assert steps._train._cache_size() == steps._evaluate._cache_size() == 1
"""


def lessons(backend, graphs, count, folder):
    """Have JAX train the networks in a process of its own: a process has one Keras backend."""
    if backend == "torch":  # which is none
        return [told(backend, graph, count) for graph in graphs]
    files = []
    for number, graph in enumerate(graphs):
        files.append(folder / f"{number}.json")
        files[-1].write_text(to_json(graph))
    subprocess.run(
        [sys.executable, "-c", CHILD, backend, str(folder), str(count), *map(str, files)],
        check=True,
        timeout=500,
    )
    return [dict(np.load(folder / f"{number}.npz")) for number in range(len(graphs))]


def told(backend, graph, count):
    """What a network learns; one of them from mixed images."""
    mixes = graph.name == "modern"
    steps = make_steps(backend, task(graph, ema=0.9, mixup=float(mixes)))
    return lesson(steps, graph, count, mixes=mixes)


def close(one, other, tolerance):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value.shape == other[key].shape, key
        scale = max(1e-3, float(np.abs(value).max()))
        np.testing.assert_allclose(other[key], value, atol=tolerance * scale, err_msg=key)


@pytest.fixture(scope="module")
def of_tensorflow():
    graphs = [without_chance(everything(seed)) for seed in range(2)]
    graphs += [resnext_like(), without_chance(vgg_like()), modern()]
    wanted = [
        lesson(make_steps("tensorflow", task(graph, ema=0.9)), graph, 3) for graph in graphs[:-1]
    ]
    mixing = make_steps("tensorflow", task(graphs[-1], ema=0.9, mixup=1.0))
    return graphs, [*wanted, lesson(mixing, graphs[-1], 3, mixes=True)]


def cross_entropy(probabilities, labels, smoothing, weights):
    """By the definition, image by image."""
    losses = []
    for row, label in zip(probabilities, labels, strict=True):
        targets = np.full(len(row), smoothing / len(row))
        targets[label] += 1 - smoothing
        losses.append(weights[label] * -(targets * np.log(row)).sum())
    return np.mean(losses)


@pytest.mark.parametrize("backend", ["tensorflow", installed("torch")])
def test_the_loss_of_a_mixed_batch_is_what_its_definition_says(backend):
    net = Tracer("dense", (8, 8, 3))
    graph = net.finish(net.dense(net.flatten(net.input), 5))
    steps = make_steps(backend, task(graph, cutmix=1.0, label_smoothing=0.2))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, 8, 8, 3), dtype=np.uint8)
    labels = rng.integers(0, 5, (BATCH, 2))
    before = steps.probabilities(images)
    rates = Rates(learning=0.0, statistics=1.0, share=0.3)
    loss, hits = steps.read([steps.train(images, labels, rates)])
    one, other = (
        cross_entropy(before, labels[:, i], 0.2, [0.5, 1.0, 1.5, 1.0, 1.0]) for i in (0, 1)
    )
    assert loss == pytest.approx(0.3 * one + 0.7 * other, rel=1e-4)
    right = (before.argmax(1)[:, None] == labels).sum(axis=0)
    assert hits == pytest.approx(0.3 * right[0] + 0.7 * right[1])


# JAX compiles each network for seconds: one with every op and one of mixed batches stand for all.
@pytest.mark.parametrize(
    ("backend", "which"),
    [
        pytest.param(*OTHERS[0].values, slice(None), marks=OTHERS[0].marks),
        pytest.param(*OTHERS[1].values, slice(0, None, 4), marks=OTHERS[1].marks),
        pytest.param(*OTHERS[1].values, slice(None), marks=[*OTHERS[1].marks, pytest.mark.slow]),
    ],
    ids=["torch", "jax", "jax, all"],
)
def test_all_learn_and_answer_as_tensorflow_does(backend, which, of_tensorflow, tmp_path):
    graphs, wanted = (found[which] for found in of_tensorflow)
    for got, want in zip(lessons(backend, graphs, 3, tmp_path), wanted, strict=True):
        close(want, got, 2e-3)


@pytest.mark.parametrize("backend", [installed("torch")])
@pytest.mark.usefixtures("reloaded_here")
def test_what_it_has_trained_tensorflow_exports(backend, colour_dataset, tmp_path):
    import tensorflow as tf

    from archsearch.exchange.export import ExportRequest, export

    data = load(colour_dataset)
    graph = resnext_like(side=data.input[0])
    trained = make_steps(backend, replace(task(graph), mean=data.mean, std=data.std))
    for step in range(4):
        some = slice(BATCH * step, BATCH * (step + 1))
        rates = Rates(learning=0.02, statistics=1 / (step + 1))
        trained.train(data.train.images[some], data.train.labels[some], rates)
    loss, answers = trained.evaluate(data.val.images, data.val.labels)
    save_weights(trained.weights(), tmp_path / "w.npz")
    out = export(
        ExportRequest(
            graph=to_json(graph),
            weights=str(tmp_path / "w.npz"),
            dataset=str(colour_dataset),
            out=str(tmp_path / "model"),
        )
    ).path
    model = tf.saved_model.load(str(out))
    answer = model.serve(tf.constant(data.val.images))
    np.testing.assert_array_equal(answer["class_index"].numpy(), answers)
    said = answer["probabilities"].numpy()[np.arange(len(answers)), data.val.labels]
    assert -np.log(said).sum() == pytest.approx(loss, rel=1e-4)


# A space for each way of joining layers; every op by itself: tests/training/lowering/test_every_op.py.
JOINED = ("densenet", "fractal", "inception", "mobilenet_v2", "resnext", "se")


@pytest.mark.parametrize("drawn", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",
    [
        name if name in JOINED else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(load_spaces())
    ],
)
@pytest.mark.parametrize("backend", [installed("torch")])
def test_networks_of_every_space_answer_alike(backend, name, drawn):
    graph = smallest(name, drawn=drawn)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (BATCH, *graph.input), dtype=np.uint8), np.arange(8) % 5
    losses = []
    for which in ("tensorflow", backend):
        steps = make_steps(which, task(graph))
        before, _ = steps.evaluate(images, labels)
        loss, _ = steps.read([steps.train(images, labels, Rates(learning=0.01, statistics=1.0))])
        losses.append((before, loss))
    # Not the weights: what rounding does to the gradients of a deep network's first layers is no
    # backend's fault.
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


@pytest.mark.parametrize("backend", ["tensorflow", installed("torch")])
def test_what_it_remembers_is_all_there_is(backend):
    graph = everything(1)  # with dropout and drop-path
    steps = make_steps(backend, task(graph, ema=0.9))
    lesson(steps, graph, 2)
    kept = steps.state()
    first = lesson(steps, graph, 3)
    other = make_steps(backend, replace(task(graph, ema=0.9), seed=4))
    other.restore(kept)
    again = lesson(other, graph, 3)
    for key, value in first.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


@pytest.mark.parametrize("backend", [installed("torch")])
@pytest.mark.parametrize("seed", range(4))
def test_a_step_neither_waits_for_its_device_nor_mixes_it_with_another(backend, seed, monkeypatch):
    import torch

    from archsearch.training.backends import torch as torch_backend
    from archsearch.training.backends.torch_images import HeldImages

    # On this device there are shapes but no numbers: whoever looks at one, as on a GPU that is being recorded
    # or has to be waited for, fails; so does a tensor that was left on the processor.
    monkeypatch.setattr(torch_backend, "_place", lambda: torch.device("meta"))
    graph = everything(seed)
    steps = make_steps(backend, task(graph, ema=0.9, clip_norm=1.0))
    split = Split(np.zeros((12, *graph.input), np.uint8), np.zeros(12, np.int64))
    policy = Policy(1, mirror=True)
    held = HeldImages(split, policy, torch.device("meta"))
    batch = held(
        np.arange(BATCH), draw_transforms(policy, graph.input, BATCH, np.random.default_rng(0))
    )
    result = steps.train(*batch, Rates(learning=0.1, statistics=0.5))
    assert (result.device.type, result.shape) == ("meta", (2,))
    with pytest.raises(RuntimeError, match="meta"):
        result.tolist()


@pytest.mark.parametrize("backend", [installed("torch")])
@pytest.mark.parametrize("able", [True, False])
def test_a_recorded_step_teaches_what_a_plain_one_does(backend, able, caplog):
    from archsearch.training.backends.torch_recorded import Recorded

    graph = everything(1)  # with dropout and drop-path
    plain, recorded = (make_steps(backend, task(graph, ema=0.9)) for _ in range(2))
    recordings = []

    def record(step, *places):
        # As on a GPU: it is taken a few times, and reads the same memory ever after.
        for _ in range(3):
            step(*places)
        if not able:
            raise RuntimeError("operation not permitted when stream is capturing\nand so on")
        recordings.append(places)
        return lambda: step(*places).clone()

    recorded._take = Recorded(
        recorded._step, keep=recorded.state, put_back=recorded.restore, record=record
    )
    learned = []
    for steps in (plain, recorded):
        steps.restore(plain.state() if steps is recorded else steps.state())
        before = steps.state()
        learned.append(lesson(steps, graph, 4))
        plain.restore(before)
    for key, value in learned[0].items():
        np.testing.assert_array_equal(learned[1][key], value, err_msg=key)
    assert len(recordings) == able
    if not able:
        assert "not recorded: operation not permitted when stream is capturing" in caplog.text


@pytest.mark.parametrize(
    "backend",
    [
        "tensorflow",
        pytest.param(
            "torch",
            marks=[
                pytest.mark.slow,  # a minute of C++ compiling
                pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # its own
                pytest.mark.skipif(
                    importlib.util.find_spec("torch") is None, reason="torch is not installed"
                ),
            ],
        ),
    ],
)
def test_compiled_steps_teach_what_plain_ones_do(backend):
    graphs = [without_chance(vgg_like()), resnext_like()]
    for graph in graphs[backend == "tensorflow" :]:  # for PyTorch two, each a program of its own
        plain, compiled = (
            lesson(make_steps(backend, replace(task(graph), compiled=how)), graph, 2)
            for how in (False, True)
        )
        close(plain, compiled, 2e-3)


@pytest.mark.parametrize("backend", [installed("torch")])
@pytest.mark.parametrize("seed", range(3))
def test_a_compiler_sees_the_whole_network_at_once(backend, seed):
    import torch

    steps = make_steps(backend, task(without_chance(everything(seed))))
    seen = []

    def look(module, inputs):
        seen.append(module)
        return module.forward

    torch.compiler.reset()
    steps._outputs = torch.compile(steps._outputs, backend=look, fullgraph=True)
    graph = steps._network._graph
    plain = make_steps(backend, task(graph))
    rng = np.random.default_rng(0)
    losses = []
    for which in (plain, steps):
        images = rng.integers(0, 256, (2, BATCH, *graph.input), dtype=np.uint8)
        losses.append(
            [which.train(x, np.arange(8) % 5, Rates(learning=0.01, statistics=1.0)) for x in images]
        )
        rng = np.random.default_rng(0)
    np.testing.assert_allclose(np.array(losses[1]), np.array(losses[0]), rtol=1e-4)
    assert len(seen) == 1  # a second step is not compiled anew


def test_tensorflow_keeps_no_graph_of_a_network_that_is_done_with():
    import gc
    import weakref

    graph = resnext_like(groups=2, width=6)  # no multiple of 4: normalized by our own operations

    def train() -> weakref.ref:
        steps = make_steps("tensorflow", task(graph))
        lesson(steps, graph, 1)
        return weakref.ref(steps._train.get_concrete_function().graph)

    traced = train()
    gc.collect()
    assert traced() is None


@pytest.mark.parametrize("backend", ["tensorflow", installed("torch")])
def test_low_precision_keeps_float32_weights_and_nearly_the_numbers(backend):
    graph = resnext_like()
    full, low = (
        lesson(make_steps(backend, task(graph, precision)), graph, 3)
        for precision in ("float32", "bfloat16")
    )
    assert all(value.dtype == np.float32 for key, value in low.items() if key.startswith("w/"))
    np.testing.assert_allclose(low["results"][:, 0], full["results"][:, 0], rtol=0.1)
    assert not np.array_equal(low["results"][:, 0], full["results"][:, 0])


@pytest.mark.parametrize(
    "policy",
    [
        Policy(2, mirror=True, fill=(9, 8, 7)),
        Policy(1, mirror=False),
        NO_AUGMENTATION,
        Policy(0, mirror=True, scale=(8 / 7, 2.0), crop_area=0.2),
        Policy(
            1,
            mirror=True,
            fill=(9, 8, 7),
            mean=(90, 80, 70),
            operations=3,
            strength=0.7,
            colours=True,
            axes=((9.0, 9.0, 9.0), (3.0, -3.0, 0.0)),
            hole_px=3,
            mixup=1.0,
        ),
        Policy(2, mirror=True, fill=(9, 8, 7), cutmix=1.0),
    ],
)
@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        pytest.param(*other.values, kind, marks=other.marks)
        for other, kind in (
            (OTHERS[0], "HeldImages"),
            (OTHERS[0], "SentImages"),
            (OTHERS[1], ""),
            (pytest.param("tensorflow"), ""),
        )
    ],
)
def test_images_on_the_device_move_as_they_do_on_the_processor(backend, kind, policy):
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (12, 9, 7, 3), dtype=np.uint8), np.arange(12))
    if backend == "torch":
        import torch

        from archsearch.training.backends import torch_images

        held = getattr(torch_images, kind)(split, policy, torch.device("cpu"))
    elif backend == "tensorflow":
        from archsearch.training.backends.tensorflow_images import HeldImages

        held = HeldImages(split, policy, "CPU:0")
    else:
        from archsearch.training.backends.jax_images import hold_images

        held = hold_images(split, policy)
    numbers = rng.permutation(12)[:8]
    transforms = draw_transforms(policy, (9, 7, 3), 8, rng)
    images, labels = held(numbers, transforms)
    np.testing.assert_array_equal(np.asarray(labels), paired(NUMPY, numbers, transforms))
    wanted = augment(split.images[numbers], policy, transforms)
    np.testing.assert_array_equal(np.asarray(images), wanted)
    assert policy == NO_AUGMENTATION or not np.array_equal(wanted, split.images[numbers])


def test_tensorflow_holds_images_that_fit_and_learns_the_same(colour_dataset, monkeypatch):
    from archsearch.training.backends import tensorflow as backend

    data, graph = load(colour_dataset), resnext_like()
    job = Job(
        key="t", graph=to_json(graph), dataset=str(colour_dataset), recipe=Recipe(batch=8),
        images=64, seed=0, backend="tensorflow",
    )  # fmt: skip
    room = 2 * data.train.images.nbytes / HELD_SHARE
    losses = []
    # The processor stands in for a GPU.
    monkeypatch.setattr(backend, "_GPU", "CPU:0")
    for device, free, holds in (("", room, False), ("GPU", room - 1, False), ("GPU", room, True)):
        monkeypatch.setattr(backend, "_device", lambda device=device: device)
        monkeypatch.setattr(backend, "_free_memory", lambda free=free: free)
        with train_steps(job, data) as (steps, take):
            assert (steps.hold(data.train, NO_AUGMENTATION) is not None) == holds
            take(3)
            losses.append(steps.evaluate(data.val.images, data.val.labels)[0])
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("free", "reserved", "holds"),
    [
        (10_000, 0, True),
        (1_000, 0, False),
        (1_000, 9_000, True),  # what it has kept of freed memory is its own
        (90_000, 0, True),
    ],
)
@pytest.mark.parametrize("backend", [installed("torch")])
def test_pytorch_holds_images_that_its_share_of_a_gpu_has_room_for(
    backend, free, reserved, holds, monkeypatch
):
    import torch

    from archsearch.training.backends import torch as steps

    for name, value in (
        ("mem_get_info", (free, 100_000)),
        ("memory_reserved", reserved),
        ("memory_allocated", 0),
        ("get_per_process_memory_fraction", 0.1),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert steps._free_memory() == min(10_000, free + reserved)
    monkeypatch.setattr(steps, "HeldImages", lambda *arguments: "held")
    monkeypatch.setattr(steps, "SentImages", lambda *arguments: "sent")
    split = Split(np.zeros((10, 5, 5, 3), np.uint8), np.arange(10))
    gpu = SimpleNamespace(_place=torch.device("cuda"))
    assert steps.TorchSteps.hold(gpu, split, NO_AUGMENTATION) == ("held" if holds else "sent")

    def no_room(*arguments):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(steps, "HeldImages", no_room)
    assert steps.TorchSteps.hold(gpu, split, NO_AUGMENTATION) == "sent"


@pytest.mark.parametrize("backend", ["tensorflow", installed("torch")])
def test_one_value_a_channel_is_normalized_to_its_offset(backend, colour_dataset):
    net = Tracer("one value", (16, 16, 3))
    x = net.global_avg_pool(net.conv(net.input, 4, kernel=3), keep_map=True)
    graph = net.finish(net.dense(net.flatten(net.batch_norm(net.conv(x, 6, kernel=1))), 5))
    data = load(colour_dataset)
    job = Job(
        key="t", graph=to_json(graph), dataset=str(colour_dataset), recipe=Recipe(batch=1),
        images=4, seed=0, backend=backend,
    )  # fmt: skip
    with train_steps(job, data) as (steps, take):
        take(3)
        loss, _ = steps.evaluate(data.val.images[:4], data.val.labels[:4])
    assert np.isfinite(loss)


@pytest.mark.parametrize("backend", [installed("torch")])
def test_no_part_of_pytorchs_step_lays_a_map_out_anew(backend, colour_dataset):
    """A view of a normalized map has gradients in another order of memory: steps took twice as long."""
    import torch

    from archsearch.training.backends.torch import TorchSteps

    data = load(colour_dataset)
    task = Task(
        graph=resnext_like(), recipe=Recipe(batch=8), mean=data.mean, std=data.std,
        class_weights=None, seed=0,
    )  # fmt: skip
    steps = TorchSteps(task)
    (logits,) = steps._training_outputs(torch.as_tensor(data.train.images[:8].copy()))
    seen, waiting = set(), [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        seen.add(type(node).__name__)
        waiting += [after for after, _ in node.next_functions if after is not None]
    assert "NativeBatchNormBackward0" in seen
    assert not seen & {"SliceBackward0", "CatBackward0", "CloneBackward0", "CopySlices"}


def place_of(*names):
    return lambda name: None if name not in names else Path("/nowhere")


@pytest.mark.parametrize(
    ("wanted", "threads", "there", "name", "why"),
    [
        ("auto", 1, ("tensorflow",), "tensorflow", "what is installed (tensorflow)"),
        ("auto", 1, ("tensorflow", "torch", "jax"), "torch", "the fastest on one CPU thread"),
        ("auto", 4, ("tensorflow", "torch", "jax"), "tensorflow", "on several CPU threads"),
        ("auto", 4, ("torch", "jax"), "torch", "on several CPU threads"),
        ("auto", 1, ("jax", "tensorflow"), "tensorflow", "those installed"),
        ("jax", 1, ("jax", "tensorflow"), "jax", "asked for"),
    ],
)
def test_the_backend_is_chosen_by_what_is_installed(wanted, threads, there, name, why, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    chosen = choose_backend(wanted, threads=threads, found=place_of(*there))
    assert chosen.name == name
    assert why in chosen.why


def test_on_a_gpu_a_backend_built_for_it_is_chosen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: True)
    there = ("torch", "jax", "jax_cuda13_plugin", "tensorflow")
    assert choose_backend("auto", found=place_of(*there)).name == "jax"
    # PyTorch's package for processors is of no use there.
    assert choose_backend("auto", found=place_of("torch", "tensorflow")).name == "tensorflow"
    # Nothing that uses it: the processor's order, and no worker is given the GPU.
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: False)
    for there in (("torch", "jax"), ("torch", "tensorflow")):
        chosen = choose_backend("auto", found=place_of(*there))
        assert chosen.name == "torch"
        assert "none of them can use this machine's GPU" in chosen.why
        assert choice.gpus_for("auto", found=place_of(*there)) == ()
    mixed = place_of("torch", "jax", "jax_cuda13_plugin")
    assert choice.gpus_for("auto", found=mixed) == choice.gpus_for("jax", found=mixed) == ("0",)
    assert choice.gpus_for("torch", found=mixed) == ()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [("pytorch", "no backend 'pytorch'"), ("jax", "pip install 'archsearch[jax]'")],
)
def test_a_backend_that_is_not_there_is_refused(wanted, says):
    with pytest.raises(UserError, match=re.escape(says)):
        choose_backend(wanted, found=place_of("tensorflow"))


@pytest.mark.parametrize(
    ("wanted", "backend", "gpus", "native", "threads", "precision"),
    [
        ("auto", "torch", "", True, 1, "bfloat16"),
        ("auto", "torch", "", True, 2, "float32"),
        ("auto", "torch", "", False, 1, "float32"),
        ("auto", "tensorflow", "", True, 1, "float32"),
        ("auto", "jax", "0", False, 8, "bfloat16"),
        ("auto", "torch", "0", False, 8, "float32"),  # there is a GPU, but this one can't use it
        ("float32", "torch", "0", True, 1, "float32"),
        ("bfloat16", "tensorflow", "", False, 2, "bfloat16"),
    ],
)
def test_the_precision_is_what_the_hardware_is_good_at(
    wanted, backend, gpus, native, threads, precision, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr(choice, "has_bfloat16", lambda: native)
    there = place_of("jax", "jax_cuda13_plugin", "torch")
    assert choose_precision(wanted, backend, threads=threads, found=there) == precision
    with pytest.raises(UserError, match="no precision 'half'"):
        choose_precision("half", backend, threads=threads)


def test_what_may_be_the_fastest_is_worth_measuring(monkeypatch):
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: True)
    there = place_of("tensorflow", "torch", "jax", "jax_cuda12_plugin")
    assert rivals(gpu=False, found=there) == ["tensorflow", "torch"]
    assert rivals(gpu=True, found=there) == ["tensorflow", "jax"]


def test_steps_are_compiled_where_that_is_said(monkeypatch):
    assert choose_compiled(None, "jax")
    assert not choose_compiled(None, "tensorflow")
    assert choose_compiled(True, "tensorflow")
    monkeypatch.setattr(choice, "which", lambda name: "/bin/g++" if name == "g++" else None)
    assert choose_compiled(True, "torch")
    monkeypatch.setattr(choice, "which", lambda name: None)
    assert not choose_compiled(False, "torch")
    with pytest.raises(UserError, match="needs a C\\+\\+ compiler"):
        choose_compiled(True, "torch")


def test_choosing_imports_no_framework():
    code = (
        "import sys; from archsearch.training.backends.choice import choose_backend; choose_backend();"
        "print([m for m in ('tensorflow', 'keras', 'torch', 'jax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
