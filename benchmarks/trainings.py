"""Trainings that are measured: images from a packed file, one training on one thread, a file of results.

Results are JSON lines. A measurement that was interrupted goes on with what is not in the file yet, and
several processes share one, each with its part.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every measurement of trainings is asked for."""
    parser.add_argument(
        "--images",
        type=Path,
        help="packed: train_jpeg (bytes), train_offsets, train_labels, classes",
    )
    parser.add_argument("--out", type=Path, required=True, help="what was trained, a line each")
    parser.add_argument("--train", type=int, default=6000, help="images")
    parser.add_argument("--val", type=int, default=4000, help="images")
    parser.add_argument(
        "--skip", type=int, default=0, help="images left to other measurements: their first ones"
    )
    parser.add_argument(
        "--part", type=int, nargs=2, default=(0, 1), help="this process, of how many"
    )
    parser.add_argument(
        "--table", action="store_true", help="print what is there and train nothing"
    )


def read_images(packed: Path, *, train: int, val: int, skip: int = 0) -> dict[str, tuple[Any, Any]]:
    """Return images and labels by split: so many for training, drawn once for all; every test image."""
    file = np.load(packed)
    order = np.random.default_rng(0).permutation(len(file["train_labels"]))[skip:]
    test = np.arange(len(file["test_labels"]))
    return {
        "train": _decoded(file, "train", order[:train]),
        "val": _decoded(file, "train", order[train : train + val]),
        "test": _decoded(file, "test", test),
    }


def _decoded(file: Any, part: str, which: Any) -> tuple[Any, Any]:
    from PIL import Image

    data, offsets = file[f"{part}_jpeg"], file[f"{part}_offsets"]
    jpegs = (data[offsets[i] : offsets[i + 1]].tobytes() for i in which)
    images = np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])
    return images, file[f"{part}_labels"][which].astype(np.int64)


def write_images(packed: Path, folder: Path, *, train: int, val: int, skip: int = 0) -> Path:
    """Write these images as a prepared data set."""
    from sides import write_arrays

    splits = read_images(packed, train=train, val=val, skip=skip)
    seen = splits["train"][0].reshape(-1, 3)
    return write_arrays(
        folder, splits, name=packed.stem,
        classes=[str(name) for name in np.load(packed)["classes"]],
        mean=seen.mean(0).tolist(), std=seen.std(0).tolist(),
    )  # fmt: skip


def measured(options: argparse.Namespace, measure: Callable[[argparse.Namespace], None]) -> None:
    """Have something measured with the images in `options.folder`; with `--table` nothing is."""
    if options.table:
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        options.folder = write_images(
            options.images, Path(home) / "data",
            train=options.train, val=options.val, skip=options.skip,
        )  # fmt: skip
        measure(options)


def changed(changes: str) -> Any:
    """Return the default recipe with parts changed: `base_lr=0.4,clip_norm=none`."""
    from archsearch.recipes.recipe import Recipe, with_parts

    parts = dict(part.split("=", 1) for part in changes.split(",") if part)
    values = {name: _number(text) for name, text in parts.items()}
    return with_parts(Recipe(), values)


def _number(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if text.isalpha():
        return text
    return int(text) if text.isdigit() else float(text)


def trained(
    graph: str,
    folder: Path,
    *,
    changes: str = "",
    seed: int,
    images: int,
    val_every: int,
    tests: bool = False,
) -> dict[str, Any]:
    """Train a network once on PyTorch and one thread; return accuracies, losses and seconds.

    Args:
        graph: Graph JSON.
        folder: of the prepared images.
        changes: parts of the default recipe (see `changed`).
        seed: of everything random.
        images: seen in all.
        val_every: epochs from one evaluation to the next.
        tests: whether the test images are looked at, too.
    """
    import torch

    from archsearch.training.fit import train
    from archsearch.training.job import Job

    torch.set_num_threads(1)
    reports: list[Any] = []
    job = Job(
        key="one", graph=graph, dataset=str(folder), backend="torch", seed=seed,
        recipe=changed(changes), images=images, val_every=val_every, test=tests,
    )  # fmt: skip
    outcome = train(job, lambda report: reports.append(report) or True)
    return {
        "status": outcome.status, "val": outcome.val_accuracy, "test": outcome.test_accuracy,
        "curve": [r.val_accuracy for r in reports if r.val_accuracy is not None],
        "loss": [round(r.loss, 4) for r in reports], "train_s": round(outcome.train_s, 1),
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


def left(
    asked: Sequence[Mapping[str, Any]], out: Path, part: Sequence[int]
) -> Iterator[Mapping[str, Any]]:
    """Give this part's share of what is asked for and not in the file, which is read anew each time."""
    mine, of = part
    for one in asked[mine::of]:
        if not any(one.items() <= row.items() for row in kept(out)):
            yield one


def keep(out: Path, row: Mapping[str, Any]) -> None:
    """Append a training."""
    with out.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
