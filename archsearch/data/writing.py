"""Decoding the images of a source in parallel, and writing them split by split."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import SPLITS
from archsearch.data.decoding import Chunk, Decoder, decoding_threads
from archsearch.data.prepared_files import ArrayWriter, Histogram
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import Items, Resize, Size
from archsearch.data.split import TRAIN
from archsearch.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (images done, images in all), from the calling thread."""


@dataclass(slots=True)
class Made:
    """What writing found out: images done, those per split and class, bad ones, mean, deviation, notes."""

    done: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)
    bad: list[dict[str, str]] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def write(
    folder: Path,
    items: Items,
    split: npt.NDArray[np.int8],
    size: Size,
    *,
    resize: Resize,
    strict: bool,
    workers: int | None,
    progress: Progress | None,
) -> Made:
    """Write images and labels of every split into a folder.

    Args:
        folder: where the arrays are written.
        items: the images.
        split: (n,) index into SPLITS.
        size: the size to decode them at.
        resize: how images of another shape get there.
        strict: refuse a single bad image.
        workers: decoding threads; None takes one a CPU.
        progress: told how far it is.

    Raises:
        DataError: too many images are bad, or a class has none left to train on.
    """
    made, histogram = Made(), Histogram(size[2])
    threads = decoding_threads(workers)
    with pillow(), ThreadPoolExecutor(max_workers=threads) as pool:
        decoder = Decoder(pool, lambda i: items.decode(i, size, resize), size, 2 * threads)
        task = _Task(decoder, items, strict, progress)
        for number, name in enumerate(SPLITS):
            members = np.flatnonzero(split == number)
            _write_split(folder, name, task, members, made, histogram if number == TRAIN else None)
    made.mean, made.std = histogram.mean_std()
    made.notes += [*_skipped_note(items, made), *histogram.notes()]
    return made


def _write_split(
    folder: Path,
    name: str,
    task: "_Task",
    members: npt.NDArray[np.intp],
    made: Made,
    histogram: Histogram | None,
) -> None:
    kept: list[npt.NDArray[np.intp]] = []
    with ArrayWriter(folder / f"{name}_images.npy", task.decoder.size, np.uint8) as writer:
        for chunk in task.decoder.chunks(members):
            _note_bad(made, task, chunk)
            writer.append(chunk.images)
            kept.append(chunk.indices)
            if histogram:
                histogram.add(chunk.images)
            made.done += len(chunk.indices) + len(chunk.bad)
            if task.progress:
                task.progress(made.done, len(task.items))
    _write_labels(folder, name, task.items, kept, made)


def _write_labels(
    folder: Path, name: str, items: Items, kept: list[npt.NDArray[np.intp]], made: Made
) -> None:
    labels = items.labels[np.concatenate(kept)] if kept else items.labels[:0]
    with ArrayWriter(folder / f"{name}_labels.npy", (), np.int64) as writer:
        writer.append(labels)
    counts = np.bincount(labels, minlength=len(items.classes)).tolist()
    made.counts[name] = counts
    _check_counts(items, name, counts, made)


def _skipped_note(items: Items, made: Made) -> list[str]:
    if not made.bad:
        return []
    were = "was" if len(made.bad) == 1 else "were"
    return [f"{len(made.bad)} of {len(items)} images {were} skipped: {named(made.bad)}"]


def few(images: int) -> int:
    """How many bad images are a few: up to a tenth, and 3 in a small set."""
    return max(3, images // 10)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is decoded, how, whether a single image may be bad, and who is told."""

    decoder: Decoder
    items: Items
    strict: bool
    progress: Progress | None


def _note_bad(made: Made, task: _Task, chunk: Chunk) -> None:
    """Remember a chunk's bad images.

    Raises:
        DataError: they are too many.
    """
    items = task.items
    made.bad += [{"file": items.where(index), "reason": why} for index, why in chunk.bad]
    if len(made.bad) > (0 if task.strict else few(len(items))):
        task.decoder.pool.shutdown(wait=False, cancel_futures=True)
        raise _too_many(items, made.bad, task.strict)


def _check_counts(items: Items, name: str, counts: Sequence[int], made: Made) -> None:
    missing = [items.classes[label] for label, count in enumerate(counts) if not count]
    if not missing:
        return
    if name == "train" or not sum(counts):
        which = "no image" if not sum(counts) else f"no image of class {missing[0]!r}"
        raise DataError(f"{items.name}: {which} is left for the {name} split; add some")
    made.notes.append(f"the {name} split has no image of: {', '.join(missing[:10])}")


def _too_many(items: Items, bad: Sequence[dict[str, str]], strict: bool) -> DataError:
    if strict:
        return DataError(f"{items.name}: bad image {named(bad)}; mend or remove it (--strict)")
    return DataError(
        f"{items.name}: more than {few(len(items))} of {len(items)} images can't be used: "
        f"{named(bad)}; mend or remove them"
    )


def named(bad: Sequence[dict[str, str]], most: int = 5) -> str:
    """Name the first bad images with their reasons."""
    first = "; ".join(f"{entry['file']} ({entry['reason']})" for entry in bad[:most])
    return first if len(bad) <= most else f"{first}; and {len(bad) - most} more"
