"""Bounded searches replayed: what it is worth to follow up the best short training at the end.

A search that is bounded to so many trainings of full length keeps three tenths for its finals. With its last
promotions (`archsearch.strategy.fidelities.rungs`) it may use all of it but two trainings; without them what
the finals don't need is lost. Told is the regret of the network that is the best by its longest training, in
points, with and without; all else is the same. Results are kept, a line each: it goes on where it was.

    python benchmarks/closing.py --tables benchmarks/tabular/cifar10.jsonl:lenet-3M --repetitions 20 \
        --out /tmp/closing.jsonl --bounds 8 12 20
"""

import argparse
import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import rivals
import tables
from measure import machine, versions
from replays import Replay
from tables import Table

from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.fidelity import Outlook
from archsearch.strategy.sampler import Known

METHOD = "gp-rungs"
FINALS = 100
"""Trainings of the finals that are asked for: more than any bound has room for."""


def replay(table: Table, *, seed: int, bound: int) -> tuple[float, float]:
    """Return the regret without and with the last promotions, of a bound of so many full trainings."""
    rng = random.Random(seed)
    shown = [rng.randrange(len(values)) for values in table.values]
    one = Replay(table, shown, seed=seed, by_time=False)
    one.chance, one.fidelity = rivals.STARTS[METHOD], Rungs(rivals.STARTS[METHOD])
    with tempfile.TemporaryDirectory() as folder:
        one.sampler = rivals.make(METHOD, table, seed=seed, trials=bound, folder=folder)
        bounds = Bounds(flops=bound, trial=Load(flops=1.0), finals=Load(flops=FINALS))
        share = one.fidelity.rungs(table.full)[0].epochs / table.full.epochs
        for seen in one.trainings(rng.sample(range(len(shown)), len(shown))):
            bounds.spent_flops += seen.cost
            if not bounds.admits_trial(share):
                break
        before = _regret(table, one)
        while bounds.admits_trial(closing=True) and _followed_up(table, one, seed):
            bounds.spent_flops += 1
    return before, _regret(table, one)


def _followed_up(table: Table, one: Replay, seed: int) -> bool:
    known = Known(decision=10**6, trials=tuple(one.trials), seed=seed)
    outlook = Outlook(
        length=lambda flops: table.full, predicted=one.sampler.predicted, closing=True
    )
    promotion = one.fidelity.promote(known, outlook)
    if promotion is not None:
        one.trained(promotion.trial, known.decision, rung=promotion.rung)
    return promotion is not None


def _regret(table: Table, one: Replay) -> float:
    return 100 * float(table.means.max() - table.means[one.best])


def table_of(rows: list[dict]) -> list[str]:
    """Return the lines of a Markdown table: means, and the gain with its 95 % interval."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        found[row["table"], row["bound"]].append((row["without"], row["with"]))
    lines = ["| table | trainings | without | with | gain | n |", "|---|---|---|---|---|---|"]
    for (name, bound), pairs in sorted(found.items()):
        without, with_them = np.array(pairs).T
        gain = without - with_them
        half = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
        lines.append(
            f"| {name} | {bound} | {without.mean():.2f} | {with_them.mean():.2f} | "
            f"{gain.mean():.2f} ± {half:.2f} | {len(gain)} |"
        )
    return lines


def main() -> None:
    """Replay what is not in the file yet, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=[])
    parser.add_argument("--cached", type=Path, default=Path("build/tables"))
    parser.add_argument("--bounds", type=int, nargs="+", default=[8, 12, 20])
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.out.open()] if options.out.exists() else []
    done = {(row["table"], row["bound"], row["seed"]) for row in rows}
    for table in tables.chosen(options.tables, options.cached):
        for seed in range(options.repetitions):
            for bound in options.bounds:
                if (table.name, bound, seed) in done:
                    continue
                without, with_them = replay(table, seed=seed, bound=bound)
                row = {
                    "table": table.name,
                    "bound": bound,
                    "seed": seed,
                    "without": without,
                    "with": with_them,
                }
                rows.append(row)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    print(f"{machine()}; {versions(('numpy', 'optuna'))}\n")
    print("\n".join(table_of(rows)))


if __name__ == "__main__":
    main()
