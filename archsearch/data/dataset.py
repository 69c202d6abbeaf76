"""A prepared dataset: a folder of memory-mapped arrays that worker processes share."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from archsearch.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

FORMAT = 1  # raised when prepared folders of an older archsearch must not be reused


@dataclass(frozen=True, slots=True)
class Split:
    """Images (n, H, W, C), uint8 and usually memory-mapped, beside labels (n,), int64."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset, opened. `mean` and `std` are the training split's, per channel, 0..255.

    `mirror` says whether a mirrored image still belongs to its class; `notes` and `skipped` are
    what a person should hear about the data, `skipped` being the images that could not be read.
    """

    name: str
    source: str
    digest: str
    classes: tuple[str, ...]
    input: tuple[int, int, int]
    mirror: bool
    train: Split
    val: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()
    skipped: int = 0

    def split(self, name: SplitName) -> Split:
        """Return the split of that name."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


def joined(first: Split, second: Split) -> Split:
    """Return the images of two splits as one, in memory."""
    return Split(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
    )


def load(folder: Path) -> Dataset:
    """Open a folder that `prepare` made; the images stay on disk until they are touched.

    Raises:
        DataError: the folder is no prepared dataset, or is damaged.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    try:
        splits = {name: _open_split(folder, name, facts) for name in SPLITS}
        return Dataset(
            name=facts["name"],
            source=facts["source"],
            digest=facts["digest"],
            classes=tuple(facts["classes"]),
            input=_size(facts),
            mirror=facts["mirror"],
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            notes=tuple(facts["notes"]),
            skipped=facts["skipped"]["count"],
            **splits,
        )
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{str(folder)!r}: the prepared dataset is damaged ({error}); delete the folder, "
            "and the next run makes it anew"
        ) from error


def read_facts(folder: Path) -> dict[str, Any]:
    """Read a prepared folder's dataset.json.

    Raises:
        DataError: there is none, or it can't be read.
    """
    try:
        facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(folder)!r} is no prepared dataset: its dataset.json can't be read ({error})"
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise DataError(
            f"{str(folder)!r} was prepared by another version; delete it to make it anew"
        )
    return facts


def _open_split(folder: Path, name: str, facts: Mapping[str, Any]) -> Split:
    images = np.load(folder / f"{name}_images.npy", mmap_mode="r", allow_pickle=False)
    labels = np.load(folder / f"{name}_labels.npy", allow_pickle=False)
    n = facts["splits"][name]
    if images.shape != (n, *_size(facts)) or images.dtype != np.uint8:
        raise ValueError(f"{name}_images.npy holds {images.dtype} {images.shape}")
    if labels.shape != (n,) or labels.dtype != np.int64:
        raise ValueError(f"{name}_labels.npy holds {labels.dtype} {labels.shape}")
    # A plain array over the same mapping: np.memmap's own slicing costs Python time a batch.
    return Split(images.view(np.ndarray), labels)


def _size(facts: Mapping[str, Any]) -> tuple[int, int, int]:
    height, width, channels = facts["input"]
    return int(height), int(width), int(channels)
