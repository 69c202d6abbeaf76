"""Images changed as it was drawn: one description for all frameworks, and a quicker one for plain moves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.augmentation.maps import UNIT, Grid
from archsearch.augmentation.operations import SATURATION_UNIT
from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import WHOLE, Mix, Transforms
from archsearch.data.dataset import Images

_CACHED_BYTES = 200_000
_LUMA: Final = (19595, 38470, 7471)
"""What red, green and blue count in grey, in 1/65536: ITU-R BT.601, as in Pillow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """The few array operations that are not written alike in all frameworks.

    All numbers below are whole and less than 2²⁴, which float32 holds exactly: so the frameworks agree to the
    bit, in whatever order they add and multiply.

    Attributes:
        take: parts of an array along an axis, by their numbers, an array of any shape.
        floats, ints, bytes: as float32, as a whole number that counts pixels, as uint8.
        array: a list as float32.
        count: 0, 1, … n − 1 as whole numbers that count pixels.
        reshape, where, floor, stack: as NumPy has them.
        clip: values between two numbers.
    """

    take: Callable[[Any, Any, int], Any]
    floats: Callable[[Any], Any]
    ints: Callable[[Any], Any]
    bytes: Callable[[Any], Any]
    array: Callable[[Any], Any]
    count: Callable[[int], Any]
    reshape: Callable[[Any, tuple[int, ...]], Any]
    where: Callable[[Any, Any, Any], Any]
    floor: Callable[[Any], Any]
    stack: Callable[[list[Any], int], Any]
    clip: Callable[[Any, float, float], Any]


NUMPY: Final = Arrays(
    take=np.take,
    floats=lambda values: np.asarray(values, np.float32),
    ints=lambda values: np.asarray(values, np.intp),
    bytes=lambda values: np.asarray(values, np.uint8),
    array=lambda values: np.asarray(values, np.float32),
    count=np.arange,
    reshape=np.reshape,
    where=np.where,
    floor=np.floor,
    stack=np.stack,
    clip=np.clip,
)


