"""Images per second of archsearch's training against a plain PyTorch loop of the same network.

The plain network is written by hand (torch_nets.py), has the same parameters and FLOPs to the last digit,
and trains channels-last with the same optimizer, loss, clipping, batch and precision (torch_loop.py). Every
side of a case has a process of its own; they take turns of a few seconds, so that a ratio is of turns next to
each other. The judged figure is the step alone, uint8 batches lying ready on both sides; `--fed` draws them
from a data set and augments them. `ready in` is from an imported process to the end of its first step:
building and compiling. On a machine that does other work too, one thread (`--threads 1`) and the ratio by
processor time tell most. `--at-once N` gets N cases ready at the same time before the first of them is timed:
for GPUs, whose compilers take a minute a case and a core each.

    python benchmarks/throughput.py [--families vgg …] [--budgets 20M 100M] [--backends tensorflow torch jax]
    python benchmarks/throughput.py --networks resnet50 resnext50_32x4d --device cuda --precision bfloat16
        --batch 256 --compiled        (the rows for an NVIDIA GPU; --side 64 --device cpu tries them out)
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cases import FAMILIES, NETWORKS, Case, candidate_case, network_case
from measure import machine, versions
from sides import COMPILED, Setting, serve, write_dataset

from archsearch.units import training_flops

BACKENDS = ("tensorflow", "torch", "jax")


class Trainer:
    """A side of a case, in its process."""

    def __init__(self, side: str, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.side = side
        self.process = context.Process(target=serve, args=(theirs, side, setting), daemon=True)
        self.process.start()
        theirs.close()
        self.starts: dict[str, float] = {}
        self.rates: list[float] = []
        self.processor_rates: list[float] = []

    def get_ready(self) -> None:
        """Wait until it has taken its first steps."""
        if not self.starts:
            self.starts = self._answer()

    def turn(self, seconds: float) -> None:
        """Train for so long."""
        self.pipe.send(seconds)
        images, took, used = self._answer()
        self.rates.append(images / took)
        self.processor_rates.append(images / used)

    def close(self) -> None:
        """End the process."""
        if self.process.is_alive():
            with suppress(BrokenPipeError):
                self.pipe.send(None)
        self.process.join(10)
        self.process.kill()

    def _answer(self) -> Any:
        try:
            answer = self.pipe.recv()
        except EOFError:
            answer = f"its process died (code {self.process.exitcode})"
        if isinstance(answer, str):
            raise RuntimeError(f"{self.side}: {answer}")
        return answer


class Contest:
    """All sides of a case.

    Args:
        case: the network.
        sides: ratios are to the first one.
        options: the command line's.
        home: folder for data sets.
    """

    def __init__(
        self, case: Case, sides: list[str], options: argparse.Namespace, home: Path
    ) -> None:
        self.case = case
        self._sides = sides
        self._options = options
        self._trainers: list[Trainer] = []
        self._failed: dict[str, str] = {}
        folder = home / "x".join(map(str, (*case.size, case.classes)))
        if not folder.exists():
            count = max(case.classes, options.images if case.classes < 100 else options.images // 5)
            write_dataset(folder, size=case.size, classes=case.classes, count=count)
        self._setting = Setting(
            case=case,
            dataset=str(folder),
            batch=options.batch,
            threads=options.threads,
            precision=options.precision,
            device=options.device,
            fed=options.fed,
        )

    def start(self) -> None:
        """Start every side; they get ready one after another where one case is measured at a time."""
        for side in self._sides:
            self._trainers.append(Trainer(side, self._setting))
            if self._options.at_once == 1:
                self._get_ready(self._trainers[-1])

    def measure(self) -> dict[str, Any]:
        """Let the sides train in turns; return the case's row."""
        for trainer in list(self._trainers):
            self._get_ready(trainer)
        for _ in range(self._options.rounds):
            for trainer in self._trainers:
                trainer.turn(self._options.seconds)
        return {
            "case": self.case.name,
            "network": self.case.label,
            "flops": self.case.flops,
            "params": self.case.params,
            "failed": self._failed,
            "sides": {trainer.side: self._told(trainer) for trainer in self._trainers},
        }

    def close(self) -> None:
        """End all processes."""
        for trainer in self._trainers:
            trainer.close()

    def _get_ready(self, trainer: Trainer) -> None:
        try:
            trainer.get_ready()
        except RuntimeError as error:
            self._failed[trainer.side] = str(error)
            self._trainers.remove(trainer)
            trainer.close()

    def _told(self, trainer: Trainer) -> dict[str, Any]:
        first = self._trainers[0]
        ratios = [a / b for a, b in zip(trainer.rates, first.rates, strict=True)]
        return {
            "images_per_s": trainer.rates,
            "median": statistics.median(trainer.rates),
            # A multiply-add is two floating-point operations.
            "gflop_per_s": statistics.median(trainer.rates)
            * 2
            * training_flops(self.case.flops, 1)
            / 1e9,
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            # Per second of processor time: what a ratio would be on a machine left alone.
            "processor_ratio": statistics.median(trainer.processor_rates)
            / statistics.median(first.processor_rates),
            **trainer.starts,
        }


