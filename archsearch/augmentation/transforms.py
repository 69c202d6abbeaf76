"""What happens to each image of a batch, drawn by a policy: arrays that a device can be sent."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from archsearch.augmentation.maps import Grid, affine, after, draw_windows, grid_of
from archsearch.augmentation.operations import Operations, draw_operations
from archsearch.augmentation.policy import Policy

WHOLE: int = 256
"""The weight of an image that is not blended."""


class Mix(NamedTuple):
    """How the images of a batch are blended or pasted into each other.

    Attributes:
        partner: (n,) the number in the batch of each image's other one.
        box: (4,) float32: top, left, bottom and right of where the other one is seen.
        weight: () float32 of the image itself in that box, in 1/256.
        share: () float32 of its own label in the loss.
    """

    partner: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    share: npt.NDArray[np.float32]


class Transforms(NamedTuple):
    """What happens to each of n images; None for what a policy never does.

    Attributes:
        top, left: (n,) where the crop begins in the padded image, 0..2·pad_px.
        mirrored: (n,) whether it is mirrored.
        grid: where its pixels come from in the image that is not padded; the three above are in it.
        saturation: (n,) float32 in 1/256.
        tables: (n, C, 256) uint8: what each value becomes.
        holes: (n, 4) float32: top, left, bottom and right of what is painted over.
        mix: how the batch is mixed.
    """

    top: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    mirrored: npt.NDArray[np.bool_]
    grid: Grid | None = None
    saturation: npt.NDArray[np.float32] | None = None
    tables: npt.NDArray[np.uint8] | None = None
    holes: npt.NDArray[np.float32] | None = None
    mix: Mix | None = None

    @property
    def share(self) -> float:
        """The share of an image's own label in the loss."""
        return 1.0 if self.mix is None else float(self.mix.share)

    def sent(self, send: Callable[[Any], Any]) -> "Transforms":
        """Return the same with every array sent somewhere."""
        parts: dict[str, Any] = {}
        for name, value in self._asdict().items():
            if isinstance(value, Grid | Mix):
                parts[name] = type(value)(*map(send, value))
            else:
                parts[name] = None if value is None else send(value)
        return Transforms(**parts)

    def part(self, some: slice) -> "Transforms":
        """Return what happens to some of the images, mixing aside."""
        return self._replace(mix=None).sent(lambda array: array[some])


def draw(policy: Policy, size: tuple[int, ...], n: int, rng: np.random.Generator) -> Transforms:
    """Draw what happens to n images (H, W, C); the same generator state draws the same."""
    top, left = (
        rng.integers(0, 2 * policy.pad_px + 1, size=(2, n)) if policy.pad_px else np.full((2, n), 0)
    )
    mirrored = rng.random(n) < 0.5 if policy.mirror else np.zeros(n, np.bool_)
    found = Transforms(top, left, mirrored)
    sides = (size[0], size[1])
    operations = draw_operations(policy, sides, n, rng) if policy.operations else None
    if policy.maps:
        grid = _grid(policy, sides, found, operations, rng)
        found = found._replace(grid=grid)
    if policy.recolours:
        found = found._replace(tables=_tables(policy, size[2], n, operations, rng))
    if operations is not None and policy.colours:
        found = found._replace(saturation=operations.saturation.astype(np.float32))
    if policy.hole_px:
        found = found._replace(holes=_holes(policy.hole_px, sides, n, rng))
    return found._replace(mix=_mix(policy, sides, n, rng)) if policy.mixes else found


def _grid(
    policy: Policy,
    size: tuple[int, int],
    moves: Transforms,
    operations: Operations | None,
    rng: np.random.Generator,
) -> Grid:
    """Gather all moves: the window of the image, shifted and mirrored, then the operations."""
    n = len(moves.top)
    maps = draw_windows(size, n, rng, scale=policy.scale, area=policy.crop_area)
    maps[:, 0, 2] += moves.left - policy.pad_px
    maps[:, 1, 2] += moves.top - policy.pad_px
    maps = after(maps, affine(n, xx=np.where(moves.mirrored, -1.0, 1.0)))
    return grid_of(maps if operations is None else after(maps, operations.maps), size)


def _tables(
    policy: Policy,
    channels: int,
    n: int,
    operations: Operations | None,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    tables = np.arange(256.0)[None] if operations is None else operations.tables
    tables = np.broadcast_to(tables[:, None], (n, channels, 256))
    if policy.axes:
        offsets = rng.standard_normal((n, len(policy.axes))) @ np.array(policy.axes)
        tables = tables + np.rint(offsets)[:, :, None]
    found: npt.NDArray[np.uint8] = np.clip(tables, 0, 255).astype(np.uint8)
    return found


def _boxes(
    sides: tuple[int, int], middles: npt.NDArray[np.int64], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return boxes of these sides about these pixels (k, 2), cut at the image's edges: (k, 4)."""
    begins = middles - np.array(sides) // 2
    ends = begins + np.array(sides)
    return np.concatenate([np.maximum(0, begins), np.minimum(size, ends)], axis=1).astype(
        np.float32
    )


def _holes(
    side: int, size: tuple[int, int], n: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    # Anywhere, also partly outside: DeVries & Taylor 2017, section 3.
    return _boxes((side, side), rng.integers(0, size, size=(n, 2)), size)


def _mix(policy: Policy, size: tuple[int, int], n: int, rng: np.random.Generator) -> Mix:
    partner, whether, which = rng.permutation(n), rng.random(), rng.random()
    blends = policy.mixup > 0 and (policy.cutmix == 0 or which < 0.5)
    alpha = policy.mixup if blends else policy.cutmix
    share, middle = rng.beta(alpha, alpha), rng.integers(0, size, size=(1, 2))
    box, weight = np.array([0, 0, *size], np.float32), WHOLE
    if whether >= policy.mixed:
        share = 1.0
    elif blends:
        weight = round(WHOLE * share)
        share = weight / WHOLE
    else:
        side = np.sqrt(1 - share)  # section 3.1
        (box,) = _boxes((int(size[0] * side), int(size[1] * side)), middle, size)
        weight = 0
        share = 1 - (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])
    numbers = (np.float32(weight), np.float32(share))
    return Mix(partner, box, *(np.asarray(number) for number in numbers))
