"""What throughput.py compares, each in a process of its own: archsearch's training, a plain loop."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cases import Case, plain_network

from archsearch.training.setup import WorkerSetup

READ_EVERY = 16  # steps between looks at the loss, on both sides
BATCHES_AT_HAND = 8
LONG = 1000  # epochs: a training for which the fastest algorithms are worth looking for
LEARNING_RATE = 0.02
COMPILED = "_compiled"


@dataclass(frozen=True, slots=True)
class Setting:
    """What both sides of a measurement share.

    Attributes:
        case: the network.
        dataset: prepared folder.
        batch: images a step.
        threads: processor threads.
        precision: float32 or bfloat16 (activations; weights stay float32).
        device: cpu or cuda.
        fed: False: batches lie ready; True: images are drawn from the data set and augmented.
    """

    case: Case
    dataset: str
    batch: int
    threads: int
    precision: str = "float32"
    device: str = "cpu"
    fed: bool = False


class Side(Protocol):
    """Something that trains."""

    def take(self, count: int) -> None:
        """Take so many training steps, and wait until they are done."""


def serve(pipe: Connection, side: str, setting: Setting) -> None:
    """Train on demand: the target of a spawned process.

    Out comes `{"import_s", "first_step_s"}` once ready; then for each number of seconds that comes in
    `[images, seconds, processor seconds]`; `None` ends it. Anything that goes wrong is sent as a string.
    """
    try:
        with ExitStack() as stack:
            setup = prepare(side, setting)
            begin = time.perf_counter()
            importing(side, setup)
            imported = time.perf_counter()
            trainer = stack.enter_context(SIDES.get(side, ours)(side, setting))
            trainer.take(1)
            ready = time.perf_counter()
            trainer.take(4)
            begin_four = time.perf_counter()
            trainer.take(4)
            step_s = (time.perf_counter() - begin_four) / 4
            pipe.send({"import_s": imported - begin, "first_step_s": ready - imported})
            while (seconds := pipe.recv()) is not None:
                # Whole slices between two looks at the clock: a look waits for the device.
                count = max(2, round(min(seconds, 0.5) / step_s))
                images, start, used = 0, time.perf_counter(), time.process_time()
                while (took := time.perf_counter() - start) < seconds:
                    trainer.take(count)
                    images += count * setting.batch
                pipe.send([images, took, time.process_time() - used])
    except EOFError:
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def prepare(side: str, setting: Setting) -> WorkerSetup:
    """Set up the process as archsearch sets up its workers, for all sides alike."""
    setup = WorkerSetup(
        backend="torch" if side in SIDES else backend_of(side),
        threads=setting.threads,
        gpu="0" if setting.device == "cuda" else None,
    )
    setup.apply()
    # All sides of a case share the device: nobody takes all of its memory at the start.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return setup


def backend_of(side: str) -> str:
    """Return the backend of one of our sides: `torch_compiled` is torch's."""
    return side.removesuffix(COMPILED)


def importing(side: str, setup: WorkerSetup) -> None:
    """Import what takes seconds, as a worker does before its first job.

    The plain sides get nothing of archsearch's backend, which sets up the process it is imported in.
    """
    if side in SIDES:
        import torch

        torch.set_num_threads(setup.threads)
        return
    from archsearch.training.worker import warm_up

    warm_up(setup)


@contextmanager
def ours(side: str, setting: Setting) -> Iterator[Side]:
    """Give archsearch's own training steps, as a trial takes them; `torch_compiled` with --compile."""
    from archsearch.data import load
    from archsearch.recipes.recipe import Recipe
    from archsearch.training.fit import train_steps
    from archsearch.training.job import Job

    data = load(Path(setting.dataset))
    job = Job(
        key="benchmark",
        graph=setting.case.graph,
        dataset=setting.dataset,
        recipe=Recipe(batch=setting.batch),
        images=LONG * len(data.train),
        seed=0,
        backend=backend_of(side),
        precision=setting.precision,  # type: ignore[arg-type]  # one of argparse's two choices
        compiled=side.endswith(COMPILED),
    )
    with train_steps(job, data) as (steps, take):
        if setting.fed:
            yield _Fed(take)
        else:
            yield _Ready(steps, on_device(steps, data, setting.batch))


