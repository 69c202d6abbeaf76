"""Sets of images that recipes are measured on: grey and colour, two classes, ten and a hundred."""

from pathlib import Path
from typing import Any

import numpy as np
from sides import write_arrays
from trainings import read_images, write_images

NUMBERS = "numbers"
"""The numbers 00 to 99: two of scikit-learn's digits beside one another, at random heights."""


def set_name(asked: str) -> str:
    """Return what a set is called in results: `cifar10_jpeg`, `cifar10_jpeg:cat,dog`, `digits`."""
    path, _, classes = asked.partition(":")
    return ":".join(filter(None, (Path(path).stem, classes)))


def write_set(asked: str, home: Path, *, train: int, val: int) -> Path:
    """Write a set as a prepared data set.

    Args:
        asked: `digits`, `numbers`, a packed file (trainings.py), or some classes of one: `FILE:cat,dog`.
        home: a folder.
        train: images for training; `digits` has its own.
        val: images for validation.
    """
    from archsearch.data.prepare import prepare

    path, _, classes = asked.partition(":")
    if path == NUMBERS:
        return _write_numbers(home, train=train, val=val)
    if not Path(path).suffix:
        return prepare(path, home=home)
    if not classes:
        return write_images(Path(path), home / "written", train=train, val=val)
    return _write_some(Path(path), classes.split(","), home, train=train, val=val)


def _write_some(packed: Path, wanted: list[str], home: Path, *, train: int, val: int) -> Path:
    names = [str(name) for name in np.load(packed)["classes"]]
    which = [names.index(name) for name in wanted]
    # About as many more are read as other classes are left out.
    spare = 1.2 * len(names) / len(which)
    parts = read_images(packed, train=int(train * spare), val=int(val * spare))
    sizes = {"train": train, "val": val, "test": None}
    splits = {}
    for part, (images, labels) in parts.items():
        kept = np.flatnonzero(np.isin(labels, which))[: sizes[part]]
        splits[part] = images[kept], np.searchsorted(sorted(which), labels[kept])
    return _written(
        splits, home, set_name(f"{packed}:{','.join(wanted)}"), sorted(wanted, key=names.index)
    )


def _write_numbers(home: Path, *, train: int, val: int) -> Path:
    """Write numbers; each split's are made of digits that no other split has."""
    from archsearch.data.dataset import load
    from archsearch.data.prepare import prepare

    digits = load(prepare("digits", home=home))
    rng = np.random.default_rng(0)
    splits = {
        part: _numbers(rng, split.images, split.labels, count)
        for part, split, count in (
            ("train", digits.train, train), ("val", digits.val, val), ("test", digits.test, val),
        )
    }  # fmt: skip
    return _written(splits, home, NUMBERS, [f"{number:02}" for number in range(100)], mirror=False)


def _numbers(rng: Any, images: Any, labels: Any, count: int) -> tuple[Any, Any]:
    left, right = rng.integers(len(labels), size=(2, count))
    tops = rng.integers(17, size=(2, count))
    canvas = np.zeros((count, 32, 32, 1), np.uint8)
    halves = images[:, ::2, ::2]  # of 32×32, so 16×16
    for i in range(count):
        for digit, top, x in ((left[i], tops[0, i], 0), (right[i], tops[1, i], 16)):
            canvas[i, top : top + 16, x : x + 16] = halves[digit]
    return canvas, (10 * labels[left] + labels[right]).astype(np.int64)


def _written(splits: Any, home: Path, name: str, classes: list[str], mirror: bool = True) -> Path:
    images = splits["train"][0]
    seen = images.reshape(-1, images.shape[-1])
    return write_arrays(
        home / "written", splits, name=name, classes=classes, mirror=mirror,
        mean=seen.mean(0).tolist(), std=seen.std(0).tolist(),
    )  # fmt: skip
