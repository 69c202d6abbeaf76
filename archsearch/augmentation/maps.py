"""Where each pixel of a changed image comes from: affine maps, and the grids that follow from them.

A map takes a pixel of the new image to a place in the old one, both measured in pixels from the image's
centre: (n, 2, 3), rows x and y, columns what x, y and 1 are multiplied by.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64]

UNIT: Final = 256
"""Steps a pixel in which places are counted. Whole numbers, so that all frameworks agree on them."""
_ASPECT: Final = 4 / 3  # of crops: Szegedy et al. 2014 (arXiv:1409.4842), section 6


class Grid(NamedTuple):
    """Places in the old image, in 1/256 of a pixel: the sum of what the column and the row say.

    Attributes:
        across: (n, 2, W) float32 whole numbers: x and y, by column.
        down: (n, 2, H) the same by row.
    """

    across: npt.NDArray[np.float32]
    down: npt.NDArray[np.float32]


def affine(
    n: int,
    *,
    xx: npt.ArrayLike = 1.0,
    xy: npt.ArrayLike = 0.0,
    x: npt.ArrayLike = 0.0,
    yx: npt.ArrayLike = 0.0,
    yy: npt.ArrayLike = 1.0,
    y: npt.ArrayLike = 0.0,
) -> Maps:
    """Return n maps to (xx·x + xy·y + x, yx·x + yy·y + y), the identity unless told otherwise."""
    maps = np.empty((n, 2, 3))
    for row, numbers in enumerate(((xx, xy, x), (yx, yy, y))):
        for column, number in enumerate(numbers):
            maps[:, row, column] = number
    return maps


def after(first: Maps, second: Maps) -> Maps:
    """Return the maps for images that are changed by `first`, and then by `second`.

    A pixel of the last image is taken to the one between, and from there to the first: what lies outside
    the one between is the first image where that goes on.
    """
    found = first[:, :, :2] @ second
    found[:, :, 2] += first[:, :, 2]
    return found


def grid_of(maps: Maps, size: tuple[int, int]) -> Grid:
    """Return where the pixels of images (H, W) come from."""
    height, width = size
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in size)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    across = maps[:, :, 0, None] * columns
    down = maps[:, :, 1, None] * rows + (maps[:, :, 2] + middle)[:, :, None]
    return Grid(*(np.rint(UNIT * places).astype(np.float32) for places in (across, down)))


def window(size: tuple[int, int], shares: Numbers, place: Numbers) -> Maps:
    """Return the maps that scale a window of an image to the whole size.

    Args:
        size: of the image, (H, W).
        shares: (n, 2) width and height of the window as shares of the image's.
        place: (n, 2) where it lies, across and down: 0 at the left and top, 1 at the right and bottom.
    """
    sides = np.array([size[1], size[0]])
    offsets = sides * (1 - shares) * (place - 0.5)
    return affine(len(shares), xx=shares[:, 0], x=offsets[:, 0], yy=shares[:, 1], y=offsets[:, 1])


def draw_windows(
    size: tuple[int, int],
    n: int,
    rng: np.random.Generator,
    *,
    scale: tuple[float, ...],
    area: float,
) -> Maps:
    """Draw n windows: by a factor that the image is scaled up by, then by their share of its area.

    A window that would be longer than the image is cut to it, where its authors draw another.
    """
    low, high = scale
    shares = np.ones((n, 2)) / rng.uniform(low, high, size=(n, 1))
    if area < 1:
        areas = rng.uniform(area, 1, size=n)
        aspects = np.exp(rng.uniform(-np.log(_ASPECT), np.log(_ASPECT), size=n))
        height, width = size
        wide = np.sqrt(areas * aspects * height / width)
        tall = np.sqrt(areas / aspects * width / height)
        shares *= np.minimum(1, np.stack([wide, tall], axis=1))
    return window(size, shares, rng.random((n, 2)))
