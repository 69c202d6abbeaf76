"""Writing a prepared dataset: a folder that is there whole, or not at all."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.errors import DataError, UserError
from archsearch.units import printable

_PARTIAL = ".partial-"
_NARROW = 64  # levels of 256 that pictures of one scene seldom stay below


@contextlib.contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Give a folder to fill, renamed to `final` if the block ends well and removed if not.

    Two processes may make the same folder at once: the first to finish wins, and both may use it.

    Raises:
        UserError: the folder above can't be written.
        DataError: the disk is full.
    """
    parent = final.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        partial = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{os.getpid()}-", dir=parent))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full(parent) from error
        raise UserError(
            f"{printable(parent)} can't be written ({error.strerror}); choose another place with --home"
        ) from error
    try:
        yield partial
        _sync(partial)
        try:
            partial.rename(final)
        except OSError:
            if not final.is_dir():
                raise
    except OSError as error:
        # EFBIG: a limit on file sizes (ulimit -f) is met as a full disk is.
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise _full(parent) from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_space(folder: Path, need_bytes: int) -> None:
    """Refuse to begin what the disk can't hold.

    Raises:
        DataError: less is free than needed.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    total_bytes, _, free_bytes = shutil.disk_usage(folder)
    # A file system without a size (proc, some network mounts) can only be tried.
    if total_bytes and need_bytes > free_bytes:
        raise DataError(
            f"the prepared images need {need_bytes / 1e6:,.0f} MB and {printable(folder)} has "
            f"{free_bytes / 1e6:,.0f} MB free; use a smaller --input, or another --home"
        )


class ArrayWriter:
    """A .npy file whose length is known when the last row is written.

    Rows are appended with write(): a memory map over a full disk would kill the process with
    SIGBUS where write() raises ENOSPC, and its dirty pages would count as this process's memory.
    """

    def __init__(self, path: Path, row: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._row = row
        self._dtype = np.dtype(dtype)
        self._file: BinaryIO = path.open("wb")
        self.rows = 0
        self._header()

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Add rows (k, *row) of the dtype."""
        if rows.shape[1:] != self._row or rows.dtype != self._dtype:
            raise ValueError(f"{rows.dtype} {rows.shape[1:]}, not {self._dtype} {self._row}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def _header(self) -> None:
        # NumPy pads the header for growth of the first axis, so that it can be rewritten in place.
        self._file.seek(0)
        head = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.rows, *self._row),
        }
        np.lib.format.write_array_header_1_0(self._file, head)

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._header()
        finally:
            # Closing flushes: on a full disk it raises too, and there is nothing left to save.
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                self._file.close()


class Histogram:
    """Counts of every pixel value per channel, from which mean and deviation follow exactly."""

    def __init__(self, channels: int) -> None:
        self._counts = np.zeros((channels, 256), dtype=np.int64)

    def add(self, images: Images) -> None:
        """Count the pixels of images (n, H, W, C)."""
        for channel in range(len(self._counts)):
            self._counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)

    def mean_std(self) -> tuple[list[float], list[float]]:
        """Per channel on the scale 0..255; a channel that never varies gets deviation 1."""
        values = np.arange(256, dtype=np.float64)
        total = self._counts.sum(axis=1)
        mean = self._counts @ values / total
        variance = self._counts @ values**2 / total - mean**2
        std = np.sqrt(np.maximum(variance, 0))
        return mean.tolist(), np.where(std < 1e-3, 1.0, std).tolist()

    def notes(self) -> list[str]:
        """Say so where the training pixels lie in a small part of 0..255."""
        used = np.flatnonzero(self._counts.sum(axis=0))
        return narrow_note(int(used[0]), int(used[-1])) if len(used) else []


def narrow_note(low: int, high: int) -> list[str]:
    """Say so where all pixels lie in a small part of 0..255, as those of a scale that was lost do."""
    if low == high or high - low >= _NARROW:
        return []
    return [
        f"the images use the values {low} to {high} of 0..255 only: are they of another scale, or of "
        "few levels by nature?"
    ]


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON document that is the same, byte for byte, for the same facts."""
    path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _full(parent: Path) -> DataError:
    return DataError(
        f"no space left for the prepared images under {printable(parent)}; free some, use a smaller --input, "
        "or another --home (nothing was kept)"
    )


def _sync(folder: Path) -> None:
    """Have the files on disk before the rename makes them count: a power cut keeps that order."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(parent: Path) -> None:
    """Remove what killed processes left half-written."""
    for path in parent.glob(f"{_PARTIAL}*"):
        pid = path.name.removeprefix(_PARTIAL).split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))
