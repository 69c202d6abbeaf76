"""Accuracy of networks under changed recipes: what one part of a recipe is worth, family by family.

A network is a family's classic at a budget (its matched baseline), or a draw of its space. Each is trained
by the default recipe and by each change of it, with each seed, on PyTorch and one thread. Trainings are kept
in a file, a line each, so that an interrupted measurement goes on, and processes share one (`--part`).

    python benchmarks/recipe.py --images cifar10_jpeg.npz --out recipe.jsonl --spaces vgg nin --seeds 3 \
        --change dropout_epochs=none --change base_lr=0.2,clip_norm=none
    python benchmarks/recipe.py --out recipe.jsonl --table

The images are a packed file: `train_jpeg` (bytes), `train_offsets`, `train_labels` and `classes`.
"""

import argparse
import io
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, versions

SIZE = (32, 32, 3)
OTHER_BUDGETS = {"inception_resnet": "12M"} | dict.fromkeys(
    ("resnet", "resnext", "se", "preact", "stochastic_depth", "inception"), "10M"
)  # whose classics are no smaller
BUDGET = "5M"


def write_images(packed: Path, folder: Path, *, train: int, val: int) -> Path:
    """Write a prepared data set of so many images, drawn once for all; those that validate also test."""
    from PIL import Image
    from sides import write_arrays

    file = np.load(packed)
    order = np.random.default_rng(0).permutation(len(file["train_labels"]))[: train + val]
    data, offsets = file["train_jpeg"], file["train_offsets"]
    images = np.stack([
        np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())))
        for i in order
    ])  # fmt: skip
    labels = file["train_labels"][order].astype(np.int64)
    split = {"train": slice(0, train), "val": slice(train, None), "test": slice(train, None)}
    seen = images[:train].reshape(-1, 3)
    return write_arrays(
        folder, {name: (images[part], labels[part]) for name, part in split.items()},
        name=packed.stem, classes=[str(name) for name in file["classes"]],
        mean=seen.mean(0).tolist(), std=seen.std(0).tolist(),
    )  # fmt: skip


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


def trained(graph: str, changes: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train once; return accuracies and seconds."""
    import torch

    from archsearch.recipes.recipe import Recipe, with_parts
    from archsearch.training.fit import train
    from archsearch.training.job import Job

    torch.set_num_threads(1)
    parts = dict(part.split("=", 1) for part in changes.split(",") if part)
    values = {name: text if text.isalpha() else float(text) for name, text in parts.items()}
    losses = []
    outcome = train(
        Job(
            key="one", graph=graph, dataset=str(options.folder), backend="torch", seed=seed,
            recipe=with_parts(Recipe(), values), images=options.train * options.epochs,
            val_every=options.epochs,
        ),
        lambda report: losses.append(report.loss) or True,
    )  # fmt: skip
    return {
        "status": outcome.status, "val": outcome.val_accuracy, "loss": losses[-1:],
        "train_s": round(outcome.train_s, 1),
    }  # fmt: skip


def kept(out: Path) -> list[dict[str, Any]]:
    """Return the trainings in a file; a line that was cut is none."""
    rows = []
    for line in out.read_text().splitlines() if out.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def wanted(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give what is to be trained, this process's share of it."""
    every = [
        {"network": name, "changes": changes, "seed": seed, "epochs": options.epochs, "train": options.train}
        for seed in range(options.seeds)
        for name in options.spaces
        for changes in ("", *options.change)
    ]  # fmt: skip
    mine, of = options.part
    yield from every[mine::of]


def measure(options: argparse.Namespace) -> None:
    """Train what is not in the file yet."""
    for one in wanted(options):
        if any(one.items() <= row.items() for row in kept(options.out)):
            continue
        label, graph = network(one["network"])
        row = {**one, "label": label, **trained(graph, one["changes"], one["seed"], options)}
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


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
    parser.add_argument("--images", type=Path, help="the packed file")
    parser.add_argument("--out", type=Path, required=True, help="what was trained, a line each")
    parser.add_argument(
        "--spaces", nargs="+", default=["vgg"], help="vgg: its classic; vgg:3: a draw"
    )
    parser.add_argument(
        "--change", action="append", default=[], help="parts of the recipe: base_lr=0.4,warmup=0"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--train", type=int, default=6000, help="images")
    parser.add_argument("--val", type=int, default=4000, help="images")
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), help="this process, of how many"
    )
    parser.add_argument(
        "--table", action="store_true", help="print what is there and train nothing"
    )
    options = parser.parse_args()
    if not options.table:
        with tempfile.TemporaryDirectory() as home:
            options.folder = write_images(
                options.images, Path(home) / "data", train=options.train, val=options.val
            )
            measure(options)
    print(f"{machine()}; {versions(('torch', 'numpy'))}; mean ± sd (n)\n")
    print("\n".join(table(kept(options.out))))


if __name__ == "__main__":
    main()
