"""Simulated searches and their finals: how much accuracy is lost, and whether what is reported is true.

The finals are the product's own: archsearch.strategy.allocation decides on every training,
archsearch.statistics judges. The rule before it is written down here: the best candidate and the matched
baseline, each with the same number of seeds; the better mean of these wins.

    python benchmarks/finals.py --searches 20000
"""

import argparse
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from archsearch.statistics.posterior import Evidence, posterior
from archsearch.strategy.allocation import Allocation, Contest, Told

MEAN, MATCHED = 0.97, "0"


@dataclass(frozen=True)
class World:
    """What is true of the simulated networks; accuracies are shares of one.

    Attributes:
        spread: standard deviation between networks.
        seed_sd: between trainings of one, as if the validation images were endless.
        images: that validate; half of their binomial noise is each training's own.
        explained: share of the networks' variance that a surrogate knows of.
        lasting: share of that own noise that comes again whenever a network is validated on one split.
    """

    spread: float = 0.01
    seed_sd: float = 0.01
    images: int = 270
    explained: float = 0.0
    lasting: float = 0.0

    @property
    def half(self) -> float:
        """Half the variance of validating on so many images."""
        return 0.5 * MEAN * (1 - MEAN) / self.images

    @property
    def noise(self) -> float:
        """Standard deviation between trainings of one network on one split."""
        return math.sqrt(self.seed_sd**2 + (1 - self.lasting) * self.half)


@dataclass(frozen=True)
class Found:
    """What came of one search, in points.

    Attributes:
        regret: of the best network's accuracy over the winner's.
        flattery: reported accuracy less the true one.
        probability: of the verdict; None: the baseline won, or the rule gives none.
        right: whether the winner is truly better than the baseline.
    """

    regret: float
    flattery: float
    probability: float | None
    right: bool


class Search:
    """A search that has ended, and trainings of its networks."""

    def __init__(self, world: World, trials: int, number: int) -> None:
        self.world = world
        self.rng = np.random.default_rng([number, trials])
        self.true = MEAN + self.rng.normal(0, world.spread, trials)
        known = world.explained
        blur = world.spread * math.sqrt(known * (1 - known))
        self.splits: dict[int, float] = {}
        self.luck: dict[tuple[int, int], float] = {}
        expected = known * (self.true - MEAN) + self.rng.normal(0, blur, trials)
        self.evidence = [
            Evidence(name=str(n), values=(self.train(n),), expected=float(expected[n]))
            for n in range(trials)
        ]
        self.evidence.sort(key=lambda one: -one.values[0])

    def train(self, network: int, fold: int = 0) -> float:
        """Return what one training of a network comes to, validated on a split."""
        world, place = self.world, (network, fold)
        if fold not in self.splits:
            self.splits[fold] = self.rng.normal(0, math.sqrt(world.half)) if fold else 0.0
        if place not in self.luck:
            self.luck[place] = self.rng.normal(0, math.sqrt(world.lasting * world.half))
        luck = self.splits[fold] + self.luck[place]
        return float(self.true[network] + luck + self.rng.normal(0, world.noise))

    def found(self, winner: str, reported: float, probability: float | None = None) -> Found:
        """Return what came of it, by what is true."""
        true = float(self.true[int(winner)])
        return Found(
            regret=100 * (float(self.true.max()) - true),
            flattery=100 * (reported - true),
            probability=probability,
            right=true > self.true[int(MATCHED)],
        )


def equal_seeds(search: Search, trainings: int) -> Found:
    """Retrain the best candidate and the baseline as often; the better mean wins."""
    best = next(one.name for one in search.evidence if one.name != MATCHED)
    seeds = trainings // 2
    means = {
        name: float(np.mean([search.train(int(name)) for _ in range(seeds)]))
        for name in (best, MATCHED)
    }
    winner = max(means, key=lambda name: means[name])
    return search.found(winner, means[winner])