def contests(
    cases: list[Case], sides: list[str], options: argparse.Namespace, home: Path
) -> Iterator[dict[str, Any]]:
    """Give a row a case."""
    for begin in range(0, len(cases), options.at_once):
        group = [
            Contest(case, sides, options, home) for case in cases[begin : begin + options.at_once]
        ]
        try:
            for contest in group:
                contest.start()
            for contest in group:
                yield contest.measure()
                contest.close()  # its memory on the device
        finally:
            for contest in group:
                contest.close()


def matrix_peak(device: str, precision: str, *, side: int, runs: int = 5) -> float:
    """Return the FLOP/s of a large matrix product: the most that training could reach."""
    import torch

    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))

    def product_s() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(10):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / 10

    product_s()
    return 2 * side**3 / min(product_s() for _ in range(runs))


def show(row: dict[str, Any]) -> None:
    """Print a case's lines."""
    print(f"{row['case']} ({row['network']}, {row['flops']:,} FLOPs, {row['params']:,} params)")
    for side, told in row["sides"].items():
        print(
            f"  {side:14} {told['median']:9,.0f} images/s  {told['gflop_per_s']:7,.0f} GFLOP/s"
            f"  {told['ratio']:5.2f}× ({told['ratio_low']:.2f} to {told['ratio_high']:.2f})"
            f"  {told['processor_ratio']:5.2f}× by processor time"
            f"  ready in {told['first_step_s']:.1f} s, imports {told['import_s']:.1f} s"
        )
    for reason in row["failed"].values():
        print(f"  failed: {reason}")
    sys.stdout.flush()


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each side's smallest ratio, and the smallest over the cases of the best side's."""
    sides: dict[str, float] = {}
    best = []
    for row in rows:
        ours = {s: t["ratio"] for s, t in row["sides"].items() if not s.startswith("plain")}
        for side, ratio in ours.items():
            sides[side] = min(sides.get(side, ratio), ratio)
        best += [max(ours.values())] if ours else []
    return {"smallest": sides, "smallest_of_best": min(best, default=None)}


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=None)
    parser.add_argument("--budgets", nargs="+", default=["20M", "100M"])
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=[])
    parser.add_argument("--side", type=int, default=224, help="image side of --networks")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--at-once", type=int, default=1, help="cases that get ready together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--images", type=int, default=2048, help="of the data set")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--compiled", action="store_true", help="torch.compile the plain loop; ours too"
    )
    parser.add_argument("--eager", action="store_true", help="with --compiled: ours without, too")
    parser.add_argument("--fed", action="store_true", help="draw and augment images, both sides")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.families is None:
        options.families = [] if options.networks else list(FAMILIES)
    return options


def sides_of(backends: list[str], options: argparse.Namespace) -> list[str]:
    """Return the names of a case's sides, the plain loop first."""
    if not options.compiled:
        return ["plain", *backends]
    ours = [name if name == "jax" else name + COMPILED for name in backends]  # JAX always compiles
    eager = [name for name in backends if name != "jax"] if options.eager else []
    return ["plain" + COMPILED, *eager, *ours]


def setup_facts(backends: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return on what is measured, and how."""
    others = [name for name in backends if name != "torch"]
    facts: dict[str, Any] = {
        "machine": machine(),
        "device": options.device,
        "versions": versions(["torch", *others, *(["keras"] if others else [])]),
        "threads": options.threads,
        "batch": options.batch,
        "precision": options.precision,
        "fed": options.fed,
        "n": options.rounds,
        "seconds": options.seconds,
        "not_installed": [backend for backend in options.backends if backend not in backends],
    }
    if options.device == "cuda":
        import torch

        facts["device"] = torch.cuda.get_device_name()
    return facts


def show_summary(facts: dict[str, Any]) -> None:
    """Print the last lines."""
    print(f"a large matrix product: {facts['matrix_gflop_per_s']:,.0f} GFLOP/s")
    for side, ratio in facts["smallest"].items():
        print(f"{side}: smallest ratio {ratio:.2f}×")
    if facts["smallest_of_best"] is not None:
        print(f"best backend of each case: smallest ratio {facts['smallest_of_best']:.2f}×")


def main() -> None:
    """Print a line a side of every case, or one JSON document."""
    options = parse()
    if find_spec("torch") is None:
        raise SystemExit("throughput.py compares with PyTorch: pip install 'archsearch[torch]'")
    backends = [backend for backend in options.backends if find_spec(backend) is not None]
    sides = sides_of(backends, options)
    cases = [network_case(name, options.side) for name in options.networks]
    cases += [candidate_case(f, b) for f in options.families for b in options.budgets]
    facts = setup_facts(backends, options)
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in facts.items() if value != []))
        print("median of n turns; ratios to the first line of a case: median (extremes)")
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for row in contests(cases, sides, options, Path(home)):
            rows.append(row)
            if not options.json:
                show(row)
    side = 8192 if options.device == "cuda" else 1024
    facts["matrix_gflop_per_s"] = matrix_peak(options.device, options.precision, side=side) / 1e9
    facts |= summary(rows)
    if options.json:
        print(json.dumps({**facts, "rows": rows}))
        return
    show_summary(facts)


if __name__ == "__main__":
    main()
