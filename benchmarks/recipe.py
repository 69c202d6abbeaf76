"""Accuracy under the default recipe, under a grid of rates of two optimizers, and by a plain loop.

A network is a family's classic at a budget (its matched baseline), or a draw of its space (`vgg:1`). Each is
trained by every *update* asked for, with each seed, on PyTorch and one thread: `sgd:0.8` and `adamw:0.004`
are the default recipe at this peak rate for 256 images, `sgd:3.2x` at a network's share of 3.2 (a fifth of it
where nothing is normalized), `default` is the recipe as it is, `plain:onecycle` and `plain:adamw` are a plain
PyTorch loop (plain_training.py). Trainings are kept in a file, a line each, so that an interrupted
measurement goes on, and processes share one (`--part`).

    OUT=benchmarks/measured/recipes.jsonl
    python benchmarks/recipe.py --images cifar10_jpeg.npz --out $OUT --networks vgg nin nin:1 \
        --updates default sgd:0.4 sgd:0.8 adamw:0.004 plain:onecycle
    python benchmarks/recipe.py --images digits --out $OUT --networks vgg --epochs 10
    python benchmarks/recipe.py --out $OUT --table
"""

import argparse
import math
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from image_sets import set_name, write_set
from measure import machine, versions
from trainings import keep, kept, left, trained

OTHER_BUDGETS = {"inception_resnet": "12M"} | dict.fromkeys(
    ("resnet", "resnext", "se", "preact", "stochastic_depth", "inception"), "10M"
)  # whose classics are no smaller
BUDGET = "5M"
CHOSEN_ON = (
    "vgg",
    "resnet",
    "wrn",
    "densenet",
    "mobilenet",
    "inception",
    "nin",
    "lenet",
    "squeezenet",
)
"""Spaces that the default was chosen on: their figures are shown and prove nothing."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is trained: its label, its Graph JSON, its own share of the recipe's rate."""

    label: str
    graph: str
    share: float


@cache
def network(name: str, size: tuple[int, int, int], classes: int, batch: int) -> Network:
    """Return `vgg` (its classic) or `vgg:3` (a draw with that seed) for images of a size.

    Its share is that of a rate in proportion to so many images a step.
    """
    from archsearch.ir.codec import to_json
    from archsearch.readings.normalization import normalized_part
    from archsearch.recipes.recipe import Recipe
    from archsearch.space.budget import Budget, Request
    from archsearch.space.registry import find_space
    from archsearch.space.solve import sample, solve

    space, _, seed = name.partition(":")
    found = find_space(space)
    request = Request(size, classes, Budget.parse(OTHER_BUDGETS.get(space, BUDGET), size))
    if seed:
        candidate = next(sample(found, request, 1, seed=int(seed)))
    else:
        candidate = solve(found, found.classic_knobs(request), request)
    own, linear = Recipe(batch=batch), Recipe(batch=batch, linear_batch=None)
    share = own.rate_share(normalized_part(candidate.graph)) * own.peak_lr / linear.peak_lr
    return Network(candidate.label, to_json(candidate.graph), share)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Train what is not in the file yet."""
    from archsearch.data.dataset import load

    data = load(folder)
    made_for = data.input, len(data.classes), options.batch
    asked = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for update in options.updates:
            for name in options.networks:
                asked.append({
                    "network": name, "update": _update(update, network(name, *made_for).share),
                    "changes": options.change, "batch": options.batch, "seed": seed, "epochs": options.epochs,
                    "data": set_name(options.images), "train": len(data.train.images),
                })  # fmt: skip
    for one in left(asked, options.out, options.part):
        found = network(one["network"], *made_for)
        result = _trained(found, one, folder)
        result["loss"] = result["loss"][-1] if result["loss"] else None
        keep(options.out, {**one, "label": found.label, "share": found.share, **result})


def _update(asked: str, share: float) -> str:
    """Return an update with the rate it means for a network: `sgd:3.2x` is the network's share of 3.2."""
    from archsearch.recipes.recipe import Recipe

    kind, _, rate = (f"sgd:{Recipe().base_lr}x" if asked == "default" else asked).partition(":")
    return f"{kind}:{float(rate[:-1]) * share:g}" if rate.endswith("x") else asked


def _trained(found: Network, one: Any, folder: Path) -> dict[str, Any]:
    images = one["epochs"] * one["train"]
    kind, _, rate = one["update"].partition(":")
    if kind == "plain":
        from plain_training import plainly_trained

        return plainly_trained(found.graph, folder, update=rate, seed=one["seed"], images=images)
    # One rate for every kind of network: what the rule gives is one of the grid.
    parts = [f"optimizer={kind}", f"base_lr={rate}", "unnormalized_lr=1", "unnormalized_head_lr=1"]
    parts += [
        "linear_batch=none",
        "unnormalized_batch=none",
        f"batch={one['batch']}",
        *filter(None, [one["changes"]]),
    ]
    result = trained(
        found.graph,
        folder,
        changes=",".join(parts),
        seed=one["seed"],
        images=images,
        val_every=one["epochs"],
    )
    return {name: result[name] for name in ("status", "val", "loss", "train_s")}


