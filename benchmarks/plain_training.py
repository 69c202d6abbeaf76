"""A network trained by a plain PyTorch loop with a usual recipe, as one is written in an hour.

The network's own Graph and its own dropout, PyTorch's initial weights, 64 images a step, images moved by up
to an eighth and mirrored. Two recipes: SGD with Nesterov momentum on one cycle (Smith & Topin 2018; 0.1 at
most, decay 5e-4), and AdamW with a cosine (Loshchilov & Hutter 2019; 3e-3, decay 0.05).
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
SGD_RATE, SGD_DECAY = 0.1, 5e-4
ADAMW_RATE, ADAMW_DECAY = 3e-3, 0.05
SHIFT = 8  # images are moved by up to a side over this


def plainly_trained(
    graph: str, folder: Path, *, update: str, seed: int, images: int
) -> dict[str, Any]:
    """Train once on one thread; return validation accuracy, last loss and seconds.

    Args:
        graph: Graph JSON.
        folder: of the prepared images.
        update: `onecycle` or `adamw`.
        seed: of weights, order and augmentation.
        images: seen in all.
    """
    import torch

    from archsearch.data.dataset import load

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    data, net = load(folder), _network(graph)
    began = time.perf_counter()
    loss = _train(net, data, update, max(1, round(images / BATCH)), np.random.default_rng(seed))
    seconds = time.perf_counter() - began
    right = _right(net, data) if np.isfinite(loss) else 0.0
    return {
        "status": "complete", "val": right, "loss": [round(loss, 4)], "train_s": round(seconds, 1),
    }  # fmt: skip


def _network(graph: str) -> Any:
    """Return a network as PyTorch's own layers would start it."""
    import torch

    from archsearch.ir.codec import from_json
    from archsearch.training.initial import initial_weights
    from archsearch.training.lowering.torch_network import Network

    ir = from_json(graph)
    net = Network(ir, initial_weights(ir, seed=0), auxiliary=False, device=torch.device("cpu"))
    with torch.no_grad():
        for kernel in net.kernels:  # as nn.Conv2d and nn.Linear do
            kernel.uniform_(-1, 1).div_(kernel[0].numel() ** 0.5)
    return net


def _train(net: Any, data: Any, update: str, steps: int, rng: np.random.Generator) -> float:
    """Take all steps; return the last loss."""
    import torch
    from torch.nn import functional

    optimizer, schedule = _optimizer(update, [*net.kernels, *net.others], steps)
    loss = torch.zeros(())
    for batch, labels in _batches(data, steps, rng):
        logits = net(_tensor(batch, data), training=True)[0]
        loss = functional.cross_entropy(logits, torch.tensor(labels), label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if net.moving:
            torch._foreach_lerp_(net.moving, net.latest, 0.1)
    return float(loss.detach())


def _optimizer(update: str, trained: list[Any], steps: int) -> tuple[Any, Any]:
    import torch

    if update == "adamw":
        optimizer: Any = torch.optim.AdamW(trained, lr=ADAMW_RATE, weight_decay=ADAMW_DECAY)
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    optimizer = torch.optim.SGD(
        trained, lr=SGD_RATE, momentum=0.9, nesterov=True, weight_decay=SGD_DECAY
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, SGD_RATE, total_steps=steps + 1, cycle_momentum=False
    )
    return optimizer, cycle


def _batches(data: Any, steps: int, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Give batches of images moved and, where the data may be, mirrored; every image once an epoch."""
    pixels, labels = data.train.images, data.train.labels
    side = pixels.shape[1]
    pad = side // SHIFT
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
    order = np.concatenate(
        [rng.permutation(len(labels)) for _ in range(1 + steps * BATCH // len(labels))]
    )
    for step in range(steps):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        batch = np.empty((len(chosen), *pixels.shape[1:]), pixels.dtype)
        tops, lefts = rng.integers(0, 2 * pad + 1, (2, len(chosen)))
        for i, (index, top, left) in enumerate(zip(chosen, tops, lefts, strict=True)):
            moved = padded[index, top : top + side, left : left + side]
            batch[i] = moved[:, ::-1] if data.mirror and rng.random() < 0.5 else moved
        yield batch, labels[chosen]


def _tensor(images: Any, data: Any) -> Any:
    import torch

    scaled = (images.astype(np.float32) - np.float32(data.mean)) / np.float32(data.std)
    return torch.from_numpy(scaled).permute(0, 3, 1, 2)


def _right(net: Any, data: Any) -> float:
    import torch

    right = 0
    with torch.no_grad():
        for start in range(0, len(data.val.labels), 500):
            logits = net(_tensor(data.val.images[start : start + 500], data), training=False)[0]
            right += int((logits.argmax(1).numpy() == data.val.labels[start : start + 500]).sum())
    return right / len(data.val.labels)
