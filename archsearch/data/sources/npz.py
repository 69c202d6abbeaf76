"""An `.npz` file: `x_train, y_train[, x_test, y_test]` (or `x, y`), uint8 or float."""

import hashlib
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import SPLITS, Images, Labels
from archsearch.data.sources.decode import fit_array
from archsearch.data.sources.items import FREE, Items, Look, at_least_smallest, show
from archsearch.errors import DataError

_WANTED: Final = (
    "x_train and y_train (with x_val, y_val, x_test, y_test where there are such), or x and y"
)
# (images, labels, split) of each pair; a pair without a split of its own is divided by us.
_PAIRS: Final = (
    ("x", "y", FREE),
    ("x_train", "y_train", FREE),
    ("x_val", "y_val", SPLITS.index("val")),
    ("x_test", "y_test", SPLITS.index("test")),
)
_NAMES: Final = ("classes", "class_names")
_KINDS: Final = {"b": "flags", "u": "integers", "i": "integers", "f": "floats"}


class Npz:
    """Arrays in an .npz file. Pickled objects in it are refused, never loaded."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        self.text = text or str(path)
        self._path = path
        self._name = name or show(path.stem)
        self._where = show(path)

    def content(self) -> str:
        """Digest the file (SHA-256)."""
        try:
            with self._path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{self._where} can't be read: {error.strerror}") from error

    def stamp(self) -> str | None:
        """Give none: the content itself is cheap to digest."""
        return None

    def items(self) -> Items:
        """Read the arrays and check everything about them.

        Raises:
            DataError: no .npz file, or its arrays are missing, malformed or do not fit together.
        """
        return array_items(read_npz(self._path), name=self._name, where=self._where)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz file that a data set is made of; others are left alone.

    Raises:
        DataError: it is no .npz file, holds pickled objects, or would fill the memory.
    """
    where = show(path)
    known = {key for pair in _PAIRS for key in pair[:2]} | set(_NAMES)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.removesuffix(".npy") in known
            }
            _check_memory(sum(info.file_size for info in members.values()), where)
            return {key: _read(archive, info, where) for key, info in members.items()}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where} is no readable .npz file: {reason}") from error


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> npt.NDArray[Any]:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        head = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = head(file)
    key = info.filename.removesuffix(".npy")
    if dtype.hasobject:
        raise DataError(
            f"{where}: {key} holds pickled Python objects, which can run code when read; save it "
            "as a plain array (uint8 or float images, integer labels)"
        )
    if math.prod(shape) * dtype.itemsize > info.file_size:
        raise DataError(f"{where}: {key} is shorter than its header says")
    with archive.open(info) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _check_memory(need_bytes: int, where: str) -> None:
    import psutil

    free_bytes = psutil.virtual_memory().available
    if need_bytes > 0.8 * free_bytes:
        raise DataError(
            f"{where} unpacks to {need_bytes / 1e6:,.0f} MB and {free_bytes / 1e6:,.0f} MB of "
            "memory are free; save the images as a folder, which is streamed"
        )


def array_items(arrays: Mapping[str, npt.NDArray[Any]], *, name: str, where: str) -> Items:
    """Items from arrays named as in an .npz file.

    Raises:
        DataError: an array is missing, malformed, or does not fit the others.
    """
    pairs = _find_pairs(arrays, where)
    names = _class_names(arrays, where)
    images, labels, fixed = [], [], []
    # The first pair of a kind (training before the rest) decides what such numbers mean.
    scales: dict[str, float] = {}
    for x, y, split in pairs:
        raw = _as_nhwc(arrays[x], f"{where}: {x}")
        own = _scale(raw, f"{where}: {x}")
        scale = scales.setdefault(_KINDS[raw.dtype.kind], own)
        if own > scale and raw.any():
            raise DataError(
                f"{where}: {x} runs up to {float(raw.max()):g} only, other floats here up to 255; "
                "write both in one scale"
            )
        images.append(_as_uint8(raw, scale, f"{where}: {x}"))
        labels.append(_flat(arrays[y], len(raw), f"{where}: {y}", x))
        fixed.append(np.full(len(raw), split, dtype=np.int8))
        if images[-1].shape[1:] != images[0].shape[1:]:
            raise DataError(
                f"{where}: {x} holds images {images[-1].shape[1:]} and {pairs[0][0]} "
                f"{images[0].shape[1:]}; all must have one shape"
            )
    numbers, classes = _number(labels, [pair[1] for pair in pairs], names, where)
    starts = np.cumsum([0, *map(len, images)])

    def find(index: int) -> tuple[int, int]:
        part = int(np.searchsorted(starts, index, side="right")) - 1
        return part, index - int(starts[part])

    def pixels(index: int) -> Images:
        part, inside = find(index)
        image: Images = images[part][inside]
        return image

    def place(index: int) -> str:
        part, inside = find(index)
        return f"{pairs[part][0]}[{inside}]"

    height, width, channels = images[0].shape[1:]
    return Items(
        name=name,
        classes=classes,
        labels=numbers,
        fixed=np.concatenate(fixed),
        native=at_least_smallest((height, width, channels)),
        # Grey arrays are mostly digits and letters; a mirrored 2 is no 2.
        mirror=channels >= 3,
        decode=lambda index, size: fit_array(pixels(index), size),
        where=place,
        look=lambda index: Look(pixels(index), "array"),
    )


