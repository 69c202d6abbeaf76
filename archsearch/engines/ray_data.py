"""Files on a node of a Ray cluster: prepared images, which come once, and what a worker writes."""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psutil

from archsearch.data.prepared_files import new_folder
from archsearch.errors import MachineError
from archsearch.whole_files import write_whole

Piece = npt.NDArray[np.uint8]

_FACTS: Final = "dataset.json"
_PIECE_BYTES: Final = 64 * 2**20
"""What is held in memory at a time: Ray keeps the others, on its disk where its memory is short."""
_KEPT: Final = 2
"""Checkpoints of a job, should the last one be damaged."""
_UNUSED_S: Final = 7 * 24 * 3600.0
"""Seconds after which images that no job has asked for go when others come."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """A prepared dataset in Ray's object store.

    Attributes:
        pieces: names of its files, and references to what is in them, in order.
        fetch: gives what a reference is of.
    """

    pieces: tuple[tuple[str, Any], ...]
    fetch: Callable[[Any], Piece]


def facts_of(folder: Path) -> str | None:
    """Return what a prepared dataset says of itself, by which it is known; None: the folder is none."""
    try:
        return (folder / _FACTS).read_text(encoding="utf-8")
    except OSError:
        return None


def shipped(
    folder: Path, *, put: Callable[[Piece], Any], fetch: Callable[[Any], Piece]
) -> Shipment:
    """Put a prepared dataset where all nodes can fetch it.

    Args:
        folder: the dataset's.
        put: takes a piece and returns a reference.
        fetch: gives it back, on any node.
    """
    pieces = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            for _ in range(1 + path.stat().st_size // _PIECE_BYTES):  # of an empty file, one too
                pieces.append((path.name, put(np.fromfile(file, np.uint8, _PIECE_BYTES))))
    return Shipment(tuple(pieces), fetch)


def local_copy(folder: Path, facts: str | None, shipment: Shipment | None) -> Path | None:
    """Return where a dataset lies on this node, which may be where it lies on the driver's.

    What is brought here is whole or not there, read-only, and the same for all workers of the node.

    Args:
        folder: where the driver has it.
        facts: what it says of itself.
        shipment: to write it from; None: only look whether it is there.

    Returns:
        The folder; None: it is not there, and there is nothing to write it from.
    """
    if facts is None or facts_of(folder) == facts:
        return folder
    above = node_folder() / "data"
    above.mkdir(exist_ok=True)
    copy = above / hashlib.sha256(facts.encode()).hexdigest()[:16]
    with _locked(above / f"{copy.name}.lock"):
        if not copy.is_dir():
            if shipment is None:
                return None
            _drop_unused(above)
            with new_folder(copy) as partial:
                _write(shipment, partial)
        os.utime(copy)
    return copy


def node_folder() -> Path:
    """Return this user's own folder on this node.

    Raises:
        MachineError: somebody else has put something there.
    """
    folder = Path(tempfile.gettempdir()) / f"archsearch-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise MachineError(f"{folder} is not this user's folder; remove it, or set TMPDIR")
    return folder


def scratch_folder(kind: str) -> Path:
    """Make a folder for this process; those of processes that are no more go.

    Its path is short: the address of a socket in it has room for 107 characters.
    """
    above = node_folder()
    for old in above.glob(f"{kind}-*"):
        if not psutil.pid_exists(int(old.name.split("-")[1])):
            shutil.rmtree(old, ignore_errors=True)
    for number in count():
        folder = above / f"{kind}-{os.getpid()}-{number}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is always a next number")


def checkpoints(folder: Path) -> list[Path]:
    """Return the last checkpoints in a folder that are whole, the newest at the end."""
    return sorted(folder.glob("*.npz"))[-_KEPT:]


def keep_checkpoint(folder: Path, name: str, content: bytes) -> None:
    """Write a checkpoint whole, and remove old ones; a folder that is gone is not made again."""
    with suppress(
        OSError
    ):  # its job has ended; or a full disk, which costs the checkpoint, not the job
        write_whole(folder / name, content)
        kept = checkpoints(folder)
        for old in set(folder.glob("*.npz")).difference(kept):
            old.unlink(missing_ok=True)


def read_files(paths: Sequence[Path]) -> dict[str, bytes]:
    """Return what is in files, by name; those that have gone meanwhile are left out."""
    found = {}
    for path in paths:
        try:
            found[path.name] = path.read_bytes()
        except FileNotFoundError:
            continue
    return found


def _write(shipment: Shipment, folder: Path) -> None:
    for name, reference in shipment.pieces:
        with (folder / name).open("ab") as file:
            shipment.fetch(reference).tofile(file)
    for path in folder.iterdir():
        path.chmod(0o400)


def _drop_unused(above: Path) -> None:
    for copy in above.iterdir():
        if copy.is_dir() and time.time() - copy.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Have the block to this process alone, on this node; it waits for others."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
