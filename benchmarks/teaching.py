"""What networks of one slice teach about another: Kendall's τ of a prior learnt elsewhere with what came out.

A slice is what a space has at a budget, in a file of `make_table.py`. A prior (`surrogate/prior.py`) is
learnt from the slices that are allowed and asked about one that is not among them: of the same space at
another budget, of other spaces at the same budget, of other spaces at other budgets. `lecture` has the
networks of all families in it: it teaches no other space, and is taught by none but itself. Intervals are of
500 draws of the networks asked about, with replacement.

    python benchmarks/teaching.py benchmarks/tabular/cifar10.jsonl
    python benchmarks/teaching.py benchmarks/tabular/cifar10.jsonl \
        --ship archsearch/planning/shipped_prior.json
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from measure import versions
from own_table import Network, slices, tau

from archsearch.surrogate.prior import LinearPrior, Task, learnt

LEAST = 8
"""Networks of a slice that is learnt from, or asked about."""
DRAWS = 500
WHOLE = "lecture"

Slices = Mapping[tuple[str, str], Sequence[Network]]


def longest(found: Slices) -> int:
    """Return the epochs of the longest trainings."""
    return max(epochs for those in found.values() for one in those for epochs in one.accuracies)


def teachers(found: Slices, pupil: tuple[str, str]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield what a slice may be taught by, in words, and which slices those are."""
    space, flops = pupil
    others = [key for key in found if key != pupil]
    apart = [key for key in others if key[0] != space and WHOLE not in (key[0], space)]
    yield "the same space, other budgets", [key for key in others if key[0] == space]
    yield "other spaces, this budget", [key for key in apart if key[1] == flops]
    yield "other spaces, other budgets", [key for key in apart if key[1] != flops]


def taught(found: Slices, by: Sequence[tuple[str, str]], epochs: int) -> LinearPrior | None:
    """Return what slices teach together."""
    return learnt(
        [
            Task([one.features for one in found[key]], accuracies(found[key], epochs))
            for key in by
        ]
    )  # fmt: skip


def accuracies(those: Sequence[Network], epochs: int) -> np.ndarray:
    """Return the mean accuracy over the seeds of each network."""
    return np.array([one.mean(epochs) for one in those], dtype=float)


def interval(expected: np.ndarray, values: np.ndarray) -> str:
    """Write τ with the 2.5th and 97.5th percentile of draws of the networks."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(values), size=len(values)) for _ in range(DRAWS))
    found = [tau(expected[which], values[which]) for which in draws]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return f"{tau(expected, values):+.2f} ({low:+.2f} to {high:+.2f})"


def table(found: Slices) -> Iterator[str]:
    """Give the lines of a Markdown table: each slice, taught in each way."""
    yield "| asked about | networks | learnt from | networks | τ |"
    yield "|---" * 5 + "|"
    epochs = longest(found)
    for pupil, those in sorted(found.items()):
        for words, by in teachers(found, pupil):
            if not by:
                continue
            count, said = sum(len(found[key]) for key in by), "nothing is foretold"
            prior = taught(found, by, epochs)
            if prior is not None:
                expected = prior.expected([one.features for one in those])
                said = interval(expected, accuracies(those, epochs))
            yield f"| {' '.join(pupil)} | {len(those)} | {words} | {count} | {said} |"


def ship(found: Slices, path: Path) -> None:
    """Write what all slices teach together, weights of four digits."""
    prior = taught(found, list(found), longest(found))
    assert prior is not None
    weights = {name: float(f"{weight:.4g}") for name, weight in sorted(prior.weights.items())}
    networks = sum(map(len, found.values()))
    text = json.dumps({"networks": networks, "weights": weights}, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Print the table, or write what it teaches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table", type=Path, help="a file of make_table.py")
    parser.add_argument("--ship", type=Path, help="file for what all of it teaches")
    options = parser.parse_args()
    found = {key: those for key, those in slices(options.table).items() if len(those) >= LEAST}
    print(f"{versions(('numpy', 'scikit-learn'))}; slices of {LEAST} networks and more\n")
    if len(found) < 2:
        raise SystemExit(f"{options.table} has {len(found)} such slices; make_table.py makes more")
    if options.ship is not None:
        ship(found, options.ship)
        return
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
