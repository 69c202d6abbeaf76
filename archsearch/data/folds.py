"""Other splits of the training and validation images, so that few of them do not decide who wins by chance.

Repeated stratified hold-out (Monte Carlo cross-validation): a fold has as many validation images of each
class as the first split. The test images are in none.
"""

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Dataset, Images, Labels, Split


def refolded(data: Dataset, fold: int) -> Dataset:
    """Return a dataset whose training and validation images are dealt anew; test images stay.

    Mean and standard deviation stay those of the first split, so that all networks see one input.

    Args:
        data: as it was prepared.
        fold: from 1, the same number being the same split; 0: as it was prepared.
    """
    if not fold:
        return data
    labels = np.concatenate([data.train.labels, data.val.labels])
    held = _held_out(data, labels, fold)
    train, val = (_taken(data, labels, np.flatnonzero(chosen)) for chosen in (~held, held))
    return replace(data, train=train, val=val)


def _taken(data: Dataset, labels: Labels, chosen: npt.NDArray[np.int64]) -> Split:
    """Return images by their places among those of training and, after them, validation."""
    first = len(data.train)
    images = np.empty((len(chosen), *data.input), np.uint8)
    early = int(np.searchsorted(chosen, first))
    # Straight to its place: a copy besides would be as large as the data.
    np.take(data.train.images, chosen[:early], axis=0, out=images[:early], mode="clip")
    np.take(data.val.images, chosen[early:] - first, axis=0, out=images[early:], mode="clip")
    return Split(images, labels[chosen])


def _held_out(data: Dataset, labels: Labels, fold: int) -> npt.NDArray[np.bool_]:
    """Return which of the training and validation images validate; copies of an image go together."""
    held = np.zeros(len(labels), bool)
    copies = np.array([*_digests(data.train.images), *_digests(data.val.images)])
    for label, quota in enumerate(np.bincount(data.val.labels, minlength=len(data.classes))):
        mine = np.flatnonzero(labels == label)
        if not len(mine):
            continue
        _, groups = np.unique(copies[mine], return_inverse=True)
        sizes, left = np.bincount(groups), int(quota)
        for group in np.random.default_rng([fold, label]).permutation(len(sizes)):
            if sizes[group] <= left:
                held[mine[groups == group]] = True
                left -= int(sizes[group])
    return held


def _digests(images: Images) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
