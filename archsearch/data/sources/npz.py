"""An `.npz` file: `x_train, y_train[, x_test, y_test]`, `x, y` or other names, uint8 or numbers."""

import hashlib
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.labels import class_names, flat, number, unfinite
from archsearch.data.arrays.pairs import Pair, Shape, find_pairs, left_over, plain
from archsearch.data.arrays.ranges import (
    BYTES,
    UNIT,
    WORDS,
    Range,
    Spread,
    choose_range,
    said,
    spread_of,
    together,
)
from archsearch.data.dataset import Images, Labels
from archsearch.data.sources.decode import fit_array
from archsearch.data.sources.items import Items, Look, Resize, Size, array_size
from archsearch.errors import DataError
from archsearch.units import printable

_KINDS: Final = {"b": "flags", "u": "integers", "i": "integers", "f": "floats"}
_USUAL: Final[Mapping[str, tuple[Range, ...]]] = {
    "flags": (UNIT,),
    "integers": (BYTES, WORDS),
    "floats": (UNIT, BYTES),
}
_CHANNELS: Final = frozenset({1, 3, 4})


class Npz:
    """Arrays in an .npz file. Pickled objects in it are refused, never loaded."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        self.text = text or str(path)
        self._path = path
        self._name = name or printable(path.stem)
        self._where = printable(path)
        self._stack: Stack | None = None

    def content(self) -> str:
        """Digest the file (SHA-256), and what its names and numbers were taken for if that is not plain."""
        try:
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{self._where} can't be read: {error.strerror}") from error
        if _is_plain(self._path):
            return digest
        reading = self._read().reading
        return f"{digest} {reading}" if reading else digest

    def stamp(self) -> str | None:
        """Give none: the content itself is cheap to digest."""
        return None

    def items(self) -> Items:
        """Read the arrays and check everything about them.

        Raises:
            DataError: no .npz file, or its arrays are missing, malformed or do not fit together.
        """
        return stack_items(self._read(), name=self._name)

    def _read(self) -> "Stack":
        if self._stack is None:
            stored = read_npz(self._path)
            self._stack = stack(stored, where=self._where)
        return self._stack


@dataclass(frozen=True, slots=True)
class Stored:
    """The arrays of a file that a data set is made of, and the names of the others."""

    arrays: Mapping[str, npt.NDArray[Any]]
    left_out: tuple[str, ...] = ()


def read_npz(path: Path) -> Stored:
    """Read the arrays of an .npz file that a data set is made of; others are left alone.

    Raises:
        DataError: it is no .npz file, holds pickled objects, or would fill the memory.
    """
    where = printable(path)
    with _archive(path) as archive:
        members = _members(archive)
        heads = {key: _head(archive, info) for key, info in members.items()}
        shapes = {key: shape for key, (shape, _) in heads.items()}
        others = left_over(shapes, find_pairs(shapes, where))
        wanted = {key: info for key, info in members.items() if key not in others}
        for key, info in wanted.items():
            _check_head(*heads[key], info, f"{where}: {key}")
        _check_memory(sum(info.file_size for info in wanted.values()), where)
        return Stored(
            {key: _read(archive, info) for key, info in wanted.items()},
            tuple(map(printable, others)),
        )


def _is_plain(path: Path) -> bool:
    """Whether names and types alone say how the file is read, as they always did: bytes under x, y."""
    with _archive(path) as archive:
        heads = {key: _head(archive, info) for key, info in _members(archive).items()}
    pairs = find_pairs({key: shape for key, (shape, _) in heads.items()}, printable(path))
    return plain(pairs) and all(heads[pair.images][1] == np.uint8 for pair in pairs)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{printable(path)} is no readable .npz file: {reason}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[Shape, np.dtype[Any]]:
    """Read an array's shape and type; one whose header is no header has neither."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    return shape, dtype


def _check_head(shape: Shape, dtype: np.dtype[Any], info: zipfile.ZipInfo, where: str) -> None:
    if dtype.hasobject:
        raise DataError(
            f"{where} holds pickled Python objects, which can run code when read; save it "
            "as a plain array (uint8 or float images, integer labels)"
        )
    if math.prod(shape) * dtype.itemsize > info.file_size:
        raise DataError(f"{where} is shorter than its header says")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> npt.NDArray[Any]:
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


@dataclass(frozen=True, slots=True)
class Stack:
    """Arrays of images, checked and as bytes, one beside the other.

    Attributes:
        images: (n, H, W, C) uint8 of each pair.
        pairs: whose they are.
        labels: class numbers of all of them.
        classes: names of the classes.
        notes: what a person should hear about the reading.
        reading: what was found out that name and type alone do not say; "" where there is nothing.
    """

    images: tuple[Images, ...]
    pairs: tuple[Pair, ...]
    labels: Labels
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    reading: str


def stack(stored: Stored, *, where: str) -> Stack:
    """Check arrays named as in an .npz file, and turn the images into bytes.

    Raises:
        DataError: an array is missing, malformed, or does not fit the others.
    """
    arrays, notes = stored.arrays, []
    pairs = find_pairs({key: array.shape for key, array in arrays.items()}, where)
    names = class_names(arrays, where)
    raw = {pair.images: _as_nhwc(arrays[pair.images], f"{where}: {pair.images}") for pair in pairs}
    first = raw[pairs[0].images]
    for key, array in raw.items():
        if array.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{where}: {key} holds images {array.shape[1:]} and {pairs[0].images} "
                f"{first.shape[1:]}; all must have one shape"
            )
    notes += _turned({key: arrays[key] for key in raw}, raw)
    scales = _scales(raw, where, notes)
    flat_labels = [
        flat(arrays[p.labels], len(raw[p.images]), f"{where}: {p.labels}", p.images) for p in pairs
    ]
    labels, classes = number(flat_labels, pairs, names, where)
    if not plain(pairs):
        notes.append("read as images and labels: " + "; ".join(map(_pair_text, pairs)))
    if stored.left_out:
        notes.append(f"arrays left out: {', '.join(stored.left_out[:10])}")
    return Stack(
        images=tuple(_as_bytes(raw[pair.images], scales) for pair in pairs),
        pairs=pairs,
        labels=labels,
        classes=classes,
        notes=tuple(notes),
        reading=_reading(pairs, raw, scales),
    )


