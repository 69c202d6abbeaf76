"""Ten-crop testing: what AlexNet answers is the mean over ten views of an image."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from archsearch.augmentation.apply import NUMPY, warped
from archsearch.augmentation.maps import grid_of, window
from archsearch.data.dataset import Images

CROP_SHARE: Final = 224 / 256
"""Of each side: Krizhevsky et al. 2012, section 4.1."""
_PLACES: Final = ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5))


def ten_crops(images: Images, *, mirror: bool) -> Iterator[Images]:
    """Give the four corners and the centre of images, and the same mirrored.

    Images are prepared at the size that networks take, so crops of 7/8 of a side are scaled up to that, as
    if the image had been prepared at 8/7 of it.

    Args:
        images: (n, H, W, C) uint8.
        mirror: whether a mirrored image still belongs to its class; otherwise there are five views.

    Yields:
        (n, H, W, C) uint8, ten times or five.
    """
    planes = np.ascontiguousarray(np.moveaxis(images, 3, 0))
    shares = np.full((len(images), 2), CROP_SHARE)
    for place in _PLACES:
        maps = window(images.shape[1:3], shares, np.full_like(shares, place))
        crop = warped(NUMPY, planes, grid_of(maps, images.shape[1:3]), None)
        view = np.ascontiguousarray(np.moveaxis(crop, 0, 3).astype(np.uint8))
        yield view
        if mirror:
            yield np.ascontiguousarray(view[:, :, ::-1])
