"""Which image trains, which validates, which tests: stratified and fixed by a seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from archsearch.data.class_names import plain_name
from archsearch.data.dataset import SPLITS, Labels
from archsearch.data.sources.items import FREE
from archsearch.errors import DataError, UserError
from archsearch.units import counted

TRAIN, VAL, TEST = range(len(SPLITS))


def assign(
    labels: Labels,
    fixed: npt.NDArray[np.int8],
    *,
    classes: Sequence[str],
    seed: int,
    val: float,
    test: float,
    groups: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int8]:
    """Give every image a split; published splits stay as they are.

    A split the source lacks is cut out of the FREE images, class by class: `val` or `test` of them, at
    least one image; the rest trains. A class's draw depends on the seed and the class's number alone.
    Images of one group go together, unless a class has fewer groups than there are splits to fill.

    Args:
        labels: (n,) class of each image.
        fixed: (n,) index into SPLITS, or FREE.
        classes: names, for messages.
        seed: of the draw.
        val: share of the FREE images that validate, in (0, 1).
        test: share of the FREE images that test, in (0, 1).
        groups: (n,) copies of one picture share a number.

    Returns:
        (n,) index into SPLITS.

    Raises:
        DataError: a class has too few images.
    """
    check_fractions(val, test)
    shares = {s: part for s, part in ((VAL, val), (TEST, test)) if not np.any(fixed == s)}
    split = fixed.copy()
    for label in range(len(classes)):
        free = np.flatnonzero((labels == label) & (fixed == FREE))
        if len(free) <= len(shares):
            raise _too_few(classes[label], len(free), shares, classes)
        _deal(split, _lumps_for(free, groups, shares, [seed, label]), shares)
    return split


def _lumps_for(
    free: npt.NDArray[np.intp],
    groups: npt.NDArray[np.int64] | None,
    shares: Mapping[int, float],
    seed: list[int],
) -> list[npt.NDArray[np.intp]]:
    """Put a class's images in random order, copies together unless they are too few lumps then."""
    lumps = _lumps(free, groups, np.random.default_rng(seed))
    return lumps if len(lumps) > len(shares) else _lumps(free, None, np.random.default_rng(seed))


def _deal(
    split: npt.NDArray[np.int8],
    lumps: list[npt.NDArray[np.intp]],
    shares: Mapping[int, float],
) -> None:
    """Give each split its share of a class's images, lump by lump; the rest trains."""
    images = np.concatenate(lumps)
    split[images] = TRAIN
    for number, (s, share) in enumerate(shares.items()):
        quota = max(1, round(share * len(images)))
        taken = 0
        # The last lump is for training, whatever the shares are.
        while taken < quota and len(lumps) > len(shares) - number:
            lump = lumps.pop(0)
            split[lump] = s
            taken += len(lump)


def _too_few(
    name: str, images: int, shares: Mapping[int, float], classes: Sequence[str]
) -> DataError:
    need = len(shares) + 1
    alike = [other for other in classes if other != name and plain_name(other) == plain_name(name)]
    hint = f"; {alike[0]!r} is another class, by its spelling" if alike else ""
    return DataError(
        f"class {name!r} has {counted(images, 'image')} to train on, and at least {need} are "
        f"needed for {_list([SPLITS[s] for s in (TRAIN, *shares)])}; add some or leave "
        f"the class out{hint}"
    )


def check_fractions(val: float, test: float) -> None:
    """Refuse shares that leave nothing for training.

    Raises:
        UserError: a share is not inside (0, 1), or both together leave no images.
    """
    if not (0 < val < 1 and 0 < test < 1 and val + test < 1):
        raise UserError(
            f"validation and test shares of {val:g} and {test:g} are impossible; "
            "both are above 0 and together below 1, as 0.15 and 0.15"
        )


def _lumps(
    free: npt.NDArray[np.intp], groups: npt.NDArray[np.int64] | None, rng: np.random.Generator
) -> list[npt.NDArray[np.intp]]:
    """Put the images in random order, copies of one picture together."""
    if groups is None:
        return list(rng.permutation(free)[:, None])
    order = free[np.argsort(groups[free], kind="stable")]
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    lumps = np.split(order, starts) if len(order) else []
    return [lumps[i] for i in rng.permutation(len(lumps))]


def leaks(split: npt.NDArray[np.int8], groups: npt.NDArray[np.int64] | None) -> int:
    """Count the pictures that are in more than one split, as copies of themselves."""
    if groups is None:
        return 0
    pairs = np.unique(np.stack([groups, split.astype(np.int64)]), axis=1)
    return int(np.sum(np.bincount(pairs[0]) > 1))


def _list(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