def stack_items(stack: Stack, *, name: str) -> Items:
    """Offer the images of a stack."""
    images, pairs = stack.images, stack.pairs
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
        return f"{printable(pairs[part].images)}[{inside}]"

    def decode(index: int, size: Size, resize: Resize = "crop") -> Images:
        return fit_array(pixels(index), size, resize)

    height, width, channels = images[0].shape[1:]
    native, why = array_size((height, width, channels))
    return Items(
        name=name,
        classes=stack.classes,
        labels=stack.labels,
        fixed=np.repeat([p.split for p in pairs], [len(x) for x in images]).astype(np.int8),
        native=native,
        why=why,
        sizes=((height, width),),
        # Grey arrays are mostly digits and letters; a mirrored 2 is no 2.
        mirror=channels >= 3,
        decode=decode,
        where=place,
        look=lambda index: Look(pixels(index), "array"),
        notes=stack.notes,
    )


def array_items(arrays: Mapping[str, npt.NDArray[Any]], *, name: str, where: str) -> Items:
    """Offer the images of arrays named as in an .npz file.

    Raises:
        DataError: an array is missing, malformed, or does not fit the others.
    """
    return stack_items(stack(Stored(arrays), where=where), name=name)


def _as_nhwc(x: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if x.dtype.kind not in _KINDS:
        raise DataError(f"{where} holds {x.dtype} values; images are uint8 or float numbers")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise DataError(
            f"{where} has shape {x.shape}; wanted (images, height, width, channels) or "
            f"(images, height, width){_unflattened(x.shape)}"
        )
    if 0 in x.shape:
        raise DataError(f"{where} has shape {x.shape}: there is nothing in it")
    if x.shape[3] not in _CHANNELS and x.shape[1] in _CHANNELS:
        x = x.transpose(0, 2, 3, 1)
    if x.shape[3] not in _CHANNELS:
        raise DataError(f"{where} has shape {x.shape}; wanted 1, 3 or 4 channels, as the last axis")
    if x.dtype.kind == "f" and not (np.isfinite(x.min()) and np.isfinite(x.max())):
        raise DataError(f"{where} holds {unfinite(x)} values that are NaN or infinite")
    return x


def _unflattened(shape: Shape) -> str:
    """Say how rows of pixels become images, where their length is that of a square."""
    for channels in (1, 3) if len(shape) == 2 else ():
        side = math.isqrt(shape[1] // channels)
        if side > 1 and side * side * channels == shape[1]:
            axes = f"{side}, {side}" if channels == 1 else f"{side}, {side}, {channels}"
            return f"; try x.reshape(-1, {axes})"
    return ""


def _turned(
    arrays: Mapping[str, npt.NDArray[Any]], raw: Mapping[str, npt.NDArray[Any]]
) -> list[str]:
    for key, array in arrays.items():
        if array.ndim == 4 and array.shape != raw[key].shape:
            first = array.shape[1]
            return [
                f"the arrays have their channels first ({first} of them), and were turned round"
            ]
    return []


def _scales(raw: Mapping[str, npt.NDArray[Any]], where: str, notes: list[str]) -> dict[str, Range]:
    """Find one range for all integers and one for all floats; bytes are what they are."""
    spreads: dict[str, dict[str, Spread]] = {}
    for key, array in raw.items():
        if array.dtype != np.uint8:
            spreads.setdefault(_KINDS[array.dtype.kind], {})[key] = spread_of(array)
    scales: dict[str, Range] = {}
    for kind, parts in spreads.items():
        whole = together(list(parts.values()))
        scale = scales[kind] = choose_range(whole, _USUAL[kind])
        for key, part in parts.items():
            if part.lost_on(scale):
                raise DataError(
                    f"{where}: {key} runs from {part.low:g} to {part.high:g} only, other {kind} here "
                    f"up to {whole.high:g}; write all in one scale"
                )
        if scale not in {UNIT, BYTES}:
            notes.append(said(whole, scale, f"{kind}"))
    return scales


def _as_bytes(x: npt.NDArray[Any], scales: Mapping[str, Range]) -> Images:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    scale = scales[_KINDS[x.dtype.kind]]
    return scale.to_bytes(x)


def _reading(
    pairs: Sequence[Pair], raw: Mapping[str, npt.NDArray[Any]], scales: Mapping[str, Range]
) -> str:
    """Write down what differs from the plain reading, by which older prepared folders were made.

    That was: floats in 0..1 by the first array are of 0..1, all else is of 0..255.
    """
    found = []
    for kind, scale in scales.items():
        first = next(
            x for x in raw.values() if x.dtype != np.uint8 and _KINDS[x.dtype.kind] == kind
        )
        unit = kind == "flags" or (kind == "floats" and first.min() >= 0 and first.max() <= 1)
        if scale != (UNIT if unit else BYTES):
            found.append(f"{kind} {scale}")
    if not plain(tuple(pairs)):
        found.append("; ".join(map(_pair_text, pairs)))
    return ", ".join(found)


def _pair_text(pair: Pair) -> str:
    return f"{printable(pair.images)}, {printable(pair.labels)}"
