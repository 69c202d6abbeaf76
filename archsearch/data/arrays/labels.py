"""Labels as people store them become class numbers: whole numbers, texts, bytes, one-hot rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.pairs import CLASS_NAMES, Pair
from archsearch.data.dataset import Labels
from archsearch.data.sources.items import FREE
from archsearch.errors import DataError
from archsearch.units import printable


def flat(y: npt.NDArray[Any], images: int, where: str, x: str) -> npt.NDArray[Any]:
    """Bring labels of so many images to (n,): from (n, 1), or from one-hot rows (n, classes).

    Raises:
        DataError: another shape, or rows that name no class or several.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.shape[0] == images and images:
        if y.dtype.kind in "buif" and np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1):
            hot: npt.NDArray[Any] = y.argmax(axis=1)
            return hot
        raise DataError(
            f"{where} has shape {y.shape} and is not one-hot; wanted one class number an image, as "
            "y.argmax(axis=1) gives it (several labels an image are not supported)"
        )
    if y.shape != (images,):
        raise DataError(
            f"{where} has shape {y.shape} for {images} images in {x}; wanted ({images},)"
        )
    return y


def number(
    labels: Sequence[npt.NDArray[Any]],
    pairs: Sequence[Pair],
    names: tuple[str, ...] | None,
    where: str,
) -> tuple[Labels, tuple[str, ...]]:
    """Give labels (n,) of every pair as class numbers one after the other, and the classes' names.

    Without `names`, a class is called by its label: 1..10 are ten classes as 0..9 are.

    Raises:
        DataError: labels of no kind that names a class, or some that no training image has.
    """
    if all(y.dtype.kind in "US" for y in labels):
        found, numbers = np.unique(np.concatenate([_texts(y) for y in labels]), return_inverse=True)
        return numbers.astype(np.int64), tuple(printable(str(name)) for name in found)
    keys = [f"{where}: {pair.labels}" for pair in pairs]
    whole = [_integers(y, key) for y, key in zip(labels, keys, strict=True)]
    trained = [y for y, pair in zip(whole, pairs, strict=True) if pair.split == FREE]
    present = np.arange(len(names)) if names else np.unique(np.concatenate(trained))
    for y, key in zip(whole, keys, strict=True):
        strange = y[~np.isin(y, present)]
        if len(strange):
            raise DataError(
                f"{key} holds label {strange[0]}; wanted {_listed(present)} "
                f"({'the class names given' if names else 'the labels of the training images'})"
            )
    numbers = np.searchsorted(present, np.concatenate(whole))
    return numbers.astype(np.int64), names or tuple(map(str, present.tolist()))


def class_names(arrays: Mapping[str, npt.NDArray[Any]], where: str) -> tuple[str, ...] | None:
    """Read the array that names the classes, if there is one.

    Raises:
        DataError: it is no list of texts, or names a class twice.
    """
    for key in CLASS_NAMES:
        if key in arrays:
            values = arrays[key]
            if values.dtype.kind not in "US" or values.ndim != 1 or not len(values):
                raise DataError(f"{where}: {key} must be a list of strings, one a class")
            names = tuple(printable(str(name)) for name in _texts(values).tolist())
            if len(set(names)) < len(names):
                raise DataError(f"{where}: {key} names a class twice")
            return names
    return None


def unfinite(x: npt.NDArray[Any]) -> int:
    """Count the values that are NaN or infinite."""
    return int(np.sum(~np.isfinite(x)))


def _texts(y: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
    if y.dtype.kind == "S":
        return np.array([value.decode("utf-8", "backslashreplace") for value in y.tolist()])
    return y


def _listed(present: npt.NDArray[Any]) -> str:
    low, high = int(present[0]), int(present[-1])
    if high - low + 1 == len(present):
        return f"{low}..{high}"
    some = ", ".join(map(str, present[:5].tolist()))
    return some if len(present) <= 5 else f"{some}, … ({len(present)} of them)"


def _integers(y: npt.NDArray[Any], where: str) -> Labels:
    if y.dtype.kind == "f":
        if not np.all(np.isfinite(y)):
            raise DataError(f"{where} holds {unfinite(y)} labels that are NaN or infinite")
        y = y.astype(np.float64)  # half precision knows no 2^53
        if np.any(y != np.floor(y)) or np.any(np.abs(y) > 2**53):
            raise DataError(f"{where} holds labels that are no whole numbers")
    elif y.dtype.kind not in "bui":
        raise DataError(f"{where} holds {y.dtype} values; labels are whole numbers or strings")
    elif y.dtype == np.uint64 and y.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where} holds label {y.max()}, which is no class number")
    return y.astype(np.int64)
