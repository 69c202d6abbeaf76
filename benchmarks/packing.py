"""Short trials an hour, several at a time on one device against one after another.

The trials are the throughput benchmark's candidates, trained by archsearch's own worker processes on a data
set made up for them; workers are warm (each has trained a step) before the clock starts. On an NVIDIA GPU the
workers share it; without one they share the processor's threads, which is what tries the script out.

    python benchmarks/packing.py [--workers 1 4 8 16] [--trials 16] [--images 20000] [--json]
    python benchmarks/packing.py --workers 1 2 --trials 2 --images 512 --rounds 1     (small, on a CPU)
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cases import CLASSES, FAMILIES, SMALL, Case, candidate_case
from measure import machine, spread, versions
from sides import write_dataset

from archsearch.engines.engine import find_engine
from archsearch.engines.local import LocalEngine
from archsearch.planning.sharing import Sharing, worker_setups
from archsearch.recipes.recipe import Recipe
from archsearch.training.backends.choice import choose_backend, gpus_for
from archsearch.training.job import Job, Outcome


def make_jobs(cases: list[Case], options: argparse.Namespace, dataset: Path) -> list[Job]:
    """Return as many jobs as there are trials, the families in turn."""
    return [
        Job(
            key=f"trial-{number:04}",
            graph=case.graph,
            dataset=str(dataset),
            recipe=Recipe(batch=options.batch),
            images=options.images,
            seed=number,
            backend=options.backend,
            precision=options.precision,
        )
        for number, case in zip(range(options.trials), itertools.cycle(cases), strict=False)
    ]


def train_all(engine: LocalEngine, jobs: list[Job]) -> float:
    """Train all jobs; return the seconds it took.

    Raises:
        RuntimeError: one failed.
    """
    begin, left = time.perf_counter(), {job.key for job in jobs}
    for job in jobs:
        engine.submit(job)
    while left:
        for event in engine.events(5.0):
            if not isinstance(event, Outcome):
                continue
            if event.status != "complete":
                raise RuntimeError(f"{event.key} {event.status}: {event.reason}")
            left.discard(event.key)
    return time.perf_counter() - begin


def measure(
    workers: int, jobs: list[Job], options: argparse.Namespace, logs: Path
) -> tuple[float, str]:
    """Return the trials an hour with so many workers, and what they were given."""
    machine = find_engine("local").machine()
    gpus = gpus_for(options.backend, gpus=machine.gpus)
    shares = worker_setups(workers, cores=machine.cores, gpus=gpus)
    setups = tuple(replace(setup, backend=options.backend) for setup in shares)
    engine = LocalEngine(setups, logs=logs)
    try:
        warm = [
            replace(jobs[0], key=f"warm-{number}", images=options.batch)
            for number in range(workers)
        ]
        train_all(engine, warm)
        return 3600 * len(jobs) / train_all(engine, jobs), Sharing(setups=setups).shares
    finally:
        engine.close()


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=["resnet", "resnext4"])
    parser.add_argument("--flops", default="20M")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--images", type=int, default=20_000, help="a trial trains on")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.backend = choose_backend(options.backend).name
    return options


def measure_all(
    cases: list[Case], options: argparse.Namespace
) -> tuple[dict[int, list[float]], dict[int, str]]:
    """Return the trials an hour in every round, and what the workers were given, by their number."""
    rates: dict[int, list[float]] = {workers: [] for workers in options.workers}
    shares: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as home:
        dataset = write_dataset(
            Path(home) / "data", size=SMALL, classes=CLASSES, count=min(options.images, 50_000)
        )
        jobs = make_jobs(cases, options, dataset)
        for _ in range(options.rounds):
            for workers in options.workers:
                rate, shares[workers] = measure(workers, jobs, options, Path(home) / "logs")
                rates[workers].append(rate)
                if not options.json:
                    print(f"{shares[workers]}: {rate:,.0f} trials an hour", flush=True)
    return rates, shares


def compared(rates: dict[int, list[float]], shares: dict[int, str]) -> list[dict[str, Any]]:
    """Return a row for every number of workers, with its ratios to the first one's rates."""
    first = next(iter(rates.values()))
    rows = []
    for workers, found in rates.items():
        ratios = [a / b for a, b in zip(found, first, strict=True)]
        rows.append(
            {
                "workers": workers,
                "shares": shares[workers],
                "trials_per_hour": found,
                "ratio": statistics.median(ratios),
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
            }
        )
    return rows


def main() -> None:
    """Print a line for every number of workers, the first one's being what the others are measured by."""
    options = parse()
    cases = [candidate_case(family, options.flops) for family in options.families]
    rows = compared(*measure_all(cases, options))
    facts = {
        "machine": machine(),
        "gpus": list(gpus_for(options.backend)),
        "versions": versions([options.backend]),
        "trials": f"{options.trials} of {', '.join(case.name for case in cases)}",
        "images": options.images,
        "batch": options.batch,
        "precision": options.precision,
        "n": options.rounds,
    }
    if options.json:
        print(json.dumps({**facts, "rows": rows}))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    for row in rows:
        print(
            f"{row['shares']:28} {spread(row['trials_per_hour'], digits=0)} trials an hour, "
            f"{row['ratio']:.2f}× ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        )


if __name__ == "__main__":
    main()
