"""Searches side by side: same images, budget, training FLOPs, recipe and trainer; who finds the best network.

Each contender may spend so many training FLOPs, then names one network. That is trained anew with seeds that
no search has seen, and tested: mean over these. All trainings are PyTorch's on one thread by the default
recipe; archsearch runs as its command does, with its own data split of the same size. Found networks are kept
in a file, a line each, so that an interrupted measurement goes on, and processes share one (`--part`).

    python benchmarks/versus.py --images cifar10_jpeg.npz --out versus.jsonl --space resnet --flops 10M \
        --epochs 12 --trainings 16 --repeats 3
    python benchmarks/versus.py --out versus.jsonl --table

Contenders: `archsearch`; `random`, draws by chance of the same space; `bayesian` and `hyperband`, Keras
Tuner's over the same space (each model on budget: that much is ours; Hyperband's longer trainings begin anew
and pay the difference); `optuna`, TPE over knobs and base width without solving: above the budget it is
pruned untrained, below it trains; `classic`, the matched baseline, untuned.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, versions
from trainings import add_options, keep, kept, left, measured, read_images, trained

FRESH = 1000
"""Seeds from here on are for the networks that were found."""


class SpentError(Exception):
    """No training is left to pay for."""


@dataclass
class Purse:
    """Trains networks for one contender until its training FLOPs are spent.

    Attributes:
        folder: of the prepared images.
        images: training images of a full training.
        flops: training FLOPs in all.
        seed: of the contender; each training has one of its own.
        best: validation accuracy and Graph JSON of the best network so far.
    """

    folder: Path
    images: int
    flops: float
    seed: int
    spent: float = 0.0
    trainings: int = 0
    best: tuple[float, str] = (-1.0, "")
    seen: dict[str, int] = field(default_factory=dict)

    def __call__(self, candidate: Any, *, share: float = 1.0, paid: float = 0.0) -> float:
        """Train a network; return its validation accuracy.

        Args:
            candidate: a Graph, or what has one.
            share: of a full training's length.
            paid: of it, what a shorter training of it has paid for already.
        """
        from archsearch.ir.codec import to_json
        from archsearch.readings.cost import cost

        graph = getattr(candidate, "graph", candidate)
        price = cost(graph).training_flops(round(self.images * (share - paid)))
        if self.spent + price > self.flops * 1.001:
            raise SpentError
        self.spent += price
        self.trainings += 1
        found = trained(
            to_json(graph), self.folder, seed=self.seed * 100 + self.trainings,
            images=round(self.images * share), val_every=1000,
        )  # fmt: skip
        accuracy = found["val"] or 0.0
        # The longest trainings are what a search goes by.
        if share == 1.0 and accuracy > self.best[0]:
            self.best = accuracy, to_json(graph)
        return float(accuracy)


def _request(options: argparse.Namespace) -> Any:
    from archsearch.space.budget import Budget, Request

    size = (32, 32, 3)
    return Request(size, 10, Budget.parse(options.flops, size))


def _space(options: argparse.Namespace) -> Any:
    from archsearch.space.registry import find_space

    return find_space(options.space)


def by_chance(options: argparse.Namespace, purse: Purse) -> str:
    """Train draws by chance, as long as there is something to pay with."""
    from archsearch.space.solve import sample

    for candidate in sample(_space(options), _request(options), 10_000, seed=purse.seed):
        try:
            purse(candidate)
        except SpentError:
            break
    return purse.best[1]


def by_classic(options: argparse.Namespace, purse: Purse) -> str:
    """Return the matched baseline."""
    from archsearch.ir.codec import to_json
    from archsearch.space.solve import solve

    space, request = _space(options), _request(options)
    return to_json(solve(space, space.classic_knobs(request), request).graph)


def by_optuna(options: argparse.Namespace, purse: Purse) -> str:
    """Have TPE choose knobs and base width; what costs more than the budget is pruned untrained."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=purse.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(10_000):
        trial = study.ask()
        graph = _unsolved(options, trial)
        if graph is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        try:
            study.tell(trial, purse(graph))
        except SpentError:
            break
    return purse.best[1]


def _unsolved(options: argparse.Namespace, trial: Any) -> Any:
    """Return the network of a trial's knobs and base width; None where it is off budget."""
    from archsearch.readings.cost import cost
    from archsearch.space.widths import Rounding

    space, request = _space(options), _request(options)
    knobs = {k.name: trial.suggest_categorical(k.name, k.values()) for k in space.knobs(request)}
    base = trial.suggest_float("base", space.least_base, space.most_base, log=True)
    if base < space.least(knobs, request):
        return None
    widths = space.widths(knobs, request, base, Rounding(8))
    graph = space.trace(knobs, {name: int(width) for name, width in widths.items()}, request)
    return graph if cost(graph).flops <= request.budget.high else None


def by_keras_tuner(kind: str) -> Callable[[argparse.Namespace, Purse], str]:
    """Return what has one of Keras Tuner's tuners choose the space's knobs."""

    def chosen(options: argparse.Namespace, purse: Purse) -> str:
        import keras_tuner

        hypermodel = _hypermodel(options)
        base = keras_tuner.Hyperband if kind == "hyperband" else keras_tuner.BayesianOptimization

        class Tuner(base):
            """Trains as everyone else here does."""

            def run_trial(self, trial: Any, *_: Any, **__: Any) -> float:
                values = trial.hyperparameters.values
                length = values.get("tuner/epochs", options.epochs) / options.epochs
                paid = values.get("tuner/initial_epoch", 0) / options.epochs
                candidate = hypermodel.candidate(trial.hyperparameters)
                return purse(candidate, share=length, paid=paid)

        with tempfile.TemporaryDirectory() as folder:
            tuner = Tuner(
                hypermodel, objective=keras_tuner.Objective("val_accuracy", "max"),
                seed=purse.seed, directory=folder, overwrite=True,
                max_consecutive_failed_trials=1, **_lengths(kind, options.epochs),
            )  # fmt: skip
            try:
                tuner.search(verbose=0)
            except (SpentError, RuntimeError):
                if purse.spent < purse.flops / 2:  # it failed for another reason
                    raise
        return purse.best[1]

    return chosen


