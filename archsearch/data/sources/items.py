"""What a source of images hands to `prepare`: labels, and a way to decode one image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images, Labels

Size = tuple[int, int, int]  # height, width, channels

FREE = -1  # in Items.fixed: the source leaves this image's split to us

# Below this no space's usual stem and stages fit, so smaller images are scaled up by default.
SMALLEST_SIDE_PX = 32

Resize = Literal["crop", "squash"]
"""Scaled to cover the size and cropped at the centre, or each side scaled by itself."""


class BadImageError(Exception):
    """One image that can't be used; the text is the reason, without the file's name."""


@dataclass(frozen=True, slots=True)
class Look:
    """An image as it lies there: its own pixels (H, W, C), a file's as RGB and upright.

    `kind` names format and mode, as "JPEG RGB", or says `array`; `honest` is false where the file's
    name says another format; `frames` are the pictures in the file, of which the first is read.
    """

    pixels: Images
    kind: str
    honest: bool = True
    frames: int = 1


class Decode(Protocol):
    """Gives one image of a source."""

    def __call__(self, index: int, size: Size, resize: Resize = "crop") -> Images:
        """Return the image as uint8 (H, W, C) of that size.

        Raises:
            BadImageError: it can't be used.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Every image of a source, in a fixed order.

    Attributes:
        name: short name of the data.
        classes: class names; a label is an index into them.
        labels: (n,) int64.
        fixed: (n,) the published split as an index into SPLITS, or FREE.
        native: the size to prepare when nobody asks for one (H, W, C).
        why: why that size.
        sizes: different sizes (height, width) among the images looked at, at most a few hundred.
        mirror: whether a mirrored image still belongs to its class.
        decode: an image as uint8 of a size. Called from many threads.
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
    why: str
    sizes: tuple[tuple[int, int], ...]
    mirror: bool
    decode: Decode
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


def array_size(shape: Size) -> tuple[Size, str]:
    """Choose the size to prepare images of one shape at, and say why."""
    size = at_least_smallest(shape)
    if size == shape:
        return size, "as the images are"
    return (
        size,
        f"the images are {shape[0]}x{shape[1]}, scaled up to a short side of {SMALLEST_SIDE_PX}",
    )


def at_least_smallest(size: Size) -> Size:
    """Scale the size up, if it must be, until its short side is SMALLEST_SIDE_PX."""
    height, width, channels = size
    short = min(height, width)
    if short >= SMALLEST_SIDE_PX:
        return size
    grow = SMALLEST_SIDE_PX / short
    return round(height * grow), round(width * grow), channels
