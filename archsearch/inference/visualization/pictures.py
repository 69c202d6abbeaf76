"""Images, maps over images, signals and filters as pictures."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from archsearch.data.dataset import Images

Array = npt.NDArray[Any]
LEAST_PX: Final = 160
"""The side that small images are drawn at, at least: in whole multiples, so that pixels stay squares."""
_GAP_PX: Final = 2
_OVER: Final = 0.55  # of a map laid over an image
_PERCENTILE: Final = (
    99.5  # of a signal's sizes, which becomes black or white: single ones are far off
)


def picture(image: Images) -> Image.Image:
    """Return an image (height, width, 1 or 3), enlarged where it is small."""
    return _enlarged(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image[..., :3]))


def overlay(image: Images, found: Array) -> Image.Image:
    """Lay a map (h, w) over an image: from nothing, dark blue, to its largest value, yellow.

    The map is scaled to the image between its pixels' centres, and by its own largest value.
    """
    from matplotlib import colormaps

    base = picture(image).convert("RGB")
    top = float(found.max())
    share = np.maximum(found, 0) / top if top > 0 else np.zeros_like(found)
    grown = Image.fromarray(share.astype(np.float32)).resize(base.size, Image.Resampling.BILINEAR)
    colours = colormaps["viridis"](np.asarray(grown))[..., :3]
    return Image.blend(base, Image.fromarray((255 * colours).astype(np.uint8)), _OVER)


def signal(back: Array) -> Image.Image:
    """Return what was sent back (h, w, channels): grey is nothing, lighter more, darker less."""
    return _enlarged(_signed(back, float(np.percentile(np.abs(back), _PERCENTILE)) or 1.0))


def pairs(found: Sequence[tuple[Images, Array]]) -> Image.Image:
    """Return patches side by side, and under each what was sent back to it."""
    columns = [(picture(patch), signal(back)) for patch, back in found]
    widths = [max(one.width for one in column) for column in columns]
    above, below = (max(column[row].height for column in columns) for row in (0, 1))
    size = (sum(widths) + _GAP_PX * (len(columns) - 1), above + _GAP_PX + below)
    sheet = Image.new("RGB", size, "white")
    left = 0
    for (patch, back), width in zip(columns, widths, strict=True):
        sheet.paste(patch.convert("RGB"), (left, 0))
        sheet.paste(back.convert("RGB"), (left, above + _GAP_PX))
        left += width + _GAP_PX
    return sheet


def filters(kernel: Array) -> Image.Image:
    """Return the filters (h, w, channels, count) on one sheet, each scaled by its own largest weight.

    Filters of 1 or 3 channels are shown as they look at them, others by the mean over channels.
    """
    height, width, channels, count = kernel.shape
    if channels not in (1, 3):
        kernel = kernel.mean(axis=2, keepdims=True)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(2, LEAST_PX // 4 // max(height, width))
    step = (height * scale + _GAP_PX, width * scale + _GAP_PX)
    sheet = Image.new("RGB", (columns * step[1] + _GAP_PX, rows * step[0] + _GAP_PX), "white")
    for number in range(count):
        one = kernel[..., number]
        shown = _signed(one, float(np.abs(one).max()) or 1.0).convert("RGB")
        place = (number % columns * step[1] + _GAP_PX, number // columns * step[0] + _GAP_PX)
        size = (width * scale, height * scale)
        sheet.paste(shown.resize(size, Image.Resampling.NEAREST), place)
    return sheet


def _signed(values: Array, most: float) -> Image.Image:
    levels = np.clip(127.5 + 127.5 * values / most, 0, 255).astype(np.uint8)
    if levels.shape[-1] == 3:
        return Image.fromarray(levels)
    return Image.fromarray(levels if levels.ndim == 2 else levels[..., 0])


def _enlarged(image: Image.Image) -> Image.Image:
    times = math.ceil(LEAST_PX / max(image.size))
    size = (image.width * times, image.height * times)
    return image.resize(size, Image.Resampling.NEAREST) if times > 1 else image