def product(
    search: Search, trainings: int, *, window: int = 1, matched: str = MATCHED, folds: bool = False
) -> Found:
    """Have the product decide and judge; `window` is the number of workers."""
    images = search.world.images
    contest = Contest(contestants=tuple(search.evidence), matched=matched, images=images)
    decided: list[Training] = []
    for number in range(trainings):
        choice = Allocation(contest, _told(decided, number - window + 1)).next()
        assert choice is not None
        fold = folds * (1 + sum(one.name == choice.name for one in decided))
        decided.append(Training(choice.name, fold, search.train(int(choice.name), fold)))
    told = _told(decided, trainings)
    nothing = Told()
    evidence = [
        one.after(told.get(one.name, nothing).values, told.get(one.name, nothing).folds)
        for one in search.evidence
    ]
    belief = posterior(evidence, images=images)
    expected = belief.expected
    winner = max(told, key=lambda name: expected[name])
    probability = None if winner == MATCHED else belief.better(winner, MATCHED)
    return search.found(winner, expected[winner], probability)


class Training(NamedTuple):
    """A training of the finals: of which network, on which split, and what it came to."""

    name: str
    fold: int
    value: float


def _told(decided: list[Training], known: int) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for number, one in enumerate(decided):
        before = told.get(one.name, Told())
        if number < known:
            values, folds = (*before.values, one.value), (*before.folds, one.fold)
            told[one.name] = replace(before, values=values, folds=folds)
        else:
            told[one.name] = replace(before, running=before.running + 1)
    return told


RULES = {
    "equal seeds (before)": equal_seeds,
    "knowledge gradient": product,
    "the same, 2 workers": partial(product, window=2),
    "the same, no baseline": partial(product, matched=""),
    "the same, folds": partial(product, folds=True),
}


def simulate(rule: str, world: World, trials: int, trainings: int, numbers: range) -> list[Found]:
    """Return what comes of searches with these numbers."""
    return [RULES[rule](Search(world, trials, n), trainings) for n in numbers]


def interval(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    """Return a mean with its 95 % interval."""
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():+.3f} ± {half:.3f}"


def calibration(found: list[Found]) -> Iterator[str]:
    """Yield how often verdicts are right, by what their probability says."""
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        inside = [f for f in found if f.probability is not None and low <= f.probability < high]
        right = np.mean([f.right for f in inside]) if inside else math.nan
        said = np.mean([f.probability or 0 for f in inside]) if inside else math.nan
        yield f"{said:.2f}: {right:.3f} of {len(inside)}"


def main() -> None:
    """Print a line for each rule and size of search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=2000)
    parser.add_argument("--trainings", type=int, default=4)
    parser.add_argument("--trials", type=int, nargs="+", default=[6, 12, 30])
    parser.add_argument("--rules", nargs="+", choices=RULES, default=list(RULES))
    parser.add_argument("--spread", type=float, default=1.0, help="points between networks")
    parser.add_argument("--seed-sd", type=float, default=1.0, help="points between trainings")
    parser.add_argument("--images", type=int, default=270)
    parser.add_argument("--explained", type=float, default=0.0, help="R² of a surrogate")
    parser.add_argument("--lasting", type=float, default=0.0, help="share of a split's luck")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    world = World(args.spread / 100, args.seed_sd / 100, args.images, args.explained, args.lasting)
    parts = [range(n, min(n + 250, args.searches)) for n in range(0, args.searches, 250)]
    with ProcessPoolExecutor(args.processes) as pool:
        for trials in args.trials:
            for rule in args.rules:
                work = partial(simulate, rule, world, trials, args.trainings)
                found = [one for part in pool.map(work, parts) for one in part]
                regret = interval(np.array([one.regret for one in found]))
                flattery = interval(np.array([one.flattery for one in found]))
                print(
                    f"{trials} trials, {rule}: regret {regret}, reported − true {flattery}; "
                    f"verdicts {'; '.join(calibration(found))}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
