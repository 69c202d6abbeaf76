"""RandAugment's operations (Cubuk et al. 2020, arXiv:1909.13719): as maps, tables and saturations.

Eleven of the paper's fourteen: those that equalize, stretch or sharpen an image go by what is in it, and are
left out. Ranges are those of AutoAugment for CIFAR-10 (Cubuk et al. 2019, arXiv:1805.09501, table 6).
What an image goes through is gathered: all moves are one map, then comes the saturation, then all tables in
the order drawn.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from archsearch.augmentation.maps import Maps, Numbers, affine, after
from archsearch.augmentation.policy import Policy

Tables = npt.NDArray[np.float64]
"""(n, 256) what each value of an image becomes."""

_MOST: Final = {"rotate": 30.0, "shear": 0.3, "translate": 10 / 32}
"""Degrees, pixels a pixel, and share of the side, at the largest magnitude."""
_MOST_SMALL: Final = {"rotate": 15.0, "shear": 0.15, "translate": 1 / 16}
"""The same for digits and the like."""
_BLEND: Final = 0.9
"""Brightness, contrast and saturation are multiplied by 1 ± so much."""
_BITS: Final = 4
"""Posterizing drops so many of eight."""
SATURATION_UNIT: Final = 256
_LEVELS: Final = np.arange(256.0)


class Operations(NamedTuple):
    """What n images go through.

    Attributes:
        maps: (n, 2, 3), see archsearch.augmentation.maps.
        saturation: (n,) in 1/256; 256 leaves colours as they are.
        tables: (n, 256) what each value becomes.
    """

    maps: Maps
    saturation: Numbers
    tables: Tables


def rotated(n: int, degrees: Numbers) -> Maps:
    """Turn images anticlockwise about their centre."""
    angle = np.deg2rad(degrees)
    sine, cosine = np.sin(angle), np.cos(angle)
    return affine(n, xx=cosine, xy=-sine, yx=sine, yy=cosine)


def brightened(tables: Tables, factor: Numbers, middle: float) -> Tables:
    """Multiply all values."""
    return tables * factor[:, None]


def contrasted(tables: Tables, factor: Numbers, middle: float) -> Tables:
    """Multiply all distances from the data set's mean."""
    return middle + (tables - middle) * factor[:, None]


def posterized(tables: Tables, strength: float) -> Tables:
    """Drop up to four of the eight bits."""
    step = 2.0 ** round(_BITS * strength)
    return np.floor(tables / step) * step


def solarized(tables: Tables, strength: float) -> Tables:
    """Invert the brightest values; with the largest strength all."""
    return np.where(tables >= 256 * (1 - strength), 255 - tables, tables)


_BLENDS: Final[dict[str, Callable[[Tables, Numbers, float], Tables]]] = {
    "brightness": brightened,
    "contrast": contrasted,
}
_CUTS: Final[dict[str, Callable[[Tables, float], Tables]]] = {
    "posterize": posterized,
    "solarize": solarized,
}


def names_for(policy: Policy) -> tuple[str, ...]:
    """List the operations that suit a policy: no colour in grey images, no digits inverted."""
    names = ["identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y"]
    names += ["brightness", "contrast", "posterize"]
    names += ["solarize"] * policy.mirror + ["saturation"] * policy.colours
    return tuple(names)


def draw_operations(
    policy: Policy, size: tuple[int, int], n: int, rng: np.random.Generator
) -> Operations:
    """Draw operations and their signs for n images of that size (H, W)."""
    names = names_for(policy)
    shape = (policy.operations, n)
    drawn, signs = rng.integers(len(names), size=shape), rng.choice([-1.0, 1.0], size=shape)
    maps, tables = affine(n), np.tile(_LEVELS, (n, 1))
    saturation = np.ones(n)
    for number, sign in zip(drawn, signs, strict=True):
        chosen = {name: number == index for index, name in enumerate(names)}
        factor = 1 + _BLEND * policy.strength * sign
        maps = after(maps, _moves(policy, size, chosen, sign))
        tables = _toned(policy, tables, chosen, factor)
        if policy.colours:
            saturation = np.where(chosen["saturation"], saturation * factor, saturation)
    return Operations(maps, np.rint(SATURATION_UNIT * saturation), tables)


def _moves(
    policy: Policy,
    size: tuple[int, int],
    chosen: dict[str, npt.NDArray[np.bool_]],
    sign: Numbers,
) -> Maps:
    """Return the maps of the images for which a move was drawn, and identities for the others."""
    most = _MOST if policy.mirror else _MOST_SMALL
    far = policy.strength * sign
    height, width = size
    maps = rotated(len(sign), most["rotate"] * far * chosen["rotate"])
    maps[:, 0, 1] += most["shear"] * far * chosen["shear_x"]
    maps[:, 1, 0] += most["shear"] * far * chosen["shear_y"]
    maps[:, 0, 2] += most["translate"] * width * far * chosen["translate_x"]
    maps[:, 1, 2] += most["translate"] * height * far * chosen["translate_y"]
    return maps


def _toned(
    policy: Policy, tables: Tables, chosen: dict[str, npt.NDArray[np.bool_]], factor: Numbers
) -> Tables:
    middle = float(np.mean(policy.mean))
    for name, blend in _BLENDS.items():
        blended = np.clip(np.rint(blend(tables, factor, middle)), 0, 255)
        tables = np.where(chosen[name][:, None], blended, tables)
    for name, cut in _CUTS.items():
        if name in chosen:
            tables = np.where(chosen[name][:, None], cut(tables, policy.strength), tables)
    return tables
