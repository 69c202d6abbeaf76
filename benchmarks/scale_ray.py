"""Ray Tune with OptunaSearch on trainings that sleep: what it takes beside them, for scale.py's table.

The accuracy is scale_work.py's formula of the same knobs, without networks: there is no solving, no design
rule and no Graph to keep. Time is real: utilisation is what the workers slept of what they could have.
Processor time is of this process, and of all of Ray's that it has waited for.

    pip install "ray[tune]"
    python benchmarks/scale_ray.py --trials 200 --workers 8 --trial-s 10
"""

import argparse
import json
import os
import resource
import tempfile
import time

from measure import machine, versions

KNOBS = {"depth1": 5, "depth2": 5, "depth3": 9, "depth4": 5}
"""Depths from 1 to this, as a residual space has them."""


def slept(config: dict) -> dict:
    """Sleep, and return what a training came to."""
    from scale_work import accuracy

    time.sleep(config["trial_s"])
    knobs = {name: config[name] for name in KNOBS}
    return {"val_accuracy": accuracy(knobs, hash(tuple(knobs.values())) & 0xFFFF)}


def measured(options: argparse.Namespace, folder: str) -> dict:
    """Run a search; return what it took."""
    import ray
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    ray.init(
        num_cpus=options.workers, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}},
    )  # fmt: skip
    space = {name: tune.randint(1, most + 1) for name, most in KNOBS.items()}
    tuner = tune.Tuner(
        slept,
        param_space={**space, "trial_s": options.trial_s},
        tune_config=tune.TuneConfig(
            metric="val_accuracy", mode="max", num_samples=options.trials,
            search_alg=OptunaSearch(seed=0), max_concurrent_trials=options.workers,
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )  # fmt: skip
    begin, cpu_s = time.perf_counter(), time.process_time()
    results = tuner.fit()
    wall_s, cpu_s = time.perf_counter() - begin, time.process_time() - cpu_s
    ray.shutdown()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "trials": len(results), "workers": options.workers, "wall_s": wall_s,
        "busy": options.trial_s * len(results) / (options.workers * wall_s),
        "driver_ms_a_trial": 1000 * cpu_s / len(results),
        "children_s": others.ru_utime + others.ru_stime,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }  # fmt: skip


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trial-s", type=float, default=10.0)
    options = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    print(f"{machine()}; {versions(('ray', 'optuna'))}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(options, folder)))


if __name__ == "__main__":
    main()
