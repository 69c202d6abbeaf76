"""What a search takes besides training: start-up, the fixed cost of a trial, the share of time in training.

Start-up is of whole processes. The fixed cost is what a trial of a few steps takes in a worker that is warm,
those steps left out: building, tracing and compiling, an evaluation; and what passes between one trial's end
and the next one's start. It is measured for the networks of throughput.py. A first step that traces or
compiles counts as long as the others. The share is of a real study, from the command line to the table:
training steps of its workers by all the time they could have trained. What is left is the start, evaluations,
workers that wait for the last of a stage, latencies, and the export.

    python benchmarks/overhead.py [--backends tensorflow torch jax] [--workers 1] [--trials 16]
    python benchmarks/overhead.py --workers 2 --trials 0      (the fixed costs alone, two trials at a time)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from cases import CLASSES, FAMILIES, SMALL, candidate_case
from measure import machine, spread, versions

BACKENDS = ("tensorflow", "torch", "jax")
KEPT = ("training_share", "search_share", "wall_s", "search_s", "epochs")
STEPS = 8
COMMANDS = (["--help"], ["profile", "resnet50"], ["sample", "--space", "resnext", "--flops", "4G"])


def start_up(runs):
    """Time whole commands, in seconds."""
    took = {}
    for command in COMMANDS:
        took[" ".join(command)] = times = []
        for _ in range(runs):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "archsearch", *command], check=True, capture_output=True
            )
            times.append(time.perf_counter() - begin)
    return took


def fixed_costs(backend, options, home):
    """Train each network for a few steps, in all workers at once; give its seconds besides and between."""
    from sides import write_dataset

    from archsearch.engines.local import LocalEngine
    from archsearch.recipes.recipe import Recipe
    from archsearch.training.job import Job
    from archsearch.training.setup import WorkerSetup

    data = write_dataset(home / "data", size=SMALL, classes=CLASSES, count=1500)
    engine = LocalEngine(
        [WorkerSetup(backend=backend, threads=1)] * options.workers, logs=home / "logs"
    )
    named = [(f, b) for f in options.families for b in options.budgets]
    try:
        for warm in (True, False):  # in a worker's first trial the framework wakes up
            for family, budget in named[:1] if warm else named:
                case, inside, between = candidate_case(family, budget), [], []
                for repeat in range(1 if warm else options.repeats):
                    jobs = [
                        Job(
                            key=f"{case.name} {repeat} {number}", graph=case.graph, dataset=str(data),
                            recipe=Recipe(), images=STEPS * 32, seed=repeat, backend=backend,
                            checkpoint=str(home / "checkpoints" / str(number)),
                        )
                        for number in range(options.workers)
                    ]  # fmt: skip
                    begin = time.perf_counter()
                    for outcome in outcomes(engine, jobs):
                        inside.append(outcome.total_s - outcome.train_s)
                    between.append(time.perf_counter() - begin - outcome.total_s)
                if not warm:
                    yield case.name, inside, between
    finally:
        engine.close()


def outcomes(engine, jobs):
    """Train jobs; give their outcomes, the last one's last."""
    from archsearch.training.job import Outcome

    for job in jobs:
        engine.submit(job)
    left = len(jobs)
    while left:
        for event in engine.events(60):
            if isinstance(event, Outcome):
                assert event.status == "complete", event.reason
                left -= 1
                yield event


def study(backend, trials, trial_s, home):
    """Run a study whose trials take about `trial_s`; return what it says of itself."""
    options = [
        "--space", "resnext", "--flops", "20M", "--backend", backend, "--home", str(home), "--json",
        "--no-prune", "--trials", str(trials),
    ]  # fmt: skip
    run = [sys.executable, "-m", "archsearch", "run", *options]
    plan = subprocess.run([*run, "--dry-run"], check=True, capture_output=True, text=True)
    pace = json.loads(plan.stdout)["pace"]
    images = json.loads(plan.stdout)["images"]["train"]
    epochs = max(2, round(trial_s * pace["images_per_s"] / images))
    begin = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as out,
        subprocess.Popen(
            [*run, "--epochs", str(epochs)], stdout=out, stderr=subprocess.PIPE, text=True
        ) as running,
    ):
        assert running.stderr is not None
        # On stderr, a line for everything that happens.
        told = [(time.perf_counter(), line) for line in running.stderr if line.startswith("trial-")]
        running.wait()
        out.seek(0)
        ended = json.load(out)
    search_s = told[-1][0] - told[0][0]
    return {
        **ended,
        "wall_s": time.perf_counter() - begin,
        "epochs": epochs,
        "search_s": search_s,
        "search_share": trained_s(home, ended["study"]) / (search_s * ended["settings"]["workers"]),
    }


def trained_s(home, study):
    """Return how long the trials of a study's search were in training steps, all together."""
    from archsearch.archive.store import StudyStore, default_url, opened

    with opened(default_url(Path(home))) as storage:
        trials = StudyStore.open(storage, study).trials
        return sum(trial.notes["outcome"]["train_s"] for trial in trials)


def measured(backend, arguments):
    """Return a backend's row: the fixed costs of each network and, of a study, what is kept."""
    row = {"fixed": {}}
    with tempfile.TemporaryDirectory() as home:
        for case, inside, between in fixed_costs(backend, arguments, Path(home)):
            row["fixed"][case] = {"inside_s": inside, "between_s": between}
    if arguments.trials:
        with tempfile.TemporaryDirectory() as home:
            ended = study(backend, arguments.trials, arguments.trial_s, Path(home))
            row |= {key: ended[key] for key in KEPT}
    return row


def show(backend, row, arguments):
    """Print a backend's lines."""
    for case, told in row["fixed"].items():
        fixed, between = spread(told["inside_s"], digits=2), spread(told["between_s"], digits=3)
        print(f"{backend}, {case}: fixed cost {fixed} s, between two trials {between} s")
    if "training_share" in row:
        share, of_search = 100 * row["training_share"], 100 * row["search_share"]
        print(
            f"{backend}: {share:.1f} % of the workers' time in training steps, from command "
            f"to table ({arguments.trials} trials of {row['epochs']} epochs in "
            f"{row['wall_s']:.0f} s); {of_search:.1f} % from the first trial's start to the "
            f"last one's end ({row['search_s']:.0f} s)"
        )
    largest = max((s for told in row["fixed"].values() for s in told["inside_s"]), default=None)
    if largest is not None:
        print(f"{backend}: largest fixed cost {largest:.2f} s, {arguments.workers} at once")


def parse():
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--budgets", nargs="+", default=["20M", "100M"])
    parser.add_argument("--workers", type=int, default=1, help="that start a trial together")
    parser.add_argument("--repeats", type=int, default=3, help="trials of a network and worker")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--trial-s", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main():
    """Print all three."""
    arguments = parse()
    backends = [name for name in arguments.backends if find_spec(name) is not None]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    found = {
        "machine": machine(),
        "versions": versions([*backends, "keras"]),
        "start_up_s": start_up(arguments.runs),
        "backends": {backend: measured(backend, arguments) for backend in backends},
    }
    if arguments.json:
        print(json.dumps(found))
        return
    print(found["machine"], found["versions"], sep="; ")
    for command, times in found["start_up_s"].items():
        print(f"archsearch {command}: {spread(times, digits=2)} s")
    for backend, row in found["backends"].items():
        show(backend, row, arguments)


if __name__ == "__main__":
    main()
