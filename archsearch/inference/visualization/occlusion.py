"""Where an image is covered and the class is lost: what the answer depends on (Zeiler & Fergus 2014, 4.2)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.inference.exported import Model

_SQUARES = 8  # a side, each half covered by the next
_BATCH = 64


def occlusion_map(model: Model, image: Images, number: int) -> npt.NDArray[Any]:
    """Return by how much a class loses where a square of the mean colour covers the image.

    The square is a quarter of a side and moves by an eighth.

    Args:
        model: that is asked, in any format.
        image: (height, width, channels), uint8.
        number: of the class.

    Returns:
        (height, width): the mean loss of probability over the squares that cover a pixel; less than 0
        where the class gains.
    """
    squares = list(_squares(image.shape[0], image.shape[1]))
    grey = np.clip(np.rint(model.facts.mean), 0, 255).astype(np.uint8)
    covered = np.repeat(image[None], len(squares) + 1, axis=0)
    for one, square in zip(covered[1:], squares, strict=True):
        one[square] = grey
    parts = [
        model.probabilities(covered[at : at + _BATCH], _BATCH)[:, number]
        for at in range(0, len(covered), _BATCH)
    ]
    whole, *left = np.concatenate(parts)
    loss, times = np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    for square, share in zip(squares, left, strict=True):
        loss[square] += whole - share
        times[square] += 1
    return loss / np.maximum(times, 1)


def _squares(height: int, width: int) -> list[tuple[slice, slice]]:
    def spans(side: int) -> list[slice]:
        step = max(1, side // _SQUARES)
        return [slice(max(0, at), at + 2 * step) for at in range(-step, side, step)]

    return [(rows, columns) for rows in spans(height) for columns in spans(width)]
