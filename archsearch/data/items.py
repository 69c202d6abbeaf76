"""What a source of images hands to `prepare`: labels, and a way to decode one image."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images, Labels

Size = tuple[int, int, int]  # height, width, channels

FREE = -1  # in Items.fixed: the source leaves this image's split to us

# Below this no space's usual stem and stages fit, so smaller images are scaled up by default.
SMALLEST_SIDE_PX = 32


class BadImageError(Exception):
    """One image that can't be used; the text is the reason, without the file's name."""


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
    groups: npt.NDArray[np.int64] | None = None
    notes: tuple[str, ...] = field(default=())

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
