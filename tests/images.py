import json

import numpy as np
import pytest

CLASSES = ("blank", "left", "right", "top", "bottom")


def write_dataset(folder, *, channels=1, side=16, counts=(96, 40, 40), seed=0):
    """A prepared dataset that a small network learns in moments: a bright half on one side."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for name, count in zip(("train", "val", "test"), counts, strict=True):
        labels = np.arange(count) % len(CLASSES)
        images = rng.integers(0, 60, (count, side, side, channels))
        half = side // 2
        for image, label in zip(images, labels, strict=True):
            if label:
                rows = {3: slice(0, half), 4: slice(half, side)}.get(label, slice(None))
                columns = {1: slice(0, half), 2: slice(half, side)}.get(label, slice(None))
                image[rows, columns] += 150
        np.save(folder / f"{name}_images.npy", images.astype(np.uint8))
        np.save(folder / f"{name}_labels.npy", labels.astype(np.int64))
    facts = {
        "format": 1,
        "name": "halves",
        "source": "halves",
        "digest": "0" * 16,
        "classes": list(CLASSES),
        "input": [side, side, channels],
        "mirror": False,
        "splits": dict(zip(("train", "val", "test"), counts, strict=True)),
        "mean": [80.0] * channels,
        "std": [70.0] * channels,
        "notes": [],
        "skipped": {"count": 0},
    }
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "grey")


@pytest.fixture(scope="session")
def colour_dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "colour", channels=3)


def write_three(path, *, side):
    """An .npz of three classes that are hard to tell apart, so that accuracies differ from time to time."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 3
    x = rng.integers(0, 160, (400, side, side, 1))
    x[y == 1, :, : side // 2] += 30
    x[y == 2, : side // 2] += 30
    np.savez(path, x=x.astype(np.uint8), y=y)
    return path