Row = dict[str, Any]


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Give the lines of Markdown tables: one for each data, length and batch."""
    settings: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        settings[row["data"], row["train"], row["epochs"], row["batch"], row["changes"]].append(row)
    for (data, train, epochs, batch, changes), found in sorted(settings.items()):
        more = f", {changes}" if changes else ""
        yield f"\n**{data}, {train} images × {epochs} epochs, batch {batch}{more}**\n"
        yield from _table(found)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Validation accuracy in percent, mean ± sd (n); what the default is short of the best of the grid.

    Rates are those of a network whose share is 1. A rate that few networks have is told where it is the best.
    """
    by_network: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_network[row["network"]][_relative(row)].append(row)
    every = Counter(update for found in by_network.values() for update in found)
    updates = sorted((u for u in every if every[u] > len(by_network) / 4), key=_order)
    yield f"| network | {' | '.join(updates)} | best of the grid | default − best |"
    yield "|---" * (len(updates) + 3) + "|"
    judged: dict[str, tuple[float, float]] = {}
    for name, found in sorted(by_network.items()):
        best, pair = _best(found)
        if pair is not None:
            judged[name] = pair
        cells = " | ".join(_score(found.get(update, [])) for update in updates)
        short = "" if pair is None else f"{pair[0] - pair[1]:+.1f}"
        label = next(iter(found.values()))[0]["label"]
        yield f"| {name} {label} | {cells} | {best} | {short} |"
    yield from _summary(judged)
    yield from _beside_plain(by_network)


def _relative(row: Row) -> str:
    """Return an update with its rate over the network's share of it."""
    kind, _, rate = row["update"].partition(":")
    return row["update"] if kind == "plain" else f"{kind}:{float(rate) / row['share']:.3g}"


def _default() -> str:
    from archsearch.recipes.recipe import Recipe

    return f"sgd:{Recipe().base_lr:g}"


def _pairs(found: Mapping[str, Sequence[Row]]) -> dict[str, tuple[float, float]]:
    """Return the default's mean and each update's, over the seeds that both have."""
    ours = {row["seed"]: _percent(row) for row in found.get(_default(), ())}
    pairs = {}
    for update, rows in found.items():
        theirs = {row["seed"]: _percent(row) for row in rows if row["seed"] in ours}
        if theirs:
            pairs[update] = (
                statistics.mean(ours[seed] for seed in theirs),
                statistics.mean(theirs.values()),
            )
    return pairs


def _best(found: Mapping[str, Sequence[Row]]) -> tuple[str, tuple[float, float] | None]:
    """Return the best of the grid in words, and the default's mean beside its; None: nothing to compare."""
    pairs = {u: pair for u, pair in _pairs(found).items() if not u.startswith("plain")}
    if len(pairs) < 2:
        return "", None
    best = max(
        pairs, key=lambda update: (pairs[update][1] - pairs[update][0], update == _default())
    )
    return f"{pairs[best][1]:.1f} {best}", pairs[best]


def _beside_plain(by_network: Mapping[str, Mapping[str, Sequence[Row]]]) -> Iterator[str]:
    """Tell what the default is ahead of the better of the two plain loops, in points."""
    ahead = {}
    for name, found in by_network.items():
        pairs = [pair for update, pair in _pairs(found).items() if update.startswith("plain")]
        if pairs:
            ahead[name] = min(ours - theirs for ours, theirs in pairs)
    if len(ahead) > 1:
        last = min(ahead, key=lambda name: ahead[name])
        yield (
            f"\ndefault − the better plain loop: {len(ahead)} networks, median "
            f"{statistics.median(ahead.values()):+.1f}, worst {ahead[last]:+.1f} ({last})"
        )


def _summary(judged: dict[str, tuple[float, float]]) -> Iterator[str]:
    groups = {
        "chosen on": {n: p for n, p in judged.items() if n in CHOSEN_ON},
        "not chosen on": {n: p for n, p in judged.items() if n not in CHOSEN_ON},
        "all": judged,
    }
    for title, pairs in groups.items():
        if len(pairs) < 2:
            continue
        short = [default - best for default, best in pairs.values()]
        tau = _kendall([p[0] for p in pairs.values()], [p[1] for p in pairs.values()])
        yield (
            f"\n{title}: {len(pairs)} networks, default − best median {statistics.median(short):+.1f}, "
            f"worst {min(short):+.1f}, Kendall's tau between default and best {tau:.2f}"
        )


def _kendall(a: Sequence[float], b: Sequence[float]) -> float:
    from scipy.stats import kendalltau

    return float(kendalltau(a, b).statistic)


def _order(update: str) -> tuple[str, float, str]:
    kind, _, rate = update.partition(":")
    return ({"sgd": "0"}.get(kind, kind), math.inf if kind == "plain" else float(rate), rate)


def _percent(row: Row) -> float:
    return 100 * (row["val"] or 0.0)


def _score(rows: Sequence[Row]) -> str:
    values = [_percent(row) for row in rows]
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} ({len(values)})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", help="packed images, digits, … (image_sets.py)")
    parser.add_argument("--out", type=Path, required=True, help="what was trained, a line each")
    parser.add_argument("--train", type=int, default=6000, help="images")
    parser.add_argument("--val", type=int, default=4000, help="images")
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), help="this process, of how many"
    )
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    parser.add_argument(
        "--networks", nargs="+", default=["vgg"], help="vgg: its classic; vgg:3: a draw"
    )
    parser.add_argument(
        "--updates",
        nargs="+",
        default=["default"],
        help="sgd:0.8 adamw:0.004 plain:onecycle; sgd:3.2x: the network's share of it",
    )
    parser.add_argument(
        "--change", default="", help="other parts of the recipe: dropout_epochs=none"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    return parser.parse_args()


def main() -> None:
    """Measure, then print the tables."""
    options = _options()
    if not options.table:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as home:
            folder = write_set(options.images, Path(home), train=options.train, val=options.val)
            measure(options, folder)
    print(f"{machine()}; {versions(('torch', 'numpy'))}; validation accuracy in %, mean ± sd (n)")
    print("\n".join(tables(kept(options.out))))


if __name__ == "__main__":
    main()
