"""Looking at every image once: its pixels' digest, its size, and what is odd about it."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import SPLITS, Images, SplitName
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import FREE, BadImageError, Items, Look
from archsearch.inspection.near import Glance, glance, near_pairs

_STRETCH: Final = 256  # images given to the threads at a time
_FEW: Final = 4
_GRID: Final = 64  # places a side at which colours and borders are looked at
_GREY_APART: Final = 4  # of 255: what JPEG makes of equal channels
_PLAIN_APART: Final = 8  # of 255: what JPEG makes of a border of one colour
_BORDER: Final = 0.05  # of a side, from which on a border is worth counting


@dataclass(frozen=True, slots=True)
class Seen:
    """One image, decoded; or the reason it is bad.

    Attributes:
        pixels: digest of its pixels and size.
        shape: height and width.
        kind: format and mode.
        honest: whether its name says its format.
        frames: pictures in its file.
        grey: whether it is stored in colour and all its pixels are grey.
        bordered: whether a border of one colour lies along a side.
        low: its smallest value.
        high: its largest value.
        glance: what it looks like, for comparisons.
        reason: why it can't be used.
    """

    pixels: bytes = b""
    shape: tuple[int, int] = (0, 0)
    kind: str = ""
    honest: bool = True
    frames: int = 1
    grey: bool = False
    bordered: bool = False
    low: int = 255
    high: int = 0
    glance: Glance | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Copies:
    """Images that are one picture: the same bytes, different bytes with the same pixels, or nearly."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    same: Literal["bytes", "pixels", "nearly"]


def look_at_all(
    items: Items, workers: int | None, progress: Callable[[int, int], None] | None
) -> list[Seen]:
    """Decode every image once, in threads."""
    seen: list[Seen] = []
    for one in _looks(items, workers or os.cpu_count() or 1):
        seen.append(one)
        if progress:
            progress(len(seen), len(items))
    return seen


def equal_copies(items: Items, seen: Sequence[Seen]) -> tuple[Copies, ...]:
    """Find the pictures that are there more than once."""
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, one in enumerate(seen):
        if not one.reason:
            alike[one.pixels].append(index)
    found = []
    for members in alike.values():
        if len(members) > 1:
            groups = {int(items.groups[i]) for i in members} if items.groups is not None else {0}
            found.append(_copies(items, members, "bytes" if len(groups) == 1 else "pixels"))
    return tuple(found)


def near_copies(items: Items, seen: Sequence[Seen]) -> tuple[Copies, ...] | None:
    """Find pairs that are nearly one picture, in two published splits if there are such.

    None where there are too many images to compare all.
    """
    numbers: dict[bytes, int] = {}
    good = [(i, one.glance) for i, one in enumerate(seen) if one.glance is not None]
    same = [numbers.setdefault(seen[i].pixels, i) for i, _ in good]
    pairs = near_pairs(
        [look for _, look in good],
        items.fixed[[i for i, _ in good]],
        np.array(same, dtype=np.int64),
    )
    if pairs is None:
        return None
    return tuple(_copies(items, [good[i][0], good[j][0]], "nearly") for i, j in pairs)


def split_of(items: Items, index: int) -> SplitName:
    """Return the split of an image; one that is still free is inside "train"."""
    fixed = int(items.fixed[index])
    return "train" if fixed == FREE else SPLITS[fixed]


def _copies(
    items: Items, members: Sequence[int], same: Literal["bytes", "pixels", "nearly"]
) -> Copies:
    return Copies(
        names=tuple(items.where(i) for i in members),
        splits=tuple(sorted({split_of(items, i) for i in members})),
        classes=tuple(sorted({items.classes[items.labels[i]] for i in members})),
        same=same,
    )


def _looks(items: Items, workers: int) -> Iterator[Seen]:
    with pillow(), ThreadPoolExecutor(max_workers=workers) as pool:
        # A stretch at a time: map() would queue a million tasks at once.
        for start in range(0, len(items), _STRETCH):
            stretch = range(start, min(start + _STRETCH, len(items)))
            yield from pool.map(lambda index: _look(items, index), stretch)


def _look(items: Items, index: int) -> Seen:
    try:
        look = items.look(index)
    except BadImageError as error:
        return Seen(reason=str(error))
    pixels = look.pixels
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(f"{height}x{width}".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return Seen(
        pixels=digest.digest(),
        shape=(height, width),
        kind=look.kind,
        honest=look.honest,
        frames=look.frames,
        grey=_in_colour(look) and _is_grey(pixels),
        bordered=_is_bordered(pixels),
        low=int(pixels.min()),
        high=int(pixels.max()),
        glance=glance(pixels),
    )


def _in_colour(look: Look) -> bool:
    """Whether an image is stored in colour; a file of one channel comes as RGB too."""
    mode = look.kind.rpartition(" ")[2]
    return look.pixels.shape[2] >= 3 and mode not in {"L", "1", "LA"} and mode[:1] not in {"I", "F"}


def _is_grey(pixels: Images) -> bool:
    # Few places tell most colour images, which saves looking at all.
    return _all_grey(_grid(pixels, _FEW)) and _all_grey(_grid(pixels, _GRID))


def _all_grey(some: Images) -> bool:
    red, others = some[..., :1].astype(np.int16), some[..., 1:3]
    return int(np.abs(others - red).max()) <= _GREY_APART


def _is_bordered(pixels: Images) -> bool:
    """Whether more than 5 % of the rows or columns along a side are of one colour."""
    height, width = pixels.shape[:2]
    rows = pixels[:, :: max(1, width // _GRID)]
    columns = pixels[:: max(1, height // _GRID)].transpose(1, 0, 2)
    for lines in (rows, rows[::-1], columns, columns[::-1]):
        deep = int(_BORDER * len(lines)) + 1
        # A picture of one colour has no border.
        if _plain_lines(lines[:deep]).all() and not _plain_lines(lines).all():
            return True
    return False


def _plain_lines(lines: Images) -> npt.NDArray[np.bool_]:
    """Whether each line (lines, places, channels) is of one colour."""
    apart = lines.max(axis=1) - lines.min(axis=1)
    plain: npt.NDArray[np.bool_] = (apart <= _PLAIN_APART).all(axis=1)
    return plain


def _grid(pixels: Images, places: int) -> Images:
    height, width = pixels.shape[:2]
    return pixels[:: max(1, height // places), :: max(1, width // places)]