def augment(images: Images, policy: Policy, transforms: Transforms) -> Images:
    """Change every image of a batch on its own, then mix them.

    Args:
        images: (n, H, W, C) uint8; not changed.
        policy: what may happen.
        transforms: what does happen.

    Returns:
        (n, H, W, C) uint8, an array of its own.
    """
    if transforms.grid is not None:
        changed = np.empty_like(images)
    else:
        changed = _shift(images, policy, transforms) if policy.pad_px else images.copy()
        _mirror(changed, np.flatnonzero(transforms.mirrored))
    # A few at a time, so that they stay in the processor's cache.
    step = max(1, _CACHED_BYTES // max(1, images[:1].size))
    for start in range(0, len(images), step) if _has_more(transforms) else ():
        some = slice(start, start + step)
        source = images[some] if transforms.grid is not None else changed[some]
        changed[some] = _changed(NUMPY, source, policy, transforms.part(some))
    mix = transforms.mix
    if mix is None or mix.share == 1:
        return changed
    mixed = np.empty_like(changed)
    for start in range(0, len(images), step):
        some = slice(start, start + step)
        mixed[some] = _mixed(NUMPY, changed[some], changed[mix.partner[some]], mix)
    return mixed


def transformed(
    to: Arrays, padded: Any, policy: Policy, transforms: Transforms, size: tuple[int, ...]
) -> Any:
    """Do what `augment` does, to the bit, on a device.

    Args:
        to: the framework's operations.
        padded: (n, H + 2·pad, W + 2·pad, C), as `padded_images` returns them, of whatever type can be taken.
        policy: what may happen.
        transforms: what does happen, its arrays on the device.
        size: (H, W, C).

    Returns:
        (n, H, W, C) uint8.
    """
    plain = transforms.grid is None
    images = _cropped(to, padded, transforms, size) if plain else padded
    if _has_more(transforms):
        images = _changed(to, images, policy, transforms)
    if transforms.mix is not None:
        partners = to.take(images, transforms.mix.partner, 0)
        images = _mixed(to, images, partners, transforms.mix)
    return to.bytes(images)


def paired(to: Arrays, labels: Any, transforms: Transforms) -> Any:
    """Return labels (n,); of a batch that may be mixed each image's own and its partner's, (n, 2)."""
    if transforms.mix is None:
        return labels
    return to.stack([labels, to.take(labels, transforms.mix.partner, 0)], 1)


def padded_images(images: Images, policy: Policy) -> Images:
    """Return the images with what appears at their edges, (n, H + 2·pad_px, W + 2·pad_px, C).

    Those that are scaled or turned are not padded: a grid says itself what lies outside.
    """
    if policy.maps or not policy.pad_px:
        return images
    return _padded(images, policy.pad_px, policy.fill)


def warped(to: Arrays, planes: Any, grid: Grid, fill: tuple[int, ...] | None) -> Any:
    """Return images (C, n, H, W), float32 whole numbers, with pixels from where a grid says.

    Between pixels by the four around (bilinear). More than half a pixel outside of the image is what fills;
    None repeats the edge.
    """
    channels, n, height, width = planes.shape
    x, y = (grid.across[:, i, None, :] + grid.down[:, i, :, None] for i in (0, 1))
    left, right, across = _neighbours(to, x, width)
    above, below, down = _neighbours(to, y, height)
    pixels = to.reshape(planes, (channels, n * height * width))
    begins = height * width * to.count(n)[:, None, None]

    def blend(rows: Any) -> Any:
        rows = begins + width * rows
        one, other = (to.floats(to.take(pixels, rows + columns, 1)) for columns in (left, right))
        return UNIT * one + across * (other - one)

    upper, lower = blend(above), blend(below)
    values = to.floor((UNIT * upper + down * (lower - upper) + UNIT * UNIT / 2) / (UNIT * UNIT))
    if fill is None:
        return values
    inside = _is_inside(x, width) & _is_inside(y, height)
    return to.where(inside, values, _channels(to, fill))


def _has_more(transforms: Transforms) -> bool:
    return any(
        part is not None
        for part in (transforms.grid, transforms.saturation, transforms.tables, transforms.holes)
    )


def _neighbours(to: Arrays, places: Any, side: int) -> tuple[Any, Any, Any]:
    """Return the pixels before and after places, and how far these are past the former, in 1/256."""
    places = to.clip(places, 0, UNIT * (side - 1))
    before = to.floor(places / UNIT)
    past = places - UNIT * before
    return to.ints(before), to.ints(to.clip(before + 1, 0, side - 1)), past


def _is_inside(places: Any, side: int) -> Any:
    return (places >= -UNIT / 2) & (places <= UNIT * (side - 1) + UNIT / 2)


def _cropped(to: Arrays, padded: Any, transforms: Transforms, size: tuple[int, ...]) -> Any:
    height, width, channels = size
    n, padded_height, padded_width = padded.shape[:3]
    columns = to.count(width)[None]
    columns = to.where(transforms.mirrored[:, None], width - 1 - columns, columns)
    columns = to.ints(transforms.left)[:, None] + columns
    rows = to.ints(transforms.top)[:, None] + to.count(height)[None]
    rows = rows + padded_height * to.count(n)[:, None]
    pixels = to.reshape(padded, (n * padded_height * padded_width, channels))
    return to.take(pixels, padded_width * rows[:, :, None] + columns[:, None, :], 0)


def _changed(to: Arrays, images: Any, policy: Policy, transforms: Transforms) -> Any:
    """Warp images (n, H, W, C), saturate them, look values up and paint over.

    A plane for each channel: what is said of pixels is then multiplied by long rows, on a processor several
    times as fast.
    """
    planes = to.stack([images[..., channel] for channel in range(images.shape[3])], 0)
    if transforms.grid is not None:
        planes = warped(to, planes, transforms.grid, policy.fill)
    if transforms.saturation is not None:
        planes = _saturated(to, to.floats(planes), transforms.saturation)
    if transforms.tables is not None:
        planes = _looked_up(to, planes, transforms.tables)
    if transforms.holes is not None:
        holes = transforms.holes[:, :, None]
        rows = _between(to, holes[:, 0], holes[:, 2], planes.shape[2])[:, :, None]
        columns = _between(to, holes[:, 1], holes[:, 3], planes.shape[3])[:, None, :]
        planes = to.where(rows & columns, _channels(to, policy.mean), to.floats(planes))
    planes = to.bytes(planes)
    return to.stack([planes[channel] for channel in range(planes.shape[0])], -1)


def _saturated(to: Arrays, planes: Any, saturation: Any) -> Any:
    """Multiply the distance of colours (3, n, H, W) from their grey."""
    red, green, blue = (planes[i] * share for i, share in enumerate(_LUMA))
    grey = to.floor((red + green + blue + 32768) / 65536)
    values = SATURATION_UNIT * grey + saturation[:, None, None] * (planes - grey)
    return to.clip(to.floor((values + SATURATION_UNIT / 2) / SATURATION_UNIT), 0, 255)


def _looked_up(to: Arrays, planes: Any, tables: Any) -> Any:
    n, channels, levels = tables.shape
    flat = to.reshape(tables, (n * channels * levels,))
    begins = levels * (channels * to.count(n)[None] + to.count(channels)[:, None])
    return to.take(flat, begins[:, :, None, None] + to.ints(planes), 0)


def _mixed(to: Arrays, images: Any, partners: Any, mix: Mix) -> Any:
    """Blend every image (n, H, W, C) with its partner inside of the box."""
    n, height, width, channels = images.shape
    own, other = (
        to.floats(to.reshape(each, (n, height, width * channels))) for each in (images, partners)
    )
    rows = _between(to, mix.box[0], mix.box[2], height)[:, None]
    columns = _between(to, channels * mix.box[1], channels * mix.box[3], width * channels)
    blended = to.floor((mix.weight * own + (WHOLE - mix.weight) * other + WHOLE / 2) / WHOLE)
    mixed = to.where(rows & columns, blended, own)
    return to.bytes(to.reshape(mixed, (n, height, width, channels)))


def _channels(to: Arrays, values: tuple[int, ...]) -> Any:
    return to.array(values)[:, None, None, None]


def _between(to: Arrays, begin: Any, end: Any, side: int) -> Any:
    places = to.floats(to.count(side))
    return (places >= begin) & (places < end)


def _shift(images: Images, policy: Policy, transforms: Transforms) -> Images:
    n, height, width, _ = images.shape
    padded = _padded(images, policy.pad_px, policy.fill)
    # Every crop there is, as a view (n, 2·pad + 1, 2·pad + 1, C, H, W); one gather copies n.
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    moved: Images = crops.transpose(0, 1, 2, 4, 5, 3)[np.arange(n), transforms.top, transforms.left]
    return moved


def _mirror(images: Images, chosen: npt.NDArray[np.intp]) -> None:
    """Turn the chosen images of a batch left to right, in place.

    A few at a time so that they stay in the processor's cache, and a channel at a time because
    NumPy reverses pixels of 3 bytes slowly: together 6 times as fast at 224×224.
    """
    step = max(1, _CACHED_BYTES // images[0].size) if len(chosen) else 1
    for start in range(0, len(chosen), step):
        some = chosen[start : start + step]
        copy = images[some]
        turned = np.empty_like(copy)
        for channel in range(images.shape[3]):
            turned[..., channel] = copy[:, :, ::-1, channel]
        images[some] = turned


def _padded(images: Images, pad: int, fill: tuple[int, ...] | None) -> Images:
    n, height, width, channels = images.shape
    padded = np.empty((n, height + 2 * pad, width + 2 * pad, channels), dtype=np.uint8)
    inner = slice(pad, -pad)
    if fill is not None:
        # Whole rows at once: 30 times as fast as broadcasting one pixel.
        row = np.tile(np.asarray(fill, dtype=np.uint8), width + 2 * pad)
        padded.reshape(n, height + 2 * pad, len(row))[:] = row
        padded[:, inner, inner] = images
        return padded
    padded[:, inner, inner] = images
    padded[:, inner, :pad] = images[:, :, :1]
    padded[:, inner, -pad:] = images[:, :, -1:]
    padded[:, :pad] = padded[:, pad : pad + 1]
    padded[:, -pad:] = padded[:, -pad - 1 : -pad]
    return padded
