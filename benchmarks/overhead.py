"""What a search takes besides training: start-up, the fixed cost of a trial, the share of time in training.

Start-up is of whole processes. The fixed cost is what a trial of a few steps takes in a worker that is warm,
those steps left out: building, tracing and compiling, one evaluation of the validation images; and what
passes between one trial's end and the next one's start. A first step that traces or compiles counts as long
as the others. The share is of a real study, from the command line to the table: training steps of its workers
by all the time they could have trained. What is left is the start, evaluations, workers that wait for the
last of a stage, latencies, and the export.

    python benchmarks/overhead.py [--backends tensorflow torch jax] [--networks 5] [--trials 16]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from random import Random

from measure import machine, spread, versions

BACKENDS = ("tensorflow", "torch", "jax")
KEPT = ("training_share", "search_share", "wall_s", "search_s", "epochs")
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


def graphs(count):
    """Draw candidates of the demo's space."""
    from archsearch.ir.codec import to_json
    from archsearch.space.budget import Budget, Request
    from archsearch.space.knobs import draw
    from archsearch.space.registry import find_space
    from archsearch.space.solve import solve

    size = (32, 32, 1)
    space, request = find_space("resnext"), Request(size, 10, Budget.parse("20M", size))
    rng = Random(0)
    drawn = (draw(space.knobs(request), rng) for _ in range(count))
    return [to_json(solve(space, knobs, request).graph) for knobs in drawn]


def fixed_costs(backend, count, home):
    """Train `count` networks for a few steps in one warm worker; seconds of each besides, and in between."""
    from archsearch.data.prepare import prepare
    from archsearch.runtime.job import Job, Outcome
    from archsearch.runtime.recipe import Recipe
    from archsearch.runtime.setup import WorkerSetup
    from archsearch.study.engines.local import LocalEngine

    data = prepare("digits", home=home, input=None, seed=0)
    engine = LocalEngine([WorkerSetup(backend=backend, threads=1)], logs=home / "logs")
    inside, between = [], []
    try:
        for number, graph in enumerate(graphs(count + 1)):
            job = Job(
                key=f"trial-{number}", graph=graph, dataset=str(data), recipe=Recipe(), images=8 * 32,
                seed=0, backend=backend, checkpoint=str(home / "checkpoints" / str(number)),
            )  # fmt: skip
            begin = time.perf_counter()
            engine.submit(job)
            outcome = None
            while outcome is None:
                ended = [e for e in engine.events(60) if isinstance(e, Outcome)]
                outcome = ended[0] if ended else None
            assert outcome.status == "complete", outcome.reason
            inside.append(outcome.total_s - outcome.train_s)
            between.append(time.perf_counter() - begin - outcome.total_s)
    finally:
        engine.close()
    return inside[1:], between[1:]  # the first has the imports in it


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
    from archsearch.study.storage import StudyStore, default_url, opened

    with opened(default_url(Path(home))) as storage:
        trials = StudyStore.open(storage, study).trials
        return sum(trial.notes["outcome"]["train_s"] for trial in trials)


def main():
    """Print all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--trial-s", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backends = [name for name in arguments.backends if find_spec(name) is not None]
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

    found = {
        "machine": machine(),
        "versions": versions([*backends, "keras"]),
        "start_up_s": start_up(arguments.runs),
        "backends": {},
    }
    for backend in backends:
        with tempfile.TemporaryDirectory() as home:
            inside, between = fixed_costs(backend, arguments.networks, Path(home))
            row = {"fixed_s": inside, "between_s": between}
            if arguments.trials:
                ended = study(backend, arguments.trials, arguments.trial_s, Path(home))
                row |= {key: ended[key] for key in KEPT}
        found["backends"][backend] = row
    if arguments.json:
        print(json.dumps(found))
        return
    print(found["machine"], found["versions"], sep="; ")
    for command, times in found["start_up_s"].items():
        print(f"archsearch {command}: {spread(times, digits=2)} s")
    for backend, row in found["backends"].items():
        fixed, between = spread(row["fixed_s"], digits=2), spread(row["between_s"], digits=3)
        print(f"{backend}: fixed cost of a trial {fixed} s, between two trials {between} s")
        if "training_share" in row:
            share, of_search = 100 * row["training_share"], 100 * row["search_share"]
            print(
                f"{backend}: {share:.1f} % of the workers' time in training steps, from command "
                f"to table ({arguments.trials} trials of {row['epochs']} epochs in "
                f"{row['wall_s']:.0f} s); {of_search:.1f} % from the first trial's start to the "
                f"last one's end ({row['search_s']:.0f} s)"
            )
    medians = [statistics.median(row["fixed_s"]) for row in found["backends"].values()]
    print(f"largest median fixed cost: {max(medians):.2f} s")


if __name__ == "__main__":
    main()
