"""A folder of images on disk: walked once, then read as classes and splits (see `layout`)."""

import os
from collections import Counter
from pathlib import Path
from typing import Final

from archsearch.data.sources.decode import SUFFIXES, UNREAD
from archsearch.data.sources.files import FileSource, ImageFile, Listing
from archsearch.data.sources.layout import Layout, Tree, arrange
from archsearch.errors import DataError
from archsearch.units import counted, printable

_JUNK: Final = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
_JUNK_FILES: Final = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"})
_TABLES: Final = (".csv", ".tsv")


class Folder(FileSource):
    """Images in one folder a class; sorted by their paths' bytes, links followed, loops refused."""

    def __init__(self, path: Path, *, text: str | None = None, name: str | None = None) -> None:
        super().__init__(path, text=text, name=name or printable(path.resolve().name))

    def _find(self) -> Listing:
        return list_folder(self._path)


def list_folder(root: Path) -> Listing:
    """Find classes and images under a folder.

    Raises:
        DataError: it can't be read, holds no images in class folders, or links to itself.
    """
    walk = _Walk(root)
    tree = walk.read(str(root), ())
    layout = arrange(tree, table=_table(root))
    classes = tuple(sorted({place.label for place in layout.places}))
    files = [
        ImageFile(path, printable(os.path.relpath(path, root)), place.label, place.fixed)
        for place in layout.places
        for folder in place.tree.every()
        for path in folder.images
    ]
    if not files:
        raise DataError(
            f"{printable(root)}: {len(classes)} class folders and no image in them; wanted "
            f"{printable(root)}/<class>/*.jpg (or png, webp, bmp, gif, tiff)"
            + "".join(f"; {note}" for note in _other_files(layout))
        )
    files.sort(key=lambda file: os.fsencode(file.path))
    notes = (*layout.notes, *_other_files(layout), *walk.notes())
    return Listing(tuple(files), classes, notes)


class _Walk:
    """Reading folders: what is hidden and where links lead is remembered for a note."""

    def __init__(self, root: Path) -> None:
        self._real = os.path.realpath(root)
        self._root = root
        self._hidden: list[str] = []
        self._links: list[tuple[str, str]] = []

    def notes(self) -> list[str]:
        """Say what was hidden, and which links lead out of the folder."""
        found = []
        if self._hidden:
            found.append(
                f"{self._hidden[0]} was left out: its name begins with a dot, which hides it; "
                "rename it if it is a class" + _more(self._hidden)
            )
        if self._links:
            name, target = self._links[0]
            found.append(
                f"{counted(len(self._links), 'link')} out of the folder "
                f"{'was' if len(self._links) == 1 else 'were'} followed: {name} leads to {target}"
                + _more(self._links)
            )
        return found

    def read(self, folder: str, above: tuple[tuple[int, int], ...]) -> Tree:
        """Read a folder and all below it.

        Raises:
            DataError: a folder can't be read, or a link leads back to one that contains it.
        """
        try:
            facts = os.stat(folder)
            here = (facts.st_dev, facts.st_ino)
            if here in above:
                raise DataError(
                    f"{printable(folder)} links back to a folder that contains it, which would go on "
                    "for ever; remove the link"
                )
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            raise DataError(f"{printable(folder)} can't be read: {error.strerror}") from error
        folders: list[Tree] = []
        images: list[str] = []
        others: list[str] = []
        for entry in found:
            inside = _is_folder(entry)
            if not self._visible(entry, inside=inside):
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            if inside:
                folders.append(self.read(entry.path, (*above, here)))
            elif suffix in SUFFIXES:
                images.append(entry.path)
            else:
                others.append(suffix)
                continue
            if entry.is_symlink():
                self._follow(entry)
        name = os.path.basename(folder.rstrip("/"))
        return Tree(name, folder, tuple(folders), tuple(images), tuple(others))

    def _visible(self, entry: "os.DirEntry[str]", *, inside: bool) -> bool:
        if entry.name in _JUNK or entry.name.lower() in _JUNK_FILES:
            return False
        if not entry.name.startswith("."):
            return True
        if inside and _holds_images(entry.path):
            self._hidden.append(f"{printable(os.path.relpath(entry.path, self._root))}/")
        return False

    def _follow(self, entry: "os.DirEntry[str]") -> None:
        target = os.path.realpath(entry.path)
        if os.path.commonpath((self._real, target)) != self._real:
            name = printable(os.path.relpath(entry.path, self._root))
            self._links.append((name, printable(target)))


def _more(listed: list[str] | list[tuple[str, str]]) -> str:
    return f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""


def _holds_images(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(os.path.splitext(entry.name)[1].lower() in SUFFIXES for entry in entries)
    except OSError:
        return False


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: no folder, and a bad image if it is named like one
        return False


def _other_files(layout: Layout) -> list[str]:
    """Say which files in the class folders are no images, or of a format that is not read."""
    found = Counter(
        suffix for place in layout.places for tree in place.tree.every() for suffix in tree.others
    )
    return [
        f"{count} {suffix} files were left out: {UNREAD[suffix]}"
        if suffix in UNREAD
        else f"{count} files that are no images were left out ({printable(suffix) or 'no suffix'})"
        for suffix, count in sorted(found.items())
    ]


def _table(root: Path) -> str | None:
    """Name a table that lies beside the images."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.suffix.lower() in _TABLES)
    except OSError:
        return None
    return printable(root / names[0]) if names else None
