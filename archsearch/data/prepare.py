"""From a source to a prepared dataset: split, decode in parallel, write once, reuse."""

import contextlib
import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.balance import imbalance
from archsearch.data.dataset import FORMAT, SPLITS, Images, load, read_facts
from archsearch.data.prepared_files import (
    ArrayWriter,
    Histogram,
    check_space,
    new_folder,
    write_json,
)
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import BadImageError, Items, Size, Source, show
from archsearch.data.sources.names import open_source
from archsearch.data.split import TRAIN, assign, check_fractions, leaks
from archsearch.errors import DataError, UserError
from archsearch.units import counted, format_size

Progress = Callable[[int, int], None]
"""Called with (images done, images in all), from the calling thread."""

_CHUNK_BYTES: Final = 4_000_000  # pixels one task decodes; some tasks a thread are under way
_NAME: Final = re.compile(r"[0-9a-f]{16}")
_UNBALANCED: Final = 4.0  # largest class over smallest, from which on it is worth a line
_LISTED = 100  # bad images that dataset.json names


def prepare(
    source: str | Source,
    *,
    home: Path,
    input: tuple[int, int, int] | None = None,
    seed: int = 0,
    val: float = 0.15,
    test: float = 0.15,
    mirror: bool | None = None,
    strict: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make, or find, the prepared dataset of a source: home/data/<digest>.

    The digest follows from the images' content, the size, the seed and the shares, so the same
    request finds the same folder, and another one never overwrites it. Memory use does not grow
    with the data.

    Args:
        source: what the user named (`open_source`), or a source already opened.
        home: folder under which everything a run keeps lies.
        input: height, width and channels to prepare; None takes what suits the source.
        seed: of the split into training, validation and test images.
        val: share that validates, where the source publishes no such split.
        test: share that tests, where the source publishes no such split.
        mirror: whether training may mirror images; None leaves it to the source.
        strict: refuse the data when a single image is bad, instead of skipping a few.
        workers: decoding threads; None takes one a CPU.
        progress: told how far decoding is.

    Raises:
        DataError: the data can't be used.
        UserError: a value is impossible, or the home can't be written.
    """
    check_fractions(val, test)
    _check_numbers(input, seed, workers)
    opened = open_source(source, home=home) if isinstance(source, str) else source
    request = {
        "format": FORMAT,
        "input": input,
        "seed": seed,
        "fractions": {"val": val, "test": test},
        "mirror": mirror,
    }
    stamp = opened.stamp()
    index = home / "data" / "index" / _digest({**request, "stamp": stamp})
    if stamp and (known := _known(index)) and _reusable(known):
        _refuse_skipped(known, strict=strict)
        return known
    settings = {**request, "content": opened.content()}
    digest = _digest(settings)
    folder = home / "data" / digest
    if _reusable(folder):
        _refuse_skipped(folder, strict=strict)
        if stamp:
            _remember(index, folder)
        return folder
    items = opened.items()
    if len(items.classes) < 2:
        raise DataError(
            f"{items.name} has one class, {items.classes[0]!r}; a network needs at least two to "
            "tell apart"
        )
    size = input or items.native
    _check_channels(items, size)
    split = assign(
        items.labels, items.fixed, classes=items.classes, seed=seed, val=val, test=test,
        groups=items.groups,
    )  # fmt: skip
    check_space(home, len(items) * (int(np.prod(size)) + 8))
    with new_folder(folder) as partial:
        made = _write(
            partial, items, split, size, strict=strict, workers=workers, progress=progress
        )
        facts = {
            **settings,
            "name": items.name,
            "source": show(opened.text),
            "digest": digest,
            "classes": items.classes,
            "input": size,
            "mirror": items.mirror if mirror is None else mirror,
            "splits": {name: sum(counts) for name, counts in made.counts.items()},
            "counts": made.counts,
            "mean": made.mean,
            "std": made.std,
            "skipped": {"count": len(made.bad), "files": made.bad[:_LISTED]},
            "notes": [
                *items.notes,
                *_leak_note(leaks(split, items.groups)),
                *_balance_note(items),
                *made.notes,
            ],
        }
        write_json(partial / "dataset.json", facts)
    if stamp:
        _remember(index, folder)
    return folder


@dataclass(slots=True)
class _Made:
    """What writing found out."""

    counts: dict[str, list[int]] = field(default_factory=dict)
    bad: list[dict[str, str]] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _write(
    folder: Path,
    items: Items,
    split: npt.NDArray[np.int8],
    size: Size,
    *,
    strict: bool,
    workers: int | None,
    progress: Progress | None,
) -> _Made:
    made = _Made()
    histogram = Histogram(size[2])
    allowed = 0 if strict else few(len(items))
    done = 0
    threads = workers or os.cpu_count() or 1
    with pillow(), ThreadPoolExecutor(max_workers=threads) as pool:
        for number, name in enumerate(SPLITS):
            members = np.flatnonzero(split == number)
            kept: list[npt.NDArray[np.intp]] = []
            with ArrayWriter(folder / f"{name}_images.npy", size, np.uint8) as writer:
                for chunk in _decoded(pool, items, members, size, 2 * threads):
                    made.bad += [
                        {"file": items.where(index), "reason": why} for index, why in chunk.bad
                    ]
                    if len(made.bad) > allowed:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise _too_many(items, made.bad, strict)
                    writer.append(chunk.images)
                    kept.append(chunk.indices)
                    if number == TRAIN:
                        histogram.add(chunk.images)
                    done += len(chunk.indices) + len(chunk.bad)
                    if progress:
                        progress(done, len(items))
            labels = items.labels[np.concatenate(kept)] if kept else items.labels[:0]
            with ArrayWriter(folder / f"{name}_labels.npy", (), np.int64) as writer:
                writer.append(labels)
            counts = np.bincount(labels, minlength=len(items.classes)).tolist()
            made.counts[name] = counts
            _check_counts(items, name, counts, made)
    made.mean, made.std = histogram.mean_std()
    if made.bad:
        were = "was" if len(made.bad) == 1 else "were"
        made.notes.append(
            f"{len(made.bad)} of {len(items)} images {were} skipped: {_named(made.bad)}"
        )
    return made


def _leak_note(pictures: int) -> list[str]:
    if not pictures:
        return []
    return [f"{pictures} pictures are in more than one split, as copies: the scores flatter"]


def _balance_note(items: Items) -> list[str]:
    counts = np.bincount(items.labels, minlength=len(items.classes))
    if imbalance(counts.tolist()) < _UNBALANCED:
        return []
    most, least = int(counts.argmax()), int(counts.argmin())
    return [
        f"class {items.classes[most]!r} has {counts[most]:,} images and {items.classes[least]!r} "
        f"{counts[least]:,}: balanced accuracy says more than accuracy, and class weights may help"
    ]


def few(images: int) -> int:
    """How many bad images are a few: up to a tenth, and 3 in a small set."""
    return max(3, images // 10)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Images (k, H, W, C) at these indices, and those that are bad with their reasons."""

    images: Images
    indices: npt.NDArray[np.intp]
    bad: list[tuple[int, str]]


def _decoded(
    pool: ThreadPoolExecutor, items: Items, members: npt.NDArray[np.intp], size: Size, most: int
) -> Iterator[_Chunk]:
    """Yield chunks in order, decoded ahead of their use by at most so many tasks."""
    step = int(min(256, max(1, _CHUNK_BYTES // int(np.prod(size)))))
    ahead: deque[Future[_Chunk]] = deque()
    for start in range(0, len(members), step):
        ahead.append(pool.submit(_decode, items, members[start : start + step], size))
        if len(ahead) > most:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _decode(items: Items, members: npt.NDArray[np.intp], size: Size) -> _Chunk:
    images = np.empty((len(members), *size), dtype=np.uint8)
    kept: list[int] = []
    bad: list[tuple[int, str]] = []
    for index in members.tolist():
        try:
            images[len(kept)] = items.decode(index, size)
        except BadImageError as error:
            bad.append((index, str(error)))
        else:
            kept.append(index)
    return _Chunk(images[: len(kept)], np.array(kept, dtype=np.intp), bad)


def _check_counts(items: Items, name: str, counts: Sequence[int], made: _Made) -> None:
    missing = [items.classes[label] for label, count in enumerate(counts) if not count]
    if not missing:
        return
    if name == "train" or not sum(counts):
        which = "no image" if not sum(counts) else f"no image of class {missing[0]!r}"
        raise DataError(f"{items.name}: {which} is left for the {name} split; add some")
    made.notes.append(f"the {name} split has no image of: {', '.join(missing[:10])}")


def _too_many(items: Items, bad: Sequence[dict[str, str]], strict: bool) -> DataError:
    if strict:
        return DataError(f"{items.name}: bad image {_named(bad)}; mend or remove it (--strict)")
    return DataError(
        f"{items.name}: more than {few(len(items))} of {len(items)} images can't be used: "
        f"{_named(bad)}; mend or remove them"
    )


def _named(bad: Sequence[dict[str, str]], most: int = 5) -> str:
    first = "; ".join(f"{entry['file']} ({entry['reason']})" for entry in bad[:most])
    return first if len(bad) <= most else f"{first}; and {len(bad) - most} more"


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _known(index: Path) -> Path | None:
    """The folder that a request with this stamp ended in: no need to hash every file again."""
    try:
        name = index.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return index.parent.parent / name if _NAME.fullmatch(name) else None


def _remember(index: Path, folder: Path) -> None:
    # A lost entry costs time only, and a torn one is no name, so no care is taken here.
    with contextlib.suppress(OSError):
        index.parent.mkdir(exist_ok=True)
        index.write_text(folder.name, encoding="ascii")


def _reusable(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        load(folder)
    except DataError:
        # Somebody deleted a file of it. It holds nothing that can't be made again.
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _refuse_skipped(folder: Path, *, strict: bool) -> None:
    facts: dict[str, Any] = read_facts(folder)
    if strict and facts["skipped"]["count"]:
        named = _named(facts["skipped"]["files"])
        raise DataError(f"{facts['name']}: bad image {named}; mend or remove it (--strict)")


def _check_channels(items: Items, size: Size) -> None:
    own, able = items.native[2], sorted({1, 3, items.native[2]})
    if size[2] not in able:
        raise DataError(
            f"{items.name}: images with {counted(own, 'channel')} can't be turned into "
            f"{format_size(size)}; the channels may be {', '.join(map(str, able))}"
        )


def _check_numbers(size: Size | None, seed: int, workers: int | None) -> None:
    if size is not None and (len(size) != 3 or min(size) < 1):
        raise UserError(f"an image size of {size} is impossible; wanted (height, width, channels)")
    if seed < 0:
        raise UserError(f"the seed is {seed}; wanted 0 or more")
    if workers is not None and workers < 1:
        raise UserError(f"{workers} decoding threads; wanted 1 or more")
