"""The units of a map that answer most strongly, and the patches of the images that drive them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.inference.visualization.inside import Inside

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """What drives a unit in one image.

    Attributes:
        image: its number.
        value: of the unit.
        back: the unit sent back to the image by the deconvnet, within the patch (h, w, channels).
        patch: the part of the image that reaches it (h, w, channels), uint8.
    """

    image: int
    value: float
    back: Array
    patch: Images


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A channel of a stage's last map, and the images that drive it most, the strongest first."""

    channel: int
    drives: tuple[Drive, ...]


def strongest_units(
    inside: Inside, images: Images, end: int, found: Array, *, units: int, examples: int
) -> tuple[Unit, ...]:
    """Return the channels of a map with the largest values, each with the images where it is largest.

    Args:
        inside: the network.
        images: (n, height, width, channels).
        end: the number of the stage's end.
        found: its maps of these images (n, height, width, channels).
        units: channels at most.
        examples: images a channel at most.
    """
    flat = found.reshape(len(found), -1, found.shape[-1])
    peaks = flat.max(axis=1)
    # Values of different channels are on different scales: what stands out of a channel's own counts.
    spread = flat.std(axis=(0, 1))
    standing = np.where(
        spread > 0, (peaks.max(axis=0) - flat.mean(axis=(0, 1))) / (spread + 1e-12), 0
    )
    channels = [int(c) for c in np.argsort(-standing, kind="stable") if peaks[:, c].max() > 0]
    made = []
    for channel in channels[:units]:
        best = [int(i) for i in np.argsort(-peaks[:, channel], kind="stable")[:examples]]
        best = [i for i in best if peaks[i, channel] > 0]
        places = [np.unravel_index(flat[i, :, channel].argmax(), found.shape[1:3]) for i in best]
        wanted = [(int(row), int(column), channel) for row, column in places]
        backs = inside.deconvolved(images[best], end, wanted)
        drives = [
            _drive(i, float(peaks[i, channel]), back, images[i])
            for i, back in zip(best, backs, strict=True)
        ]
        made.append(Unit(channel, tuple(drives)))
    return tuple(made)


def _drive(number: int, value: float, back: Array, image: Images) -> Drive:
    """Cut the smallest rectangle in which anything was sent back."""
    there = np.abs(back).max(axis=-1) > 0
    if not there.any():
        return Drive(number, value, back, image)
    rows, columns = (np.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return Drive(number, value, back[part], image[part])
