"""A folder of images: `DIR/<class>/*`, or `DIR/{train,val,test}/<class>/*` with its own splits."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import SPLITS, Images
from archsearch.data.decode import (
    SUFFIXES,
    decode_file,
    is_grey,
    open_image,
    pillow,
    upright_size,
)
from archsearch.data.items import FREE, SMALLEST_SIDE_PX, BadImageError, Items, Size, show
from archsearch.data.npz import at_least_smallest
from archsearch.errors import DataError

_SPLIT_FOLDERS: Final = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_JUNK: Final = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})
_NOTHING: Final = hashlib.sha256(b"").digest()
_SAMPLED = 256  # images whose headers decide the default size
_LARGEST_DEFAULT_SIDE_PX = 224


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


class Folder:
    """Images in one folder a class."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        self.text = text or str(path)
        self._path = path
        self._name = name or show(path.resolve().name) or "images"
        self._listing: Listing | None = None
        self._hashes: list[bytes] | None = None

    def listing(self) -> Listing:
        """List the images found, sorted by their path's bytes.

        Raises:
            DataError: the folder can't be read, holds no images in class folders, or links to
                itself.
        """
        if self._listing is None:
            self._listing = list_folder(self._path)
        return self._listing

    def content(self) -> str:
        """Digest names, labels, splits and bytes of every image."""
        return content_digest(self.listing(), self.hashes())

    def hashes(self) -> list[bytes]:
        """Digest each file's bytes (SHA-256); for an unreadable one, the reason stands in."""
        if self._hashes is None:
            self._hashes = hash_files(self.listing().files)
        return self._hashes

    def items(self) -> Items:
        """Offer the images, decoded when asked for."""
        return file_items(self.listing(), self.hashes(), name=self._name, where=show(self._path))


def list_folder(root: Path) -> Listing:
    """Find classes and images under a folder.

    Raises:
        DataError: as for `Folder.listing`.
    """
    notes: list[str] = []
    places = _class_folders(root, notes)
    ignored: Counter[str] = Counter()
    files: list[ImageFile] = []
    for fixed, label, folder in places:
        for path in _walk(folder, root, ignored):
            name = show(os.path.relpath(path, root))
            files.append(ImageFile(path, name, label, fixed))
    for suffix, count in sorted(ignored.items()):
        notes.append(f"{count} files that are no images were left out ({suffix})")
    classes = tuple(dict.fromkeys(label for _, label, _ in sorted(places, key=lambda p: p[1])))
    if not places:
        raise DataError(_nothing(root))
    if not files:
        raise DataError(
            f"{show(root)}: {len(classes)} class folders and no image in them; wanted "
            f"{show(root)}/<class>/*.jpg (or png, webp, bmp, gif, tiff)"
        )
    files.sort(key=lambda file: os.fsencode(file.path))
    return Listing(tuple(files), classes, tuple(notes))


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

    def decode(index: int, size: Size) -> Images:
        return decode_file(files[index].path, size)

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
        groups=_groups(hashes),
        notes=listing.notes,
    )


def _class_folders(root: Path, notes: list[str]) -> list[tuple[int, str, str]]:
    """(split or FREE, class name, path) of each class folder, in the order of their names."""
    top = _folders(root)
    published = {_SPLIT_FOLDERS.get(name.lower()) for name, _ in top}
    # A vehicle data set may have a class "train": split folders are such only all together.
    if "train" not in published or None in published or not _folders(dict(top)[_train(top)]):
        return [(FREE, show(name), path) for name, path in top]
    places = []
    for name, path in top:
        split = _SPLIT_FOLDERS[name.lower()]
        inside = _folders(path)
        if not inside:
            notes.append(f"{show(name)}/ was left out: it has no class folders")
        # "train" stays FREE: what it does not publish beside it is cut out of it.
        fixed = FREE if split == "train" else SPLITS.index(split)
        places += [(fixed, show(label), folder) for label, folder in inside]
    return places


def _train(top: Sequence[tuple[str, str]]) -> str:
    return next(name for name, _ in top if _SPLIT_FOLDERS.get(name.lower()) == "train")


def _folders(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Visible folders inside a folder, (name, path), sorted by their bytes."""
    try:
        with os.scandir(path) as entries:
            found = [(e.name, e.path) for e in entries if _visible(e.name) and e.is_dir()]
    except OSError as error:
        raise DataError(f"{show(path)} can't be read: {error.strerror}") from error
    return sorted(found, key=lambda entry: os.fsencode(entry[0]))


def _visible(name: str) -> bool:
    return not name.startswith(".") and name not in _JUNK


def _walk(
    folder: str, root: Path, ignored: "Counter[str]", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[str]:
    """Every image under a class folder, at any depth; links are followed, loops refused."""
    try:
        facts = os.stat(folder)
        here = (facts.st_dev, facts.st_ino)
        if not above:
            base = os.stat(root)
            above = ((base.st_dev, base.st_ino),)
        if here in above:
            raise DataError(
                f"{show(folder)} links back to a folder that contains it, which would go on for "
                "ever; remove the link"
            )
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise DataError(f"{show(folder)} can't be read: {error.strerror}") from error
    for entry in found:
        if not _visible(entry.name):
            continue
        if _is_folder(entry):
            yield from _walk(entry.path, root, ignored, (*above, here))
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path
        else:
            ignored[show(os.path.splitext(entry.name)[1].lower()) or "no suffix"] += 1


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: no folder, and a bad image if it is named like one
        return False


def _nothing(root: Path) -> str:
    loose = sum(
        1 for path in root.iterdir() if path.suffix.lower() in SUFFIXES and _visible(path.name)
    )
    what = f"{loose} images and no class folders" if loose else "no class folders"
    return f"{show(root)}: {what}; wanted {show(root)}/<class>/*.jpg, one folder a class"


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
