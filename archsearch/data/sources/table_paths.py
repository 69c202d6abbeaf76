"""Where the images of a table are: beside it as written, or else under one plain change of all paths."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archsearch.data.dataset import SplitName
from archsearch.data.sources.decode import SUFFIXES
from archsearch.data.sources.split_names import split_like
from archsearch.errors import DataError
from archsearch.units import printable

_MOST_FILES: Final = 5_000_000  # below a table's folder; a whole disk is not searched
Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """A path for each row, and what was changed to find them ("" if nothing was)."""

    paths: tuple[str, ...]
    note: str = ""


def locate(
    folder: Path, cells: Sequence[str], where: str, *, split: SplitName | None = None
) -> Located:
    """Find the images that a table lists.

    Paths are taken from the table's folder. If none of them is there, files below that folder are
    looked through for the same names: without a suffix, with backslashes, with other capitals, in a
    folder that the table leaves out, or under the absolute path of another machine. All paths have to
    ask for the same change.

    Args:
        folder: the table's.
        cells: the paths as the table has them.
        where: the table, for messages.
        split: what the table's own name speaks of: of two files, `train.csv` means the one in `train/`.

    Raises:
        DataError: no image is found, or it is not plain which is meant.
    """
    written = tuple(str(folder / cell) for cell in cells)
    if any(map(os.path.isfile, written)):
        return Located(written)
    return _completed(folder, cells, written, where, _Index(folder, split))


def _completed(
    folder: Path, cells: Sequence[str], written: Sequence[str], where: str, index: "_Index"
) -> Located:
    found = [index.find(cell) for cell in cells]
    there = [(cell, match) for cell, match in zip(cells, found, strict=True) if match]
    if not there:
        raise DataError(
            f"{where}: none of its {len(cells)} images can be read: {printable(cells[0])!r} is not in "
            f"{printable(folder)}{index.hint(cells[0])}"
        )
    shown, first = printable(there[0][0]), printable("/".join(there[0][1].file))
    if len({(match.dropped, match.added) for _, match in there if match.folders}) > 1:
        raise DataError(
            f"{where}: {shown!r} is not in {printable(folder)}; {first} is, but other paths ask for "
            "another change; write the paths from the table's folder"
        )
    paths = tuple(
        str(folder.joinpath(*match.file)) if match else path
        for match, path in zip(found, written, strict=True)
    )
    return Located(paths, f"the table's paths were completed: {shown!r} is {first}")


@dataclass(frozen=True, slots=True)
class _Match:
    """A file, what the table's path has before the part they share, and what the file's has."""

    file: Parts
    dropped: Parts
    added: Parts
    folders: bool


class _Index:
    """The image files below a folder, by name and by name without suffix, whatever the capitals."""

    def __init__(self, folder: Path, split: SplitName | None) -> None:
        self._split = split
        self._names: defaultdict[str, list[Parts]] = defaultdict(list)
        self._stems: defaultdict[str, list[Parts]] = defaultdict(list)
        for number, parts in enumerate(_images(str(folder), (), frozenset())):
            if number == _MOST_FILES:
                break
            self._names[parts[-1].casefold()].append(parts)
            self._stems[os.path.splitext(parts[-1])[0].casefold()].append(parts)

    def find(self, cell: str) -> _Match | None:
        """Find the one file that shares the longest end with a path; None if there is none, or two."""
        path = _parts(cell)
        if not path:
            return None
        scored = [(_shared(path, file), file) for file in self._named(path[-1])]
        best = max((score for score, _ in scored), default=0)
        files = [file for score, file in scored if score == best]
        if len(files) > 1 and self._split:
            files = [file for file in files if any(map(self._is_of_split, file[:-1]))]
        if len(files) != 1:
            return None
        (file,) = files
        return _Match(file, path[:-best], file[:-best], folders=len(path) > 1)

    def hint(self, cell: str) -> str:
        """Say what would find a path."""
        path = _parts(cell)
        files = self._named(path[-1]) if path else []
        if len(files) > 1:
            two = " and ".join(printable("/".join(file)) for file in files[:2])
            return f"; it may be {two}: write the folder with it"
        near = self._stems.get(os.path.splitext(path[-1])[0].casefold(), []) if path else []
        if near:
            return f"; did you mean {printable('/'.join(near[0]))!r}?"
        return " nor below it; move the table beside its images, or write their paths from there"

    def _is_of_split(self, folder: str) -> bool:
        return split_like(folder)[0] == self._split

    def _named(self, name: str) -> list[Parts]:
        exact = self._names.get(name.casefold(), [])
        has_suffix = os.path.splitext(name)[1].lower() in SUFFIXES
        return exact if exact or has_suffix else self._stems.get(name.casefold(), [])


def _parts(cell: str) -> Parts:
    return tuple(part for part in cell.replace("\\", "/").split("/") if part not in {"", "."})


def _shared(path: Parts, file: Parts) -> int:
    """Count the parts at the ends of two paths that are alike; the names are taken to be."""
    shared = 1
    for one, other in zip(reversed(path[:-1]), reversed(file[:-1]), strict=False):
        if one.casefold() != other.casefold():
            break
        shared += 1
    return shared


def _images(folder: str, above: Parts, seen: frozenset[tuple[int, int]]) -> Iterator[Parts]:
    try:
        facts = os.stat(folder)
        here = (facts.st_dev, facts.st_ino)
        if here in seen:
            return
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        return
    for entry in found:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if os.path.isdir(entry.path):
            yield from _images(entry.path, (*above, entry.name), seen | {here})
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield (*above, entry.name)