def _find_pairs(arrays: Mapping[str, npt.NDArray[Any]], where: str) -> list[tuple[str, str, int]]:
    pairs = [pair for pair in _PAIRS if pair[0] in arrays or pair[1] in arrays]
    found = ", ".join(arrays) or "no such array"
    for x, y, _ in pairs:
        missing = [key for key in (x, y) if key not in arrays]
        if missing:
            raise DataError(f"{where}: {missing[0]} is missing (found {found}); wanted {_WANTED}")
    if not any(split == FREE for _, _, split in pairs):
        raise DataError(f"{where}: no training images (found {found}); wanted {_WANTED}")
    if {"x", "x_train"} <= {x for x, _, _ in pairs}:
        raise DataError(f"{where} holds both x and x_train; wanted {_WANTED}")
    return pairs


def _as_nhwc(x: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if x.dtype.kind not in _KINDS:
        raise DataError(f"{where} holds {x.dtype} values; images are uint8 or float numbers")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise DataError(
            f"{where} has shape {x.shape}; wanted (images, height, width, channels) or "
            "(images, height, width)"
        )
    if 0 in x.shape:
        raise DataError(f"{where} has shape {x.shape}: there is nothing in it")
    if x.shape[3] not in {1, 3, 4}:
        hint = " (channels come last: x.transpose(0, 2, 3, 1))" if x.shape[1] in {1, 3, 4} else ""
        raise DataError(f"{where} has shape {x.shape}; wanted 1, 3 or 4 channels{hint}")
    return x


def _scale(x: npt.NDArray[Any], where: str) -> float:
    """Find what one unit is worth on the scale 0..255."""
    if x.dtype.kind == "b":
        return 255.0
    if x.dtype.kind != "f":
        return 1.0
    low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{where} holds {_unfinite(x)} values that are NaN or infinite")
    return 255.0 if low >= 0 and high <= 1 else 1.0


def _as_uint8(x: npt.NDArray[Any], scale: float, where: str) -> Images:
    if x.dtype == np.uint8:
        return x
    low, high = float(x.min()), float(x.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{where} holds {_unfinite(x)} values that are NaN or infinite")
    if low < 0 or high * scale > 255.5:
        raise DataError(
            f"{where} runs from {low:g} to {high:g}; wanted 0..255, or floats in 0..1 "
            "(pixels before any normalisation)"
        )
    out = np.empty(x.shape, dtype=np.uint8)
    for start in range(
        0, len(x), 1024
    ):  # a float copy of everything would be 4 to 8 times as large
        part = x[start : start + 1024].astype(np.float64) * scale
        out[start : start + 1024] = np.clip(np.rint(part), 0, 255)
    return out


def _unfinite(x: npt.NDArray[Any]) -> int:
    return int(np.sum(~np.isfinite(x)))


def _flat(y: npt.NDArray[Any], images: int, where: str, x: str) -> npt.NDArray[Any]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.shape[0] == images:
        raise DataError(
            f"{where} has shape {y.shape}; wanted one class number an image: y.argmax(axis=1)"
        )
    if y.shape != (images,):
        raise DataError(
            f"{where} has shape {y.shape} for {images} images in {x}; wanted ({images},)"
        )
    return y


def _number(
    labels: list[npt.NDArray[Any]], keys: list[str], names: tuple[str, ...] | None, where: str
) -> tuple[Labels, tuple[str, ...]]:
    """Labels as class numbers, and the names of the classes."""
    if all(y.dtype.kind == "U" for y in labels):
        together = np.concatenate(labels)
        found, numbers = np.unique(together, return_inverse=True)
        return numbers.astype(np.int64), tuple(show(str(name)) for name in found)
    whole = [_integers(y, f"{where}: {key}") for y, key in zip(labels, keys, strict=True)]
    trained = np.concatenate(
        [y for y, key in zip(whole, keys, strict=True) if key in {"y", "y_train"}]
    )
    count = len(names) if names else int(trained.max()) + 1
    for y, key in zip(whole, keys, strict=True):
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= count:
            wrong = low if low < 0 else high
            raise DataError(
                f"{where}: {key} holds label {wrong}; wanted 0..{count - 1} "
                f"({'the class names given' if names else 'the labels of the training images'})"
            )
    present = np.unique(trained)
    if len(present) < count:
        missing = int(np.setdiff1d(np.arange(min(count, len(present) + 1)), present)[0])
        raise DataError(
            f"{where}: no training image has label {missing}, though labels run to {count - 1}; "
            "number the classes from 0 without gaps"
        )
    return np.concatenate(whole), names or tuple(map(str, range(count)))


def _integers(y: npt.NDArray[Any], where: str) -> Labels:
    if y.dtype.kind == "f":
        if not np.all(np.isfinite(y)):
            raise DataError(f"{where} holds {_unfinite(y)} labels that are NaN or infinite")
        y = y.astype(np.float64)  # half precision knows no 2^53
        if np.any(y != np.floor(y)) or np.any(np.abs(y) > 2**53):
            raise DataError(f"{where} holds labels that are no whole numbers")
    elif y.dtype.kind not in "bui":
        raise DataError(f"{where} holds {y.dtype} values; labels are whole numbers or strings")
    elif y.dtype == np.uint64 and y.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where} holds label {y.max()}, which is no class number")
    return y.astype(np.int64)


def _class_names(arrays: Mapping[str, npt.NDArray[Any]], where: str) -> tuple[str, ...] | None:
    for key in _NAMES:
        if key in arrays:
            values = arrays[key]
            if values.dtype.kind not in "US" or values.ndim != 1 or not len(values):
                raise DataError(f"{where}: {key} must be a list of strings, one a class")
            names = tuple(
                show(v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else str(v))
                for v in values.tolist()
            )
            if len(set(names)) < len(names):
                raise DataError(f"{where}: {key} names a class twice")
            return names
    return None
