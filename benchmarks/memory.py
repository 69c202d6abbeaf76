"""What a training step takes of the memory, against what is predicted of it before it is launched.

For each family's classic of a budget and each batch, each in a process of its own: how much the process
grows as it builds the network and trains for a few steps (the largest resident memory, less what it had after
a tiny network), and on PyTorch what its allocator gave at most.

    python benchmarks/memory.py --backends torch
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import CLASSES, SMALL

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.planning.microbatches import step_memory
from archsearch.recipes.recipe import Precision, Recipe
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.training.setup import WorkerSetup

FAMILIES = ("vgg", "resnet", "densenet", "mobilenet_v2", "efficientnet", "inception")
STEPS = 3


def classic(family: str, flops: str) -> Graph:
    """Return a family's classic of a budget, for small images."""
    space = find_space(family)
    request = Request(SMALL, CLASSES, Budget.parse(flops, SMALL))
    return solve(space, space.classic_knobs(request), request).graph


def tiny() -> Graph:
    """Return a network with which a framework makes what it has once a process."""
    net = Tracer("tiny", SMALL)
    x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3)))
    return net.finish(net.dense(net.global_avg_pool(x), CLASSES))


def trained(backend: str, graph: Graph, batch: int, precision: Precision, parts: int) -> Any:
    """Take a few steps, and return what takes another one."""
    from archsearch.training.backends.base import Rates, Task
    from archsearch.training.backends.choice import make_steps

    task = Task(
        graph=graph, recipe=Recipe(batch=batch), mean=(120.0,) * 3, std=(60.0,) * 3,
        precision=precision, microbatches=parts,
    )  # fmt: skip
    steps = make_steps(backend, task)
    images = np.zeros((batch, *SMALL), np.uint8)
    labels = np.zeros(batch, np.int64)

    def take() -> None:
        steps.read([steps.train(images, labels, Rates(learning=0.01, statistics=0.1))])

    for _ in range(STEPS):
        take()
    return take


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Return what one network takes: in a process that has done nothing else."""
    backend, precision = asked.child, asked.precision
    WorkerSetup(backend=backend, threads=1).apply()
    graph = classic(asked.family, asked.flops)
    from archsearch.training.resident import held_bytes, peak_rss_bytes, reset_peak_rss

    trained(backend, tiny(), 2, precision, 1)
    reset_peak_rss()
    mapped = peak_rss_bytes() - held_bytes()
    before = held_bytes()
    take = trained(backend, graph, asked.batch, precision, asked.parts)
    grown = peak_rss_bytes() - mapped - before
    images = -(-asked.batch // asked.parts)
    wanted = step_memory(graph, Recipe(batch=asked.batch), precision, images=images)
    found = {"predicted": wanted.total_bytes, "grown": grown}
    if backend == "torch":
        lasting = wanted.weight_bytes * 3  # weights, their joined gradients, momenta
        found["allocated"] = lasting + allocated(take)
    return found


def allocated(take: Any) -> int:
    """Return what PyTorch's allocator gives at most while a step is taken, beside what is there before."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        take()
    events = watched.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return int(max(np.cumsum(changes)))


def rows(asked: argparse.Namespace) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yield family, backend, batch and what was measured."""
    for backend in asked.backends.split(","):
        for family in asked.families.split(","):
            for batch in map(int, asked.batches.split(",")):
                command = [
                    sys.executable, __file__, "--child", backend, "--family", family,
                    "--batch", str(batch), "--flops", asked.flops, "--precision", asked.precision,
                    "--parts", str(asked.parts),
                ]  # fmt: skip
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                yield family, backend, batch, json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a table, a row a measurement, in MB."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backends", default="torch")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--batches", default="32,128")
    parser.add_argument("--flops", default="20M")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--parts", type=int, default=1, help="microbatches of a batch")
    for own in ("--child", "--family"):
        parser.add_argument(own, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measured(asked)))
        return
    print("| family | backend | batch | predicted | allocated | ratio | resident | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for family, backend, batch, found in rows(asked):
        predicted, grown, given = found["predicted"], found["grown"], found.get("allocated")
        own = ("", "") if given is None else (f"{given / 1e6:.0f}", f"{given / predicted:.2f}")
        cells = (
            family, backend, batch, f"{predicted / 1e6:.0f}", *own, f"{grown / 1e6:.0f}",
            f"{grown / predicted:.2f}",
        )  # fmt: skip
        print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