def by_archsearch(options: argparse.Namespace, purse: Purse) -> str:
    """Search as the command does, finals included."""
    import archsearch
    from archsearch.archive.study_folder import StudyFolder

    home = options.folder.parent / f"home-{purse.seed}"
    result = archsearch.search(
        archsearch.RunSettings(
            space=options.space, flops=options.flops, data=str(options.arrays), seed=purse.seed,
            home=str(home), backend="torch", precision="float32", workers=1,
            epochs=options.epochs, search_flops=f"{purse.flops:.0f}", mirror=True, export=False,
            val_fraction=options.val / (options.train + options.val),
        )
    )  # fmt: skip
    purse.spent = result.spending.total
    winner = result.winner
    assert winner is not None
    return StudyFolder(home, result.study).read_graph(winner.graph)


def _hypermodel(options: argparse.Namespace) -> Any:
    """Return the space as Keras Tuner takes it; nothing of Keras is built."""
    from archsearch.keras_tuner import SpaceHyperModel

    class Knobs(SpaceHyperModel):
        def build(self, hp: Any) -> Any:
            self.candidate(hp)

    return Knobs(options.space, options.flops, (32, 32, 3), 10)


def _lengths(kind: str, epochs: int) -> dict[str, int]:
    """Return how long a tuner may go on: until its trainings are spent."""
    if kind == "hyperband":
        return {"max_epochs": epochs, "hyperband_iterations": 1000}
    return {"max_trials": 10_000}


CONTENDERS: Mapping[str, Callable[[argparse.Namespace, Purse], str]] = {
    "archsearch": by_archsearch,
    "random": by_chance,
    "bayesian": by_keras_tuner("bayesian"),
    "hyperband": by_keras_tuner("hyperband"),
    "optuna": by_optuna,
    "classic": by_classic,
}


def write_npz(options: argparse.Namespace) -> Path:
    """Write the images as archsearch's command takes them: it splits off those that validate itself."""
    path = options.folder.parent / "images.npz"
    splits = read_images(options.images, train=options.train, val=options.val, skip=options.skip)
    (x, y), (x_val, y_val), (x_test, y_test) = splits.values()
    np.savez(
        path, x_train=np.concatenate([x, x_val]), y_train=np.concatenate([y, y_val]),
        x_test=x_test, y_test=y_test,
    )  # fmt: skip
    return path


def measure(options: argparse.Namespace) -> None:
    """Run what is not in the file yet."""
    from archsearch.ir.codec import from_json
    from archsearch.readings.cost import cost

    options.arrays = write_npz(options)
    images = options.train * options.epochs
    asked = [
        {"contender": contender, "repeat": repeat, "space": options.space, "flops": options.flops,
         "epochs": options.epochs, "trainings": options.trainings, "train": options.train,
         "skip": options.skip}
        for repeat in range(options.repeats)
        for contender in options.contenders
    ]  # fmt: skip
    for one in left(asked, options.out, options.part):
        high = _request(options).budget.high
        purse = Purse(
            options.folder, images, 3.0 * high * images * options.trainings, seed=one["repeat"]
        )
        graph = CONTENDERS[one["contender"]](options, purse)
        tests = [
            trained(graph, options.folder, seed=FRESH + seed, images=images, val_every=1000, tests=True)
            for seed in range(options.seeds)
        ]  # fmt: skip
        keep(options.out, {
            **one, "cost": cost(from_json(graph)).flops, "trained": purse.trainings,
            "spent": purse.spent, "search_val": purse.best[0], "test": [t["test"] for t in tests],
            "val": [t["val"] for t in tests],
        })  # fmt: skip


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give the lines of a Markdown table: test accuracy in percent, over repeats of the whole search."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[row["contender"]].append(100 * statistics.mean(row["test"]))
    yield "| contender | test % of what it found, mean ± sd over searches | n | 95 % interval of the mean |"
    yield "|---|---|---|---|"
    for name, tests in sorted(found.items(), key=lambda item: -statistics.mean(item[1])):
        mean = statistics.mean(tests)
        if len(tests) < 2:
            yield f"| {name} | {mean:.1f} | {len(tests)} | |"
            continue
        sd = statistics.stdev(tests)
        half = _t(len(tests)) * sd / len(tests) ** 0.5
        yield f"| {name} | {mean:.1f} ± {sd:.1f} | {len(tests)} | {mean - half:.1f} to {mean + half:.1f} |"


def _t(count: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, count - 1))


def main() -> None:
    """Search, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--space", default="resnet")
    parser.add_argument("--flops", default="10M")
    parser.add_argument("--epochs", type=int, default=12, help="of a full training")
    parser.add_argument("--trainings", type=int, default=16, help="full ones that a search may pay")
    parser.add_argument("--repeats", type=int, default=3, help="whole searches of each")
    parser.add_argument("--seeds", type=int, default=3, help="of what was found")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="who searches"
    )
    options = parser.parse_args()
    measured(options, measure)
    print(f"{machine()}; {versions(('torch', 'numpy', 'optuna', 'keras-tuner'))}\n")
    print("\n".join(table(kept(options.out))))


if __name__ == "__main__":
    sys.exit(main())
