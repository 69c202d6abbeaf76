"""A table of networks at equal FLOPs, each trained in several lengths: what searches are replayed on.

Candidates of each space are drawn by chance at one budget, its classic first, and trained on PyTorch and one
thread for each length with a finished schedule of its own; the first few with further seeds, for the noise.
Every length has its curve. Trainings are kept in a file, a line each, candidates in turn over spaces and
lengths: wherever it is interrupted, it is a table, and it goes on. Processes share one file (`--part`).

    python benchmarks/make_table.py --images cifar10_jpeg.npz --out benchmarks/tabular/cifar10_5M.jsonl \
        --spaces lecture vgg nin --flops 5M --candidates 100 --epochs 4 16 --seeds 3 --repeated 20
    python benchmarks/make_table.py --out benchmarks/tabular/cifar10_5M.jsonl --table
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from measure import machine, versions
from trainings import add_options, keep, kept, left, measured, trained

SIZE = (32, 32, 3)


def candidates(space: str, flops: str, count: int) -> list[Any]:
    """Return the classic of a space and draws by chance, no network twice, `count` in all."""
    from archsearch.ir.codec import content_hash
    from archsearch.space.budget import Budget, Request
    from archsearch.space.registry import find_space
    from archsearch.space.solve import sample, solve

    found = find_space(space)
    request = Request(SIZE, 10, Budget.parse(flops, SIZE))
    chosen = {}
    classic = solve(found, found.classic_knobs(request), request)
    for candidate in (classic, *sample(found, request, 20 * count)):
        chosen.setdefault(content_hash(candidate.graph), candidate)
        if len(chosen) == count:
            break
    return list(chosen.values())


def asked_for(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what is to be trained, in its order."""
    return [
        {
            "space": space, "flops": options.flops, "number": number, "epochs": epochs, "seed": seed,
            "train": options.train,
        }
        for number in range(options.candidates)
        for space in options.spaces
        for epochs in options.epochs
        for seed in range(options.seeds if number < options.repeated else 1)
    ]  # fmt: skip


def measure(options: argparse.Namespace) -> None:
    """Train what is not in the file yet."""
    from archsearch.ir.codec import to_json

    drawn = {
        space: candidates(space, options.flops, options.candidates) for space in options.spaces
    }
    for one in left(asked_for(options), options.out, options.part):
        if one["number"] >= len(drawn[one["space"]]):  # the space has no more
            continue
        candidate = drawn[one["space"]][one["number"]]
        found = trained(
            to_json(candidate.graph), options.folder, seed=one["seed"],
            images=options.train * one["epochs"], val_every=1,
        )  # fmt: skip
        facts = {
            "label": candidate.label, "knobs": dict(candidate.knobs), "cost": candidate.cost.flops,
            "params": candidate.cost.params, "activation_bytes": candidate.cost.activation_bytes,
        }  # fmt: skip
        keep(options.out, {**one, **facts, **found})


def tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's rank correlation (τ-b)."""
    from scipy.stats import kendalltau

    return float(kendalltau(one, other).statistic)


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give the lines of a Markdown table: spread and noise of each length, and its ranking."""
    found: dict[tuple[str, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["space"], row["epochs"]][row["number"]].append(100 * (row["val"] or 0.0))
    yield "| space | epochs | networks | best | mean | sd | sd of seeds | τ with the longest |"
    yield "|---" * 8 + "|"
    for (space, epochs), values in sorted(found.items()):
        means = {number: statistics.mean(those) for number, those in values.items()}
        longest = found[space, max(e for s, e in found if s == space)]
        both = sorted(set(means) & set(longest))
        noise = [statistics.variance(those) for those in values.values() if len(those) > 1]
        cells = (
            space, epochs, len(means), f"{max(means.values()):.1f}",
            f"{statistics.mean(means.values()):.1f}",
            f"{statistics.stdev(means.values()):.1f}" if len(means) > 1 else "",
            f"{statistics.mean(noise) ** 0.5:.1f} ({len(noise)})" if noise else "",
            f"{tau([means[n] for n in both], [longest[n][0] for n in both]):.2f}" if len(both) > 2 else "",
        )  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Train, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--spaces", nargs="+", default=["lecture", "vgg", "nin"])
    parser.add_argument("--flops", default="5M")
    parser.add_argument("--candidates", type=int, default=100, help="of each space")
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 16], help="lengths")
    parser.add_argument("--seeds", type=int, default=3, help="of the repeated ones")
    parser.add_argument("--repeated", type=int, default=20, help="candidates with all seeds")
    options = parser.parse_args()
    measured(options, measure)
    print(f"{machine()}; {versions(('torch', 'numpy'))}\n")
    print("\n".join(table(kept(options.out))))


if __name__ == "__main__":
    main()
