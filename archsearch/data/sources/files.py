"""Images in files of their own, found by a folder or a table: hashed, then decoded when asked for."""

import hashlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.data.sources.decode import (
    decode_file,
    is_grey,
    open_image,
    pillow,
    read_pixels,
    upright_size,
)
from archsearch.data.sources.items import (
    SMALLEST_SIDE_PX,
    BadImageError,
    Items,
    Look,
    Size,
    at_least_smallest,
    show,
)
from archsearch.errors import DataError

_NOTHING: Final = hashlib.sha256(b"").digest()
_RACY_NS: Final = 2 * 10**9
_SAMPLED = 256  # images whose headers decide the default size
_LARGEST_DEFAULT_SIDE_PX = 224
_SUFFIX_OF: Final = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP",
    "bmp": "BMP", "gif": "GIF", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "pgm": "PPM",
    "pbm": "PPM",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image on disk: where, of which class, and in which published split (or FREE)."""

    path: str
    name: str
    label: str
    fixed: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder or table holds, in a fixed order."""

    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


class FileSource(ABC):
    """A source whose images are files; what differs is how they are found."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        self.text = text or str(path)
        self._path = path
        self._name = name or show(path.resolve().stem) or "images"
        self._listing: Listing | None = None
        self._hashes: list[bytes] | None = None

    @abstractmethod
    def _find(self) -> Listing:
        """List the images in a fixed order.

        Raises:
            DataError: there are none to list.
        """

    def listing(self) -> Listing:
        """List the images found.

        Raises:
            DataError: there are none.
        """
        if self._listing is None:
            self._listing = self._find()
        return self._listing

    def content(self) -> str:
        """Digest names, labels, splits and bytes of every image."""
        return content_digest(self.listing(), self.hashes())

    def stamp(self) -> str | None:
        """Digest each file's place, size and times instead of its bytes.

        A change within the clock's last tick would not show, so files touched in the last two
        seconds give no stamp (the "racy" entries of Git's index).
        """
        digest = hashlib.sha256()
        newest_ns = 0
        for file in self.listing().files:
            try:
                facts = os.stat(file.path)
            except (OSError, ValueError):
                return None
            # ctime, since mtime can be set back by whoever copies or unpacks files.
            newest_ns = max(newest_ns, facts.st_mtime_ns, facts.st_ctime_ns)
            place = f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
            digest.update(f"{file.name}\0{file.label}\0{file.fixed}\0{place}".encode())
            digest.update(f" {facts.st_ctime_ns}\0".encode())
        digest.update("\0".join(self.listing().classes).encode())
        return None if newest_ns > time.time_ns() - _RACY_NS else digest.hexdigest()

    def hashes(self) -> list[bytes]:
        """Digest each file's bytes (SHA-256); for an unreadable one, the reason stands in."""
        if self._hashes is None:
            self._hashes = hash_files(self.listing().files)
        return self._hashes

    def items(self) -> Items:
        """Offer the images, decoded when asked for."""
        return file_items(self.listing(), self.hashes(), name=self._name, where=show(self._path))


def hash_files(files: Sequence[ImageFile]) -> list[bytes]:
    """SHA-256 of every file, read in parallel."""
    with ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(_hash_file, (file.path for file in files), chunksize=64))


def content_digest(listing: Listing, hashes: Sequence[bytes]) -> str:
    """One digest of everything that decides the images, their labels and their splits."""
    digest = hashlib.sha256()
    for file, content in zip(listing.files, hashes, strict=True):
        digest.update(f"{file.name}\0{file.label}\0{file.fixed}\0".encode())
        digest.update(content)
    digest.update("\0".join(listing.classes).encode())
    return digest.hexdigest()


def file_items(listing: Listing, hashes: Sequence[bytes], *, name: str, where: str) -> Items:
    """Items from files, decoded one by one when asked for.

    Raises:
        DataError: none of the images can be read.
    """
    files = listing.files
    number = {label: index for index, label in enumerate(listing.classes)}

    large = threading.Lock()

    def decode(index: int, size: Size) -> Images:
        return decode_file(files[index].path, size, large=large)

    def look(index: int) -> Look:
        with open_image(files[index].path) as image:
            kind = f"{image.format} {image.mode}"
            right = _SUFFIX_OF.get(files[index].path.rpartition(".")[2].lower(), "")
            honest = image.format in {right, "MPO", "DIB"}
            return Look(read_pixels(image), kind, honest)

    with pillow():
        native = _default_size([file.path for file in files])
    if native is None:
        raise DataError(f"{where}: none of its {len(files)} images can be read")
    return Items(
        name=name,
        classes=listing.classes,
        labels=np.array([number[file.label] for file in files], dtype=np.int64),
        fixed=np.array([file.fixed for file in files], dtype=np.int8),
        native=native,
        # Grey pictures may be letters or plots: only colour ones are mirrored unasked.
        mirror=native[2] == 3,
        decode=decode,
        where=lambda index: files[index].name,
        look=look,
        groups=_groups(hashes),
        notes=listing.notes,
    )


def _hash_file(path: str) -> bytes:
    try:
        if not os.path.isfile(path):
            return b"not a regular file"
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError) as error:
        return f"unreadable: {type(error).__name__}".encode()


def _groups(hashes: Sequence[bytes]) -> npt.NDArray[np.int64]:
    numbers: dict[bytes, int] = {}
    # Empty and unreadable files (no digest, or that of nothing) are no copies of each other.
    return np.array(
        [
            numbers.setdefault(h, index) if len(h) == len(_NOTHING) and h != _NOTHING else index
            for index, h in enumerate(hashes)
        ],
        dtype=np.int64,
    )


def _default_size(paths: Sequence[str]) -> Size | None:
    """Choose the size to prepare when nobody asks for one; None if no image can be read.

    One size for all: that size, up to 224. Mixed sizes: a square as large as the median short
    side, in steps of 32 from 32 to 224. Grey only if every image looked at is grey.
    """
    sizes: list[tuple[int, int]] = []
    grey = True
    for index in np.unique(np.linspace(0, len(paths) - 1, num=_SAMPLED).astype(int)):
        try:
            with open_image(paths[index]) as image:
                width, height = upright_size(image)
                grey = grey and is_grey(image)
        except BadImageError:
            continue
        sizes.append((height, width))
    if not sizes:
        return None
    channels = 1 if grey else 3
    height, width = sizes[0]
    if len(set(sizes)) == 1 and max(height, width) <= _LARGEST_DEFAULT_SIDE_PX:
        return at_least_smallest((height, width, channels))
    short = float(np.median([min(size) for size in sizes]))
    steps = int(min(short, _LARGEST_DEFAULT_SIDE_PX)) // SMALLEST_SIDE_PX
    side = max(1, steps) * SMALLEST_SIDE_PX
    return side, side, channels
