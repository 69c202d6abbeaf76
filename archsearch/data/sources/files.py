"""Images in files of their own, found by a folder or a table: hashed, then decoded when asked for."""

import hashlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.ranges import Range
from archsearch.data.dataset import Images
from archsearch.data.sources.decode import (
    decode_file,
    frame_count,
    is_grey,
    open_image,
    pillow,
    read_pixels,
    upright_size,
)
from archsearch.data.sources.deep import Depths, find_depths
from archsearch.data.sources.items import (
    SMALLEST_SIDE_PX,
    BadImageError,
    Items,
    Look,
    Resize,
    Size,
    array_size,
)
from archsearch.data.spreading import spread
from archsearch.errors import DataError
from archsearch.units import printable

_NOTHING: Final = hashlib.sha256(b"").digest()
_RACY_NS: Final = 2 * 10**9
_READING: Final = b"2"  # raised where files that did not change are read otherwise than before
_SAMPLED = 256  # images whose headers decide the default size
_LARGEST_DEFAULT_SIDE_PX = 224
_SUFFIX_OF: Final = {
    "jpg": "JPEG", "jpeg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP",
    "bmp": "BMP", "gif": "GIF", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "pgm": "PPM",
    "pbm": "PPM", "pnm": "PPM", "avif": "AVIF", "jp2": "JPEG2000", "j2k": "JPEG2000",
    "jpx": "JPEG2000",
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
        self._name = name or printable(path.resolve().stem) or "images"
        self._listing: Listing | None = None
        self._hashes: list[bytes] | None = None
        self._depths: Depths | None = None

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
        """Digest names, labels, splits and bytes of every image, and the range of deep greys."""
        digest, reading = content_digest(self.listing(), self.hashes()), self.depths().reading
        return f"{digest} {reading}" if reading else digest

    def stamp(self) -> str | None:
        """Digest each file's place, size and times instead of its bytes."""
        files, classes = self.listing().files, self.listing().classes
        names = [f"{file.name}\0{file.label}\0{file.fixed}" for file in files]
        return stamp_files([file.path for file in files], names, "\0".join(classes))

    def hashes(self) -> list[bytes]:
        """Digest each file's bytes (SHA-256); for an unreadable one, the reason stands in."""
        if self._hashes is None:
            self._hashes = hash_files(self.listing().files)
        return self._hashes

    def depths(self) -> Depths:
        """Find the range of values in images of more than 8 bits."""
        if self._depths is None:
            self._depths = find_depths([file.path for file in self.listing().files])
        return self._depths

    def read_as(self, ranges: Mapping[str, Range]) -> None:
        """Read images of more than 8 bits as others were: in a trained model's ranges, not their own."""
        self._depths = Depths(dict(ranges))

    def items(self) -> Items:
        """Offer the images, decoded when asked for."""
        return file_items(
            self.listing(),
            self.hashes(),
            self.depths(),
            name=self._name,
            where=printable(self._path),
        )


def stamp_files(paths: Sequence[str], names: Sequence[str], rest: str = "") -> str | None:
    """Digest where files are, how large and how old, and what they are called; None if that says little.

    A change within the clock's last tick would not show, so files touched in the last two seconds
    give no stamp (the "racy" entries of Git's index).
    """
    digest = hashlib.sha256(_READING)
    newest_ns = 0
    for path, name in zip(paths, names, strict=True):
        try:
            facts = os.stat(path)
        except (OSError, ValueError):
            return None
        # ctime, since mtime can be set back by whoever copies or unpacks files.
        newest_ns = max(newest_ns, facts.st_mtime_ns, facts.st_ctime_ns)
        place = f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns}"
        digest.update(f"{name}\0{place} {facts.st_ctime_ns}\0".encode())
    digest.update(rest.encode())
    return None if newest_ns > time.time_ns() - _RACY_NS else digest.hexdigest()


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


def file_items(
    listing: Listing, hashes: Sequence[bytes], depths: Depths, *, name: str, where: str
) -> Items:
    """Items from files, decoded one by one when asked for.

    Raises:
        DataError: none of the images can be read.
    """
    files = listing.files
    number = {label: index for index, label in enumerate(listing.classes)}
    large = threading.Lock()

    def decode(index: int, size: Size, resize: Resize = "crop") -> Images:
        return decode_file(
            files[index].path, size, resize=resize, ranges=depths.ranges, large=large
        )

    sizes, grey = _look_at_some(files, where)
    native, why = _default_size(sizes, 1 if grey else 3)
    return Items(
        name=name,
        classes=listing.classes,
        labels=np.array([number[file.label] for file in files], dtype=np.int64),
        fixed=np.array([file.fixed for file in files], dtype=np.int8),
        native=native,
        why=why,
        sizes=tuple(sorted(set(sizes))),
        # Grey pictures may be letters or plots: only colour ones are mirrored unasked.
        mirror=native[2] == 3,
        decode=decode,
        where=lambda index: files[index].name,
        look=lambda index: _look(files[index].path, depths),
        groups=_groups(hashes),
        notes=(*listing.notes, *depths.notes),
    )


def _look(path: str, depths: Depths) -> Look:
    with open_image(path) as image:
        kind = f"{image.format} {image.mode}"
        right = _SUFFIX_OF.get(path.rpartition(".")[2].lower(), "")
        honest = image.format in {right, "MPO", "DIB"}
        # A camera's MPO holds a preview or a second eye's view beside its picture.
        frames = 1 if image.format == "MPO" else frame_count(image)
        return Look(read_pixels(image, depths.ranges), kind, honest, frames)


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


def _look_at_some(files: Sequence[ImageFile], where: str) -> tuple[list[tuple[int, int]], bool]:
    """Read headers of images spread over all: their sizes (height, width), and whether all are grey.

    Raises:
        DataError: no image can be read.
    """
    sizes: list[tuple[int, int]] = []
    grey = True
    reason = ""
    with pillow():
        for index in spread(len(files), _SAMPLED).tolist():
            try:
                with open_image(files[index].path) as image:
                    width, height = upright_size(image)
                    grey = grey and is_grey(image)
            except BadImageError as error:
                reason = reason or f"{files[index].name} ({error})"
                continue
            sizes.append((height, width))
    if not sizes:
        raise DataError(f"{where}: none of its {len(files)} images can be read: {reason}")
    return sizes, grey


def _default_size(sizes: Sequence[tuple[int, int]], channels: int) -> tuple[Size, str]:
    """Choose the size to prepare when nobody asks for one, and say why.

    One size for all: that size, up to 224. Mixed sizes: a square as large as the median short
    side, in steps of 32 from 32 to 224.
    """
    height, width = sizes[0]
    if len(set(sizes)) == 1 and max(height, width) <= _LARGEST_DEFAULT_SIDE_PX:
        return array_size((height, width, channels))
    short = float(np.median([min(size) for size in sizes]))
    steps = int(min(short, _LARGEST_DEFAULT_SIDE_PX)) // SMALLEST_SIDE_PX
    side = max(1, steps) * SMALLEST_SIDE_PX
    return (side, side, channels), _why(side, short, sizes)


def _why(side: int, short: float, sizes: Sequence[tuple[int, int]]) -> str:
    if len(set(sizes)) == 1:
        what = f"the images are {sizes[0][0]}x{sizes[0][1]}"
    else:
        what = f"the images' short sides have a median of {short:g} pixels"
    if side == _LARGEST_DEFAULT_SIDE_PX:
        return f"{what}, and {side} is the most unless more is asked for"
    step = SMALLEST_SIDE_PX
    return f"{what}, brought {'down' if short >= side else 'up'} to a multiple of {step}"
