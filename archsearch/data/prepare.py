"""From a source to a prepared dataset: checked, found again or written once."""

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from archsearch.data.balance import imbalance
from archsearch.data.class_names import alike_notes
from archsearch.data.dataset import FORMAT, load, read_facts
from archsearch.data.prepared_files import check_space, new_folder, write_json
from archsearch.data.resizing import resizing_note
from archsearch.data.sources.items import Items, Resize, Size, Source
from archsearch.data.sources.names import open_source
from archsearch.data.split import assign, check_fractions, leaks
from archsearch.data.writing import Made, Progress, named, write
from archsearch.errors import DataError, UserError
from archsearch.units import counted, format_size, printable

AskedSize = tuple[int, int, int | None]
"""Height, width and channels; channels None are the data's own."""

_NAME: Final = re.compile(r"[0-9a-f]{16}")
_UNBALANCED: Final = 4.0  # largest class over smallest, from which on it is worth a line
_LISTED: Final = 100  # bad images that dataset.json names


def prepare(
    source: str | Source,
    *,
    home: Path,
    input: AskedSize | None = None,
    resize: str | None = None,
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
        resize: how images of another shape get there, `crop` or `squash`; None is `crop`.
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
    request = _Request(input, _resize(resize), seed, val, test, mirror, strict, workers)
    opened = open_source(source, home=home) if isinstance(source, str) else source
    return _found_or_made(opened, request, home, progress)


def _found_or_made(
    opened: Source, request: "_Request", home: Path, progress: Progress | None
) -> Path:
    stamp = opened.stamp()
    index = home / "data" / "index" / _digest({**request.facts(), "stamp": stamp})
    folder = _known(index) if stamp else None
    if folder is None or not _reusable(folder):
        settings = {**request.facts(), "content": opened.content()}
        folder = home / "data" / _digest(settings)
        if not _reusable(folder):
            _make(folder, opened, request, settings, progress)
        if stamp:
            _remember(index, folder)
    if request.strict:
        _refuse_skipped(folder)
    return folder


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked for, beside the source.

    Raises:
        UserError: a value is impossible.
    """

    input: AskedSize | None
    resize: Resize
    seed: int
    val: float
    test: float
    mirror: bool | None
    strict: bool
    workers: int | None

    def __post_init__(self) -> None:
        check_fractions(self.val, self.test)
        _check_numbers(self.input, self.seed, self.workers)

    def facts(self) -> dict[str, Any]:
        """Return what decides the folder, together with the content.

        What can be asked for since then shows only where it differs from what always was.
        """
        facts = {
            "format": FORMAT,
            "input": self.input,
            "seed": self.seed,
            "fractions": {"val": self.val, "test": self.test},
            "mirror": self.mirror,
        }
        return facts if self.resize == "crop" else {**facts, "resize": self.resize}


def _make(
    folder: Path,
    opened: Source,
    request: _Request,
    settings: Mapping[str, Any],
    progress: Progress | None,
) -> None:
    items = opened.items()
    if len(items.classes) < 2:
        raise DataError(
            f"{items.name} has one class, {items.classes[0]!r}; a network needs at least two to "
            "tell apart"
        )
    size = _size(items, request.input)
    split = assign(
        items.labels, items.fixed, classes=items.classes, seed=request.seed, val=request.val,
        test=request.test, groups=items.groups,
    )  # fmt: skip
    check_space(folder.parent.parent, len(items) * (int(np.prod(size)) + 8))
    with new_folder(folder) as partial:
        made = write(
            partial, items, split, size, resize=request.resize, strict=request.strict,
            workers=request.workers, progress=progress,
        )  # fmt: skip
        notes = [
            *items.notes,
            *resizing_note(items, size, request.resize, asked=request.input is not None),
            *_leak_note(leaks(split, items.groups)),
            *_balance_note(items),
            *alike_notes(items.classes),
            *made.notes,
        ]
        about = {"source": printable(opened.text), "digest": folder.name, "notes": notes}
        write_json(
            partial / "dataset.json",
            {**settings, **_facts(items, request, size, made), **about},
        )


def _facts(items: Items, request: _Request, size: Size, made: Made) -> dict[str, Any]:
    return {
        "name": items.name,
        "classes": items.classes,
        "input": size,
        "resize": request.resize,
        "why": items.why if request.input is None else "as asked for",
        "mirror": items.mirror if request.mirror is None else request.mirror,
        "splits": {name: sum(counts) for name, counts in made.counts.items()},
        "counts": made.counts,
        "mean": made.mean,
        "std": made.std,
        "skipped": {"count": len(made.bad), "files": made.bad[:_LISTED]},
    }


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


def _refuse_skipped(folder: Path) -> None:
    facts: dict[str, Any] = read_facts(folder)
    if facts["skipped"]["count"]:
        bad = named(facts["skipped"]["files"])
        raise DataError(f"{facts['name']}: bad image {bad}; mend or remove it (--strict)")


def _size(items: Items, asked: AskedSize | None) -> Size:
    """Return the size to prepare.

    Raises:
        DataError: the images can't be turned into the channels asked for.
    """
    if asked is None:
        return items.native
    own, able = items.native[2], sorted({1, 3, items.native[2]})
    size = (asked[0], asked[1], own if asked[2] is None else asked[2])
    if size[2] not in able:
        raise DataError(
            f"{items.name}: images with {counted(own, 'channel')} can't be turned into "
            f"{format_size(size)}; the channels may be {', '.join(map(str, able))}"
        )
    return size


def _resize(asked: str | None) -> Resize:
    known: tuple[Resize, ...] = get_args(Resize)
    for resize in known:
        if asked in {None, resize}:
            return resize
    raise UserError(f"resize is {asked!r}; wanted {' or '.join(known)}")


def _check_numbers(size: AskedSize | None, seed: int, workers: int | None) -> None:
    if size is not None and (len(size) != 3 or min(n for n in size if n is not None) < 1):
        raise UserError(f"an image size of {size} is impossible; wanted (height, width, channels)")
    if seed < 0:
        raise UserError(f"the seed is {seed}; wanted 0 or more")
    if workers is not None and workers < 1:
        raise UserError(f"{workers} decoding threads; wanted 1 or more")
