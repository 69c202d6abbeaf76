"""A look at data before anything is trained: what is there, what is broken, what leaks."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.data.balance import imbalance
from archsearch.data.class_names import alike_notes
from archsearch.data.dataset import SPLITS, SplitName
from archsearch.data.prepared_files import narrow_note
from archsearch.data.resizing import resizing
from archsearch.data.sources.items import FREE, Items, Size, Source
from archsearch.data.sources.names import open_source
from archsearch.inspection.looking import Copies, Seen, equal_copies, look_at_all, near_copies
from archsearch.units import counted, printable

_LISTED = 50  # copies and bad files that a report names; all are counted
_SHOWN = 3  # of them in a table
_CLASSES = 10  # named in a table


@dataclass(frozen=True, slots=True)
class BadFile:
    """An image that can't be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        name: short name of the data.
        source: the data as the user named them.
        classes: class names.
        counts: per split, images per class; unpublished splits are still inside "train".
        published: the splits the source publishes.
        smallest: height and width of the image with the fewest pixels.
        median: median height and median width.
        largest: height and width of the image with the most pixels.
        shapes: how many different sizes there are.
        kinds: images per format and mode, as "JPEG RGB".
        input: the size prepared unless another is asked for (H, W, C).
        resizing: why that size, and what becomes of images of another shape.
        mirror: whether training mirrors images unless told otherwise.
        copies: pictures that are there more than once.
        near: pairs that are nearly one picture, of two published splits if there are such; None where
            there are too many images to compare all.
        grey: images stored in colour that are grey all over.
        bordered: images with a border of one colour along a side.
        bad: images that can't be used.
        misnamed: images whose name says another format than their content.
        notes: what else a person should hear.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    counts: Mapping[SplitName, tuple[int, ...]]
    published: tuple[SplitName, ...]
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    shapes: int
    kinds: Mapping[str, int]
    input: Size
    resizing: str
    mirror: bool
    copies: tuple[Copies, ...]
    near: tuple[Copies, ...] | None
    grey: int
    bordered: int
    bad: tuple[BadFile, ...]
    misnamed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def images(self) -> int:
        """All images, the bad ones too."""
        return sum(map(sum, self.counts.values()))

    @property
    def leaks(self) -> tuple[Copies, ...]:
        """Pictures that are in more than one published split."""
        return tuple(copies for copies in self.copies if len(copies.splits) > 1)

    @property
    def conflicts(self) -> tuple[Copies, ...]:
        """Pictures that are filed under more than one class."""
        return tuple(copies for copies in self.copies if len(copies.classes) > 1)

    @property
    def imbalance(self) -> float:
        """The largest class divided by the smallest, over all splits."""
        return imbalance([sum(column) for column in zip(*self.counts.values(), strict=True)])

    def rows(self) -> list[tuple[str, str]]:
        """List the findings as (what, finding) pairs, for a table."""
        rows = [
            ("images", f"{self.images:,} in {len(self.classes)} classes"),
            ("classes", self._classes()),
            ("splits", self._splits()),
            ("sizes", self._sizes()),
            ("kinds", ", ".join(f"{kind} {n:,}" for kind, n in self.kinds.items())),
            ("prepared at", self.resizing),
            ("mirrored in training", "yes" if self.mirror else "no"),
            ("largest / smallest class", f"{self.imbalance:.2f}"),
            ("copies", _found("pictures are there more than once", map(_equal, self.copies))),
            ("leaks", _found("pictures are in more than one split", map(_equal, self.leaks))),
            ("near-duplicates", self._near()),
            (
                "conflicts",
                _found("pictures are in more than one class", map(_equal, self.conflicts)),
            ),
            ("bad images", _found("", (f"{bad.name} ({bad.reason})" for bad in self.bad))),
            ("misnamed", _found("images are of another format than named", self.misnamed)),
            ("grey as colour", f"{self.grey:,}" if self.grey else "none"),
            ("plain borders", f"{self.bordered:,}" if self.bordered else "none"),
        ]
        return rows + [("note", note) for note in self.notes]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; long lists are cut, their lengths are in `*_count`."""
        return {
            "name": self.name,
            "source": self.source,
            "images": self.images,
            "classes": list(self.classes),
            "counts": {split: list(counts) for split, counts in self.counts.items()},
            "published": list(self.published),
            "sizes": {
                "smallest": list(self.smallest),
                "median": list(self.median),
                "largest": list(self.largest),
                "distinct": self.shapes,
            },
            "kinds": dict(self.kinds),
            "input": list(self.input),
            "resizing": self.resizing,
            "mirror": self.mirror,
            "imbalance": self.imbalance,
            "copies_count": len(self.copies),
            "leaks_count": len(self.leaks),
            "leaks": [_plain(copies) for copies in self.leaks[:_LISTED]],
            "near_count": None if self.near is None else len(self.near),
            "near": [_plain(copies) for copies in (self.near or ())[:_LISTED]],
            "conflicts_count": len(self.conflicts),
            "conflicts": [_plain(copies) for copies in self.conflicts[:_LISTED]],
            "bad_count": len(self.bad),
            "bad": [{"file": bad.name, "reason": bad.reason} for bad in self.bad[:_LISTED]],
            "misnamed_count": len(self.misnamed),
            "misnamed": list(self.misnamed[:_LISTED]),
            "grey_as_colour": self.grey,
            "plain_borders": self.bordered,
            "notes": list(self.notes),
        }

    def _classes(self) -> str:
        counts = [sum(column) for column in zip(*self.counts.values(), strict=True)]
        first = list(zip(self.classes, counts, strict=True))[:_CLASSES]
        text = ", ".join(f"{name} {count:,}" for name, count in first)
        more = len(counts) - len(first)
        return f"{text}, and {more:,} more" if more else text

    def _splits(self) -> str:
        if not self.published:
            return "none of its own: `run` sets images of every class aside"
        return ", ".join(f"{k} {sum(v):,}" for k, v in self.counts.items())

    def _near(self) -> str:
        if self.near is None:
            return "not looked for: too many images to compare all"
        where = "of two splits" if self.published else "that a split may part"
        return _found(f"pairs {where} are nearly one picture", map(_alike, self.near))

    def _sizes(self) -> str:
        if self.shapes == 1:
            return f"all {self.median[0]}x{self.median[1]}"
        return (
            f"{self.shapes:,} different, {self.smallest[0]}x{self.smallest[1]} to "
            f"{self.largest[0]}x{self.largest[1]}, median {self.median[0]}x{self.median[1]}"
        )


def inspect(
    source: str | Source,
    *,
    home: Path,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Decode every image of a source once and report what is there. Nothing is written.

    Args:
        source: what the user named (`open_source`), or a source already opened.
        home: where a source may keep what it fetched.
        workers: decoding threads; None takes one a CPU.
        progress: called with (images done, images in all).

    Raises:
        DataError: the source can't be read at all, or no image in it can.
    """
    opened = open_source(source, home=home) if isinstance(source, str) else source
    items = opened.items()
    seen = look_at_all(items, workers, progress)
    return _report(items, seen, printable(opened.text))


