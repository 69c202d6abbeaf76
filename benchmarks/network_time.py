"""How long networks of equal FLOPs train, and how well a few figures of the Graph say so before.

Candidates of each space are drawn by chance, its classic first, and trained for some steps in one process, on
PyTorch and one thread. What is kept is processor time, so that other work on the machine matters little. The
table has each space predicted by all others: how its networks differ is what counts, as the level is measured
before every run. Its last line has the coefficients of all, those of `archsearch/readings/workload.py`.

    python benchmarks/network_time.py --out network_time.jsonl [--spaces vgg …] [--flops 20M]
    python benchmarks/network_time.py --out network_time.jsonl --table
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, versions

SIZE = (32, 32, 3)
BATCH = 32
SPACES = ("vgg", "nin", "resnet", "wrn", "resnext", "mobilenet", "densenet", "inception", "se")


def candidates(space: str, flops: str, count: int) -> list[Any]:
    """Return the classic of a space and draws by chance, no network twice."""
    from archsearch.space.budget import Budget, Request
    from archsearch.space.registry import find_space
    from archsearch.space.solve import sample, solve

    found = find_space(space)
    request = Request(SIZE, 10, Budget.parse(flops, SIZE))
    chosen = {c.graph: c for c in (solve(found, found.classic_knobs(request), request),)}
    for candidate in sample(found, request, 10 * count):
        chosen.setdefault(candidate.graph, candidate)
        if len(chosen) == count:
            break
    return list(chosen.values())


def seconds_per_image(graph: str, dataset: Path, *, seconds: float) -> float:
    """Return the processor time of a training step, an image, by the fastest of some slices."""
    from archsearch.data.dataset import load
    from archsearch.recipes.recipe import Recipe
    from archsearch.training.fit import train_steps
    from archsearch.training.job import Job

    data = load(dataset)
    job = Job(
        key="benchmark", graph=graph, dataset=str(dataset), recipe=Recipe(batch=BATCH),
        images=1000 * len(data.train), seed=0, backend="torch", precision="float32",
    )  # fmt: skip
    with train_steps(job, data) as (_, take):
        take(2)
        slices = []
        began = time.process_time()
        while time.process_time() - began < seconds or len(slices) < 2:
            since = time.process_time()
            take(4)
            slices.append((time.process_time() - since) / (4 * BATCH))
    return min(slices)


def measure(options: argparse.Namespace) -> None:
    """Measure what is not in the file yet."""
    from sides import write_dataset

    from archsearch.ir.codec import to_json
    from archsearch.training.setup import WorkerSetup
    from archsearch.training.worker import warm_up

    setup = WorkerSetup(backend="torch", threads=1)
    setup.apply()
    warm_up(setup)
    there = {(r["space"], r["flops"], r["number"]) for r in kept(options.out)}
    with tempfile.TemporaryDirectory() as place:
        dataset = write_dataset(Path(place) / "data", size=SIZE, classes=10, count=256)
        for space in options.spaces:
            for number, candidate in enumerate(
                candidates(space, options.flops, options.candidates)
            ):
                if (space, options.flops, number) in there:
                    continue
                graph = to_json(candidate.graph)
                took = seconds_per_image(graph, dataset, seconds=options.seconds)
                row = {"space": space, "flops": options.flops, "number": number}
                row |= {"seconds": took, "graph": graph}
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{space} {number}: {1e3 * took:.3f} ms an image", flush=True)


def kept(path: Path) -> list[dict[str, Any]]:
    """Return what was measured."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


Rows = dict[str, tuple[Any, Any]]
"""Figures of workloads and logarithms of seconds, by space and budget."""
RIDGE = 1.0


def by_space(rows: list[dict[str, Any]]) -> Rows:
    """Return what was measured as arrays."""
    from archsearch.ir.codec import from_json
    from archsearch.readings.workload import workload

    found = defaultdict(list)
    for row in rows:
        figures = workload(from_json(row["graph"])).figures()
        found[f"{row['space']} {row['flops']}"].append((figures, np.log(row["seconds"])))
    return {
        name: (np.array([x for x, _ in pairs]), np.array([y for _, y in pairs]))
        for name, pairs in sorted(found.items())
    }


def coefficients(rows: Rows) -> Any:
    """Fit one level and the coefficients to all of them."""
    x = np.concatenate([x for x, _ in rows.values()])
    y = np.concatenate([y for _, y in rows.values()])
    centred = x - x.mean(0)
    return np.linalg.solve(
        centred.T @ centred + RIDGE * np.eye(x.shape[1]), centred.T @ (y - y.mean())
    )


def plan_error(seconds: Any, efforts: Any) -> float:
    """Return by how many percent the mean of the classic and one draw is off; efforts of 1: as measured."""
    true = seconds.mean()
    pairs = [[0, other] for other in range(1, len(seconds))]
    wrong = [
        seconds[pair].mean() * efforts.mean() / efforts[pair].mean() / true - 1 for pair in pairs
    ]
    return 100 * float(np.sqrt(np.mean(np.square(wrong))))


def table(path: Path) -> None:
    """Print how far networks differ, and how far a plan is off without the model and with it."""
    rows = by_space(kept(path))
    print(machine(), versions(["torch"]), sep="; ")
    print("space and budget | n | ms an image | sd | sd left | plan off by | with the model")
    for name, (x, y) in rows.items():
        space = name.split()[0]
        others = {other: pair for other, pair in rows.items() if other.split()[0] != space}
        told = x @ coefficients(others)
        seconds, ones = np.exp(y), np.ones(len(y))
        print(
            f"{name} | {len(y)} | {1e3 * seconds.min():.2f} to {1e3 * seconds.max():.2f} | "
            f"{100 * y.std():.0f} % | {100 * (y - told).std():.0f} % | "
            f"{plan_error(seconds, ones):.0f} % | {plan_error(seconds, np.exp(told)):.0f} %"
        )
    print(np.round(coefficients(rows), 3))


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", default=list(SPACES))
    parser.add_argument("--flops", default="20M")
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0, help="of processor time a network")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print what is there")
    options = parser.parse_args()
    if options.table:
        table(options.out)
    else:
        measure(options)


if __name__ == "__main__":
    main()
