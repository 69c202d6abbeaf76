"""What a source of images hands to `prepare`: labels, and a way to decode one image."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images, Labels, SplitName

Size = tuple[int, int, int]  # height, width, channels

FREE = -1  # in Items.fixed: the source leaves this image's split to us

# Below this no space's usual stem and stages fit, so smaller images are scaled up by default.
SMALLEST_SIDE_PX = 32

_SPLIT_NAMES: Final[dict[str, SplitName]] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


class BadImageError(Exception):
    """One image that can't be used; the text is the reason, without the file's name."""


@dataclass(frozen=True, slots=True)
class Look:
    """An image as it lies there: its own pixels (H, W, C), a file's as RGB and upright.

    `kind` names format and mode, as "JPEG RGB", or says `array`; `honest` is false where the file's
    name says another format.
    """

    pixels: Images
    kind: str
    honest: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Every image of a source, in a fixed order.

    Attributes:
        name: short name of the data.
        classes: class names; a label is an index into them.
        labels: (n,) int64.
        fixed: (n,) the published split as an index into SPLITS, or FREE.
        native: the size to prepare when nobody asks for one (H, W, C).
        mirror: whether a mirrored image still belongs to its class.
        decode: (index, size) → uint8 (H, W, C); raises BadImageError. Called from many threads.
        where: index → what messages call that image.
        look: index → the image at its own size; raises BadImageError. Called from many threads.
        groups: (n,) images of one group (copies of each other) never part into two splits.
        notes: what a person should hear about the data.
    """

    name: str
    classes: tuple[str, ...]
    labels: Labels
    fixed: npt.NDArray[np.int8]
    native: Size
    mirror: bool
    decode: Callable[[int, Size], Images]
    where: Callable[[int], str]
    look: Callable[[int], Look]
    groups: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


class Source(Protocol):
    """Where images come from: `content` is asked first, `items` only if nothing is prepared."""

    @property
    def text(self) -> str:
        """The source as the user named it."""

    def content(self) -> str:
        """Digest everything that decides what `items` gives.

        Raises:
            DataError: the source can't be read at all.
        """

    def stamp(self) -> str | None:
        """Say cheaply whether anything changed since last time; None if there is no cheap way.

        Raises:
            DataError: the source can't be read at all.
        """

    def items(self) -> Items:
        """Find the images.

        Raises:
            DataError: there are none, or labels and images do not fit.
        """


def show(name: str | os.PathLike[str]) -> str:
    """Write a file or class name as one printable line; bytes that are no text are escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def at_least_smallest(size: Size) -> Size:
    """Scale the size up, if it must be, until its short side is SMALLEST_SIDE_PX."""
    height, width, channels = size
    short = min(height, width)
    if short >= SMALLEST_SIDE_PX:
        return size
    grow = SMALLEST_SIDE_PX / short
    return round(height * grow), round(width * grow), channels


def split_named(name: str) -> SplitName | None:
    """Find the split a folder or a table means by a name; None if it means none."""
    return _SPLIT_NAMES.get(name.strip().lower())
