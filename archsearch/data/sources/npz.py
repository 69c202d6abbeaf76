"""An `.npz` file: `x_train, y_train[, x_test, y_test]`, `x, y` or other names, uint8 or numbers."""

import hashlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.pairs import Shape, find_pairs, left_over, plain
from archsearch.data.arrays.stack import Stack, Stored, stack
from archsearch.data.dataset import Images
from archsearch.data.sources.decode import fit_array
from archsearch.data.sources.files import stamp_files
from archsearch.data.sources.items import Items, Look, Resize, Size, array_size
from archsearch.errors import DataError
from archsearch.main_memory import main_memory
from archsearch.units import printable


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
        """Digest the file's place, size and times: floats are looked through for their range."""
        return stamp_files([str(self._path)], [self._name])

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
    free_bytes = main_memory().free_bytes
    if need_bytes > 0.8 * free_bytes:
        raise DataError(
            f"{where} unpacks to {need_bytes / 1e6:,.0f} MB and {free_bytes / 1e6:,.0f} MB of "
            "memory are free; save the images as a folder, which is streamed"
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
