"""A folder of images: `DIR/<class>/*`, or `DIR/{train,val,test}/<class>/*` with its own splits."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from archsearch.data.dataset import SPLITS
from archsearch.data.sources.decode import SUFFIXES
from archsearch.data.sources.files import FileSource, ImageFile, Listing
from archsearch.data.sources.items import FREE, show, split_named
from archsearch.errors import DataError

_JUNK: Final = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN"})


class Folder(FileSource):
    """Images in one folder a class; sorted by their paths' bytes, links followed, loops refused."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        super().__init__(path, text=text, name=name or show(path.resolve().name))

    def _find(self) -> Listing:
        return list_folder(self._path)


def list_folder(root: Path) -> Listing:
    """Find classes and images under a folder.

    Raises:
        DataError: it can't be read, holds no images in class folders, or links to itself.
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


def _class_folders(root: Path, notes: list[str]) -> list[tuple[int, str, str]]:
    """(split or FREE, class name, path) of each class folder, in the order of their names."""
    top = _folders(root)
    published = {split_named(name) for name, _ in top}
    # A vehicle data set may have a class "train": split folders are such only all together.
    if "train" not in published or None in published or not _folders(dict(top)[_train(top)]):
        return [(FREE, show(name), path) for name, path in top]
    places = []
    for name, path in top:
        split = split_named(name)
        inside = _folders(path)
        if not inside:
            notes.append(f"{show(name)}/ was left out: it has no class folders")
        # "train" stays FREE: what it does not publish beside it is cut out of it.
        fixed = FREE if split in {None, "train"} else SPLITS.index(split)
        places += [(fixed, show(label), folder) for label, folder in inside]
    return places


def _train(top: Sequence[tuple[str, str]]) -> str:
    return next(name for name, _ in top if split_named(name) == "train")


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