class _Fed:
    def __init__(self, take: Any) -> None:
        self.take = take


class _Ready:
    """archsearch's step on batches that lie ready."""

    def __init__(self, steps: Any, batches: list[Any]) -> None:
        from archsearch.training.backends.base import Rates

        self.steps = steps
        self.batches = batches
        self.rates = Rates(learning=LEARNING_RATE, statistics=0.1)
        self.number = 0

    def take(self, count: int) -> None:
        """See Side."""
        pending: list[Any] = []
        for index in range(count):
            images, labels = self.batches[self.number % len(self.batches)]
            self.number += 1
            pending.append(self.steps.train(images, labels, self.rates))
            if len(pending) == READ_EVERY or index == count - 1:
                assert np.isfinite(self.steps.read(pending)).all(), "the loss is no number"
                pending.clear()


@contextmanager
def plain(side: str, setting: Setting) -> Iterator[Side]:
    """Give the plain PyTorch loop; `plain_compiled` has torch.compile."""
    from torch_loop import PlainLoop

    from archsearch.data import load

    data = load(Path(setting.dataset))
    yield PlainLoop(
        plain_network(setting.case),
        data,
        batch=setting.batch,
        device=setting.device,
        precision=setting.precision,
        compiled=side == "plain_compiled",
        batches=None if setting.fed else batches_at_hand(data, setting.batch),
        read_every=READ_EVERY,
        learning_rate=LEARNING_RATE,
    )


SIDES = {"plain": plain, "plain_compiled": plain}


def batches_at_hand(data: Any, batch: int) -> list[Any]:
    """Copy a few batches of the training split into memory."""
    count = min(BATCHES_AT_HAND, len(data.train) // batch)
    return [
        (
            np.array(data.train.images[i * batch : (i + 1) * batch]),
            np.array(data.train.labels[i * batch : (i + 1) * batch]),
        )
        for i in range(count)
    ]


def on_device(steps: Any, data: Any, batch: int) -> list[Any]:
    """Put the same batches where a trial has them: on a GPU that holds the data set, or in memory."""
    from archsearch.augmentation.policy import NO_AUGMENTATION
    from archsearch.augmentation.transforms import draw

    held = steps.hold(data.train, NO_AUGMENTATION)
    batches = batches_at_hand(data, batch)
    if held is None:
        return batches
    still = draw(NO_AUGMENTATION, data.input, batch, np.random.default_rng(0))
    return [held(np.arange(i * batch, (i + 1) * batch), still) for i in range(len(batches))]


def write_dataset(folder: Path, *, size: tuple[int, int, int], classes: int, count: int) -> Path:
    """Write a prepared data set: a bright patch in noise, whose place says the class."""
    rng = np.random.default_rng(0)
    height, width, _ = size
    parts = {}
    for name, n in (("train", count), ("val", classes), ("test", classes)):
        labels = np.arange(n) % classes
        images = rng.integers(0, 120, (n, *size), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = (label * 5) % (height // 2), (label * 7) % (width // 2)
            image[row : row + height // 2, column : column + width // 2] += 100
        parts[name] = images, labels.astype(np.int64)
    names = [str(label) for label in range(classes)]
    return write_arrays(
        folder, parts, name="patches", classes=names, mean=[85.0] * 3, std=[55.0] * 3
    )


def write_arrays(
    folder: Path,
    parts: dict[str, Any],
    *,
    name: str,
    classes: list[str],
    mean: Any,
    std: Any,
    mirror: bool = True,
) -> Path:
    """Write a prepared data set from the images and labels of its three splits."""
    folder.mkdir(parents=True)
    for part, (images, labels) in parts.items():
        np.save(folder / f"{part}_images.npy", images)
        np.save(folder / f"{part}_labels.npy", labels)
    facts = {
        "format": 1, "name": name, "source": name, "digest": "0" * 16, "classes": classes,
        "input": list(parts["train"][0].shape[1:]), "mirror": mirror,
        "splits": {part: len(labels) for part, (_, labels) in parts.items()},
        "mean": mean, "std": std, "notes": [], "skipped": {"count": 0},
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder
