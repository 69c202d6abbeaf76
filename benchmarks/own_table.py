"""A table of `make_table.py`, read: networks and their trainings, each slice as a table to search in.

A slice is what one space has at one budget. Accuracies of different lengths are never mixed.
"""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZE = (32, 32, 3)


class Slice:
    """The networks of one space at one budget, as a search there would draw them.

    Args:
        space: its name.
        flops: the budget.
    """

    def __init__(self, space: str, flops: str) -> None:
        from archsearch.space.budget import Budget, Request
        from archsearch.space.registry import find_space
        from archsearch.space.solve import solve
        from archsearch.strategy.samplers.descriptions import Describer
        from archsearch.strategy.samplers.grid import Grid

        found = find_space(space)
        self.request = Request(SIZE, 10, Budget.parse(flops, SIZE))
        self.space = found
        self.knobs = found.knobs(self.request)
        self.grid = Grid(self.knobs)
        self.solve = lambda knobs: solve(found, knobs, self.request)
        self.describe = Describer(self.grid, self.solve).describe

    def drawn(self, count: int) -> list[Any]:
        """Return the classic and draws by chance, no network twice, `count` in all or what there is."""
        from archsearch.ir.codec import content_hash
        from archsearch.space.solve import sample

        chosen: dict[str, Any] = {}
        classic = self.solve(self.space.classic_knobs(self.request))
        for candidate in (classic, *sample(self.space, self.request, 20 * count)):
            chosen.setdefault(content_hash(candidate.graph), candidate)
            if len(chosen) == count:
                break
        return list(chosen.values())


@dataclass(frozen=True)
class Network:
    """A network and what it came to.

    Attributes:
        space, flops, number: where it is from; 0 is the classic of the space.
        knobs: it was chosen by.
        features: what was known of it before it trained, by name.
        accuracies: validation accuracies, from 0 to 1, by epochs, then by seed.
        epoch_s: seconds of an epoch, the least of its trainings: other work on the machine only adds.
    """

    space: str
    flops: str
    number: int
    knobs: Mapping[str, Any]
    features: Mapping[str, float]
    accuracies: Mapping[int, Mapping[int, float]]
    epoch_s: float

    def mean(self, epochs: int) -> float | None:
        """Return the mean accuracy over seeds after that many epochs; None: it has none."""
        found = self.accuracies.get(epochs, {})
        return statistics.fmean(found.values()) if found else None


def networks(path: Path) -> list[Network]:
    """Return the networks of a file that have any training, in their order; a cut line is none."""
    rows = list(_lines(path))
    found: dict[str, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    epoch_s: dict[str, float] = {}
    for row in rows:
        if "of" in row and row["val"] is not None:
            found[row["of"]][row["epochs"]][row["seed"]] = row["val"]
            took_s = row["train_s"] / row["epochs"]
            epoch_s[row["of"]] = min(took_s, epoch_s.get(row["of"], took_s))
    return [
        Network(
            row["space"], row["flops"], row["number"], row["knobs"], row["features"],
            {epochs: dict(seeds) for epochs, seeds in found[row["graph"]].items()},
            epoch_s[row["graph"]],
        )
        for row in rows if row.get("graph") in found
    ]  # fmt: skip


def slices(path: Path) -> dict[tuple[str, str], list[Network]]:
    """Return the networks of each space and budget that have a training of the longest length."""
    every = networks(path)
    longest = max((epochs for one in every for epochs in one.accuracies), default=0)
    found: dict[tuple[str, str], list[Network]] = defaultdict(list)
    for one in every:
        if longest in one.accuracies:
            found[one.space, one.flops].append(one)
    return dict(found)


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's rank correlation (τ-b)."""
    from scipy.stats import kendalltau

    return float(kendalltau(one, other).statistic)


def summary(path: Path) -> Iterator[str]:
    """Give a Markdown table: spread and noise in points of each slice and length, and its ranking."""
    yield "| space | FLOPs | epochs | networks | best | mean | sd | sd of seeds | τ with the longest |"
    yield "|---" * 9 + "|"
    for (space, flops), those in sorted(slices(path).items()):
        lengths = sorted({epochs for one in those for epochs in one.accuracies})
        for epochs in lengths:
            values = [one.accuracies[epochs] for one in those if epochs in one.accuracies]
            means = [100 * statistics.fmean(seeds.values()) for seeds in values]
            yield (
                f"| {space} | {flops} | {epochs} | {len(means)} | {' | '.join(_cells(means))} | "
                + (f"{_noise(values)} | {_agreement(those, epochs, lengths[-1])} |")
            )


def _cells(means: Sequence[float]) -> list[str]:
    spread = f"{statistics.stdev(means):.1f}" if len(means) > 1 else ""
    return [f"{max(means):.1f}", f"{statistics.fmean(means):.1f}", spread]


def _noise(values: Sequence[Mapping[int, float]]) -> str:
    """Write the standard deviation between seeds, in points, and of how many networks it is."""
    found = [statistics.variance(seeds.values()) for seeds in values if len(seeds) > 1]
    return f"{100 * statistics.fmean(found) ** 0.5:.1f} ({len(found)})" if found else ""


def _agreement(those: Sequence[Network], epochs: int, longest: int) -> str:
    """Write τ between two lengths, of the trainings with the first seed."""
    both = [one.accuracies for one in those if 0 in one.accuracies.get(epochs, {})]
    both = [lengths for lengths in both if 0 in lengths.get(longest, {})]
    if len(both) < 3:
        return ""
    return f"{tau([a[epochs][0] for a in both], [a[longest][0] for a in both]):.2f}"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue
