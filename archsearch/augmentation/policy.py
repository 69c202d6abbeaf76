"""What may happen to training images: what a recipe asks for, fitted to a data set."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images

MOST_MAGNITUDE: Final = 30
"""Of RandAugment's operations: Cubuk et al. 2020 (arXiv:1909.13719), section 3."""
_SMALL_SCALE: Final = 8 / 7
"""The furthest that digits and the like are scaled up: three quarters of the image stay in sight."""
_LOOKED_AT: Final = 16_000_000  # values from which the axes of colour are computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """The parts of a recipe that say how training images differ from time to time."""

    shift: float | None = None
    """Share of the short side that images move by at most. None: 1/8 for photographs, 1/16 for digits
    and the like."""
    scale: tuple[float, ...] = (1.0, 1.0)
    """An image is scaled up by a factor drawn between these, and a random crop of its old size taken:
    Simonyan & Zisserman 2014 (arXiv:1409.1556), section 3.1."""
    crop_area: float = 1.0
    """Least share of the area of a random crop, its aspect between 3:4 and 4:3, that is scaled to the whole
    size: Szegedy et al. 2014 (arXiv:1409.4842), section 6, has 0.08."""
    pca_colour: float = 0.0
    """Standard deviation of the shifts along the principal axes of colour: Krizhevsky et al. 2012, section
    4.1, has 0.1."""
    randaugment: int = 0
    """Operations drawn for each image: N of Cubuk et al. 2020 (arXiv:1909.13719)."""
    magnitude: float = 9.0
    """How far each of them goes, 0 to 30: M of the same paper."""
    cutout: float = 0.0
    """Side of a square that is painted over, as a share of the short side: DeVries & Taylor 2017
    (arXiv:1708.04552) have 0.5 for CIFAR-10."""
    mixup: float = 0.0
    """Images are blended in pairs; the shares are drawn from Beta(α, α) with this α: Zhang et al. 2018
    (arXiv:1710.09412)."""
    cutmix: float = 0.0
    """A box of another image is pasted in; its area is drawn from Beta(α, α) with this α: Yun et al. 2019
    (arXiv:1905.04899). With both, each batch has one or the other."""
    mixed: float = 1.0
    """Share of the batches in which images are blended or pasted, where one of them is asked for."""

    @property
    def mixes(self) -> bool:
        """Whether an image may have the labels of two."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mixed > 0

    def checks(self) -> tuple[tuple[str, bool, str], ...]:
        """Say of each value what it is, whether it works, and what would."""
        low, high = self.scale if len(self.scale) == 2 else (0.0, 0.0)
        shares = "a share of the short side, in [0, 1)"
        return (
            (f"shift {self.shift}", self.shift is None or 0 <= self.shift < 1, shares),
            (
                f"scale {self.scale}",
                1 <= low <= high <= 8,
                "two factors from 1 to 8, the smaller one first",
            ),
            (f"crop area {self.crop_area}", 0 < self.crop_area <= 1, "a share, in (0, 1]"),
            (f"pca colour {self.pca_colour}", 0 <= self.pca_colour <= 1, "in [0, 1]"),
            (f"randaugment {self.randaugment}", 0 <= self.randaugment <= 8, "from 0 to 8"),
            (
                f"magnitude {self.magnitude}",
                0 <= self.magnitude <= MOST_MAGNITUDE,
                f"from 0 to {MOST_MAGNITUDE}",
            ),
            (f"cutout {self.cutout}", 0 <= self.cutout < 1, shares),
            (f"mixup {self.mixup}", 0 <= self.mixup < math.inf, "0 or more"),
            (f"cutmix {self.cutmix}", 0 <= self.cutmix < math.inf, "0 or more"),
            (f"mixed {self.mixed}", 0 <= self.mixed <= 1, "a share of the batches, in [0, 1]"),
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What may happen to the images of one data set.

    Attributes:
        pad_px: the image moves by up to this much up, down, left and right.
        mirror: half of the images are mirrored left to right; where none may be, all moves are small.
        fill: one value per channel for what comes into view; None repeats the edge pixels.
        mean: one value per channel for squares that are painted over; what contrast turns about.
        scale: factors between which an image is scaled up before it is cropped.
        crop_area: least share of the area of a crop that is scaled to the whole size.
        operations: RandAugment's, an image.
        strength: how far those go, 0 to 1.
        colours: whether images have colours that may be changed.
        axes: a row for each principal axis of colour: what one standard deviation along it adds to
            red, green and blue; empty: colours are not shifted.
        hole_px: side of a square that is painted over.
        mixup, cutmix: α of the shares in which images are blended, or pasted into each other.
        mixed: share of the batches in which they are.
    """

    pad_px: int
    mirror: bool
    fill: tuple[int, ...] | None = None
    mean: tuple[int, ...] = (0,)
    scale: tuple[float, ...] = (1.0, 1.0)
    crop_area: float = 1.0
    operations: int = 0
    strength: float = 0.0
    colours: bool = False
    axes: tuple[tuple[float, ...], ...] = ()
    hole_px: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    mixed: float = 1.0

    @property
    def maps(self) -> bool:
        """Whether images are scaled or turned, not only moved by whole pixels."""
        return self.scale != (1.0, 1.0) or self.crop_area < 1 or self.operations > 0

    @property
    def recolours(self) -> bool:
        """Whether values are changed by a table."""
        return self.operations > 0 or bool(self.axes)

    @property
    def mixes(self) -> bool:
        """Whether images are blended or pasted into each other."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mixed > 0


NO_AUGMENTATION = Policy(pad_px=0, mirror=False)


def policy_for(
    size: tuple[int, int, int],
    *,
    mirror: bool,
    mean: tuple[float, ...] | None = None,
    asked: Augmentation = Augmentation(),
    images: Images | None = None,
) -> Policy:
    """Fit what a recipe asks for to images of that size (H, W, C).

    Photographs (`mirror`) move by up to 1/8 of their short side, the pad and crop of He et al. 2015, section
    4.2, filled with the mean colour. Digits and the like are never mirrored, move by 1/16 and are scaled up
    by 1/7 at most: their place carries meaning. Grey images keep their colour.

    Args:
        size: of the images.
        mean: of each channel.
        mirror: whether a mirrored image still belongs to its class.
        asked: the recipe's.
        images: (n, H, W, C) uint8, for the axes of colour.
    """
    side = min(size[:2])
    middle = tuple(map(round, mean)) if mean else (0,) * size[2]
    most = math.inf if mirror else _SMALL_SCALE
    return Policy(
        pad_px=int(_shift(asked, mirror=mirror) * side),
        mirror=mirror,
        fill=middle if mirror else None,
        mean=middle,
        scale=tuple(min(factor, most) for factor in asked.scale),
        crop_area=asked.crop_area if mirror else max(asked.crop_area, _SMALL_SCALE**-2),
        operations=asked.randaugment,
        strength=asked.magnitude / MOST_MAGNITUDE if asked.randaugment else 0.0,
        colours=size[2] == 3,
        axes=_axes(images, asked.pca_colour),
        hole_px=round(asked.cutout * side),
        mixup=asked.mixup,
        cutmix=asked.cutmix,
        mixed=asked.mixed,
    )


def _shift(asked: Augmentation, *, mirror: bool) -> float:
    most = 1.0 if mirror else 1 / 16
    usual = 1 / 8 if mirror else 1 / 16
    return usual if asked.shift is None else min(asked.shift, most)


def _axes(images: Images | None, deviation: float) -> tuple[tuple[float, ...], ...]:
    """Return one standard deviation along each axis of colour; nothing where colours are not shifted."""
    if images is None or images.shape[3] != 3 or deviation == 0:
        return ()
    return tuple(map(tuple, (deviation * colour_axes(images)).tolist()))


def colour_axes(images: Images) -> npt.NDArray[np.float64]:
    """Return the principal axes of the colours of images (n, H, W, 3), each as long as its variance.

    A row an axis, for pixels of 0..255. Variances are those of pixels of 0..1, as everyone has them who
    shifts colours by Krizhevsky et al. 2012, section 4.1: the paper does not say.
    """
    step = max(1, -(-images.size // _LOOKED_AT))
    pixels = images[::step].reshape(-1, 3).astype(np.float64) / 255
    variances, axes = np.linalg.eigh(np.cov(pixels, rowvar=False))
    axes *= np.sign(axes.sum(axis=0))  # which of the two directions it is, libraries choose freely
    found: npt.NDArray[np.float64] = 255 * variances[:, None] * axes.T
    return found