def _report(items: Items, seen: Sequence[Seen], source: str) -> Inspection:
    good = [one for one in seen if not one.reason]
    counts = _counts(items)
    return Inspection(
        name=items.name,
        source=source,
        classes=items.classes,
        counts=counts,
        published=tuple(s for i, s in enumerate(SPLITS) if np.any(items.fixed == i)),
        **_sizes(good, items),
        kinds=dict(Counter(one.kind for one in good).most_common()),
        input=items.native,
        resizing=resizing(items, items.native, "crop", asked=False),
        mirror=items.mirror,
        copies=equal_copies(items, seen),
        near=near_copies(items, seen),
        grey=sum(one.grey for one in good),
        bordered=sum(one.bordered for one in good),
        bad=tuple(BadFile(items.where(i), one.reason) for i, one in enumerate(seen) if one.reason),
        misnamed=tuple(items.where(i) for i, one in enumerate(seen) if not one.honest),
        notes=(*items.notes, *_notes(items, good, counts)),
    )


def _sizes(good: Sequence[Seen], items: Items) -> dict[str, Any]:
    """Return smallest, median, largest and number of the images' sizes."""
    sizes = np.array([one.shape for one in good] or [items.native[:2]])
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    return {
        "smallest": _pair(sizes[order[0]]),
        "median": _pair(np.median(sizes, axis=0)),
        "largest": _pair(sizes[order[-1]]),
        "shapes": len(np.unique(sizes, axis=0)),
    }


def _notes(
    items: Items, good: Sequence[Seen], counts: Mapping[SplitName, tuple[int, ...]]
) -> list[str]:
    """Say what is odd about the whole: classes that a split lacks, names, levels, colours."""
    notes = []
    for split, per_class in counts.items():
        missing = [name for name, n in zip(items.classes, per_class, strict=True) if not n]
        if missing:
            more = f" and {len(missing) - _CLASSES} more" if len(missing) > _CLASSES else ""
            notes.append(f"{split} has no image of: {', '.join(missing[:_CLASSES])}{more}")
    notes += alike_notes(items.classes)
    notes += narrow_note(
        min((s.low for s in good), default=0), max((s.high for s in good), default=0)
    )
    if several := sum(one.frames > 1 for one in good):
        held = "holds" if several == 1 else "hold"
        notes.append(f"{counted(several, 'file')} {held} more than one picture: the first is read")
    grey = sum(one.grey for one in good)
    if grey and grey == len(good) and items.native[2] == 3:
        height, width, _ = items.native
        notes.append(
            f"{counted(grey, 'image')} stored in colour, all grey: --input {height}x{width}x1 spares "
            "two channels"
        )
    return notes


def _equal(copies: Copies) -> str:
    return " = ".join(copies.names[:_SHOWN])


def _alike(copies: Copies) -> str:
    return " ~ ".join(copies.names)


def _found(what: str, which: Iterable[str]) -> str:
    """Return `none`, or how many and the first of them."""
    names = list(which)
    if not names:
        return "none"
    rest = len(names) - _SHOWN
    more = f"; and {rest:,} more" if rest > 0 else ""
    return (
        " ".join(filter(None, (f"{len(names):,}", what))) + f": {'; '.join(names[:_SHOWN])}{more}"
    )


def _counts(items: Items) -> dict[SplitName, tuple[int, ...]]:
    counts: dict[SplitName, tuple[int, ...]] = {}
    for number, name in enumerate(SPLITS):
        inside = items.fixed == number
        if name == "train":
            inside = inside | (items.fixed == FREE)
        if np.any(inside):
            per_class = np.bincount(items.labels[inside], minlength=len(items.classes))
            counts[name] = tuple(per_class.tolist())
    return counts


def _pair(size: Any) -> tuple[int, int]:
    return int(size[0]), int(size[1])


def _plain(copies: Copies) -> dict[str, Any]:
    return {
        "files": list(copies.names[:_LISTED]),
        "splits": list(copies.splits),
        "classes": list(copies.classes),
        "same": copies.same,
    }
