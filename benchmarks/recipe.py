"""Accuracy of networks under changed recipes: what one part of a recipe is worth, family by family.

A network is a family's classic at a budget (its matched baseline), or a draw of its space. Each is trained
by the default recipe and by each change of it, with each seed, on PyTorch and one thread. Trainings are kept
in a file, a line each, so that an interrupted measurement goes on, and processes share one (`--part`).

    python benchmarks/recipe.py --images cifar10_jpeg.npz --out recipe.jsonl --spaces vgg nin --seeds 3 \
        --change dropout_epochs=none --change base_lr=0.2,clip_norm=none
    python benchmarks/recipe.py --out recipe.jsonl --table
"""

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from measure import machine, versions
from trainings import add_options, keep, kept, left, measured, trained

SIZE = (32, 32, 3)
OTHER_BUDGETS = {"inception_resnet": "12M"} | dict.fromkeys(
    ("resnet", "resnext", "se", "preact", "stochastic_depth", "inception"), "10M"
)  # whose classics are no smaller
BUDGET = "5M"


def network(name: str) -> tuple[str, str]:
    """Return the label and the Graph JSON of `vgg` (its classic) or `vgg:3` (a draw with that seed)."""
    from archsearch.ir.codec import to_json
    from archsearch.space.budget import Budget, Request
    from archsearch.space.registry import find_space
    from archsearch.space.solve import sample, solve

    space, _, seed = name.partition(":")
    found = find_space(space)
    request = Request(SIZE, 10, Budget.parse(OTHER_BUDGETS.get(space, BUDGET), SIZE))
    if seed:
        candidate = next(sample(found, request, 1, seed=int(seed)))
    else:
        candidate = solve(found, found.classic_knobs(request), request)
    return candidate.label, to_json(candidate.graph)


def measure(options: argparse.Namespace) -> None:
    """Train what is not in the file yet."""
    asked = [
        {"network": name, "changes": changes, "seed": seed, "epochs": options.epochs, "train": options.train}
        for seed in range(options.seeds)
        for name in options.spaces
        for changes in ("", *options.change)
    ]  # fmt: skip
    for one in left(asked, options.out, options.part):
        label, graph = network(one["network"])
        found = trained(
            graph, options.folder, changes=one["changes"], seed=one["seed"],
            images=options.train * options.epochs, val_every=options.epochs,
        )  # fmt: skip
        keep(options.out, {**one, "label": label, **found})


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give the lines of a Markdown table: validation accuracy in percent, mean ± sd (n)."""
    cells: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        key = (f"{row['network']} ({row['label']})", f"{row['epochs']} × {row['train']}")
        cells[key][row["changes"]].append(100 * (row["val"] or 0.0))
    columns = sorted({changes for found in cells.values() for changes in found})
    yield f"| network | epochs × images | {' | '.join(c or 'default' for c in columns)} |"
    yield "|---" * (2 + len(columns)) + "|"
    for (name, length), found in sorted(cells.items()):
        yield f"| {name} | {length} | {' | '.join(_score(found[c]) for c in columns)} |"


def _score(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({len(values)})"


def main() -> None:
    """Measure, then print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.add_argument(
        "--spaces", nargs="+", default=["vgg"], help="vgg: its classic; vgg:3: a draw"
    )
    parser.add_argument(
        "--change", action="append", default=[], help="parts of the recipe: base_lr=0.4,warmup=0"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    options = parser.parse_args()
    measured(options, measure)
    print(f"{machine()}; {versions(('torch', 'numpy'))}; mean ± sd (n)\n")
    print("\n".join(table(kept(options.out))))


if __name__ == "__main__":
    main()
