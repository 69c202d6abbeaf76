"""A CSV file of `path,label`, with a `split` column where the data have splits of their own."""

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archsearch.data.dataset import SPLITS
from archsearch.data.sources.decode import SUFFIXES
from archsearch.data.sources.files import FileSource, ImageFile, Listing
from archsearch.data.sources.items import FREE
from archsearch.data.sources.split_names import split_like
from archsearch.data.sources.table_paths import locate
from archsearch.errors import DataError
from archsearch.units import counted, printable


@dataclass(frozen=True, slots=True)
class _Names:
    """Headings of a column: those that say it plainly, and those that people use for other things too."""

    plain: tuple[str, ...]
    more: tuple[str, ...]

    def find(self, head: Sequence[str]) -> int | None:
        """Find the column: the first that has a plain name, or else the likeliest of the others."""
        lower = [cell.lower() for cell in head]
        first = next((i for i, name in enumerate(lower) if name in self.plain), None)
        if first is not None:
            return first
        bare = [re.sub(r"[^a-z0-9]", "", name) for name in lower]
        return next((bare.index(name) for name in self.more if name in bare), None)

    def is_plain(self, name: str) -> bool:
        """Whether a heading says it plainly."""
        return name.lower() in self.plain


_PATH: Final = _Names(
    ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    (
        *("filepaths", "imagefile", "imagepath", "imagename", "imgpath", "imgname", "img"),
        *("imageid", "photo", "photoid", "picture", "fname", "uri", "name", "id"),
    ),
)
_LABEL: Final = _Names(
    ("label", "class", "target", "category"),
    (
        *("labels", "classname", "labelname", "classlabel", "breed", "species", "diagnosis", "dx"),
        *("disease", "emotion", "type", "tag", "y", "classid"),
    ),
)
_SPLIT: Final = _Names(("split", "subset", "fold"), ("dataset", "partition", "usage", "phase"))
_SEPARATORS: Final = (",", ";", "\t", "|")
_LOOKED_AT: Final = 20  # rows that say which column holds paths
_PIXEL_COLUMNS: Final = 64
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


class Table(FileSource):
    """Images listed in a table; paths are relative to the table's folder."""

    def _find(self) -> Listing:
        return read_table(self._path)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where path, label and split are; several labels are a column a class, with one 1 a row."""

    path: int
    labels: tuple[int, ...]
    split: int | None
    heading: tuple[str, ...] | None


Line = tuple[int, list[str]]


def read_table(path: Path) -> Listing:
    """Read a table of images.

    The first line names the columns (`path` and `label`, perhaps `split`) in any order; without
    such a line the first column is the path and the second the label. Other headings do where the
    column of paths is plain and one column, or one a class, is left for the label.

    Raises:
        DataError: it is no such table, a row lacks its path or label, or no image is found.
    """
    where = printable(path)
    lines = _lines(path, where)
    columns = _columns([cells for _, cells in lines], where)
    body = lines if columns.heading is None else lines[1:]
    if not body:
        raise DataError(f"{where} names no images; wanted lines of path,label")
    rows = [_row(cells, columns, f"{where}, line {line}") for line, cells in body]
    split, _ = split_like(path.stem)
    located = locate(path.parent, [cell for cell, _, _ in rows], where, split=split)
    files = tuple(
        ImageFile(path=found, name=printable(cell), label=printable(label), fixed=fixed)
        for (cell, label, fixed), found in zip(rows, located.paths, strict=True)
    )
    notes = [note for note in (_headings_note(columns), located.note) if note]
    if columns.heading is None and _is_heading(files):
        notes.append(f"the first line, {files[0].name},{files[0].label}, was taken for headings")
        files = files[1:]
    return Listing(
        files, _in_order({file.label for file in files}), (*notes, *_listed_twice(files))
    )


def _is_heading(files: Sequence[ImageFile]) -> bool:
    """Whether the first line alone names no image, and a class that no other line has."""
    first, rest = files[0], files[1:]
    return (
        not os.path.isfile(first.path)
        and bool(rest)
        and all(file.label != first.label for file in rest)
        and all(os.path.isfile(file.path) for file in rest[:_LOOKED_AT])
    )


def _lines(path: Path, where: str) -> list[Line]:
    """Read the lines that hold something, numbered, their cells stripped."""
    try:
        raw = path.read_bytes()
        # utf-8-sig: spreadsheets begin their files with a mark.
        text = raw.decode("utf-16" if raw.startswith(_UTF_16) else "utf-8-sig")
        first = "\t" if path.suffix.lower() == ".tsv" else ","
        rows = list(csv.reader(io.StringIO(text), delimiter=_separator(text, first), strict=True))
    except UnicodeError as error:
        raise DataError(f"{where} is no UTF-8 text; save the table as UTF-8") from error
    except (OSError, csv.Error, MemoryError) as error:
        raise DataError(f"{where} can't be read as a table: {error}") from error
    numbered = [(line, [cell.strip() for cell in row]) for line, row in enumerate(rows, start=1)]
    lines = [(line, cells) for line, cells in numbered if any(cells)]
    if not lines:
        raise DataError(f"{where} is empty; wanted lines of path,label")
    return lines


def _separator(text: str, first: str) -> str:
    """Find what separates the columns: the usual one, unless it divides the first line nowhere."""
    line = next(filter(str.strip, text.splitlines()), "")
    return next((s for s in (first, *_SEPARATORS) if s in line), first)


def _columns(rows: Sequence[list[str]], where: str) -> Columns:
    """Find the columns by their headings, and by what is in them."""
    head, body = rows[0], rows[1 : 1 + _LOOKED_AT]
    if len(head) < 2:
        raise DataError(f"{where} has one column; wanted path,label")
    filed = [i for i in range(len(head)) if _mostly_files(body or [head], i)]
    many = len(head) > _PIXEL_COLUMNS and not filed
    if many or any(cell.lower().startswith("pixel") for cell in head):
        raise DataError(
            f"{where} holds pixels in its columns; save them as an .npz of x (images, height, width) "
            "and y"
        )
    path, label, split = (names.find(head) for names in (_PATH, _LABEL, _SPLIT))
    if any(i < len(head) and _is_file(head[i]) for i in filed):
        # Without headings: the paths come first, or in the only column that holds any.
        at = filed[0]
        return Columns(at, (0 if at else 1,), None, None)
    if path is None and label is None and not filed:
        return Columns(0, (1,), None, None)
    if path is None or (filed and path not in filed and not _PATH.is_plain(head[path])):
        path = filed[0] if filed else None
    others = _others(head, path, split)
    if path is None and label is not None and len(others) == 2:
        path = next(i for i in others if i != label)
    if path is None:
        raise _no_column("path", head, where)
    if split is not None and not _is_split(head[split], body, split):
        split = None
    return Columns(path, _labels(head, body, path, split, label, where), split, tuple(head))


def _labels(
    head: list[str],
    body: Sequence[list[str]],
    path: int,
    split: int | None,
    label: int | None,
    where: str,
) -> tuple[int, ...]:
    """Find the column of labels, or the columns of which each stands for a class."""
    if label is not None and label != path:
        return (label,)
    others = _others(head, path, split)
    if len(others) == 1:
        return others
    hot = [[_hot(row[i]) if i < len(row) else None for i in others] for row in body]
    if len(others) > 1 and hot and all(None not in row and sum(map(bool, row)) == 1 for row in hot):
        return others
    raise _no_column("label", head, where)


def _others(head: Sequence[str], path: int | None, split: int | None) -> tuple[int, ...]:
    """Return the columns that are left, but for the row numbers that pandas writes."""
    return tuple(
        i
        for i, name in enumerate(head)
        if i not in {path, split} and name.lower() not in {"", "index", "unnamed: 0"}
    )


def _hot(cell: str) -> bool | None:
    return {"0": False, "0.0": False, "1": True, "1.0": True}.get(cell)


def _no_column(missing: str, head: Sequence[str], where: str) -> DataError:
    found = ", ".join(map(printable, head))
    return DataError(
        f"{where} has no column {missing} (found {found}); call the one that is it {missing!r}"
    )


def _is_file(cell: str) -> bool:
    return any(cell.lower().endswith(suffix) for suffix in SUFFIXES)


def _mostly_files(rows: Sequence[list[str]], column: int) -> bool:
    cells = [row[column] for row in rows if column < len(row)]
    return 2 * sum(map(_is_file, cells)) > len(cells)


def _is_split(name: str, body: Sequence[list[str]], column: int) -> bool:
    """Whether a column is of splits: by its plain name, or by what is in it."""
    if _SPLIT.is_plain(name):
        return True
    cells = [row[column] for row in body if column < len(row) and row[column]]
    return bool(cells) and all(split_like(cell)[0] for cell in cells)


def _row(cells: Sequence[str], columns: Columns, where: str) -> tuple[str, str, int]:
    """Return path, label and split of a row.

    Raises:
        DataError: it lacks one, or the split is unknown.
    """
    wanted = max(columns.path, *columns.labels)
    if len(cells) <= wanted or not cells[columns.path]:
        raise DataError(f"{where}: {printable(','.join(cells))!r} is no path,label")
    label = _label(cells, columns)
    if not label:
        raise DataError(f"{where}: {printable(','.join(cells))!r} is no path,label")
    split = cells[columns.split] if columns.split is not None and len(cells) > columns.split else ""
    return cells[columns.path], label, _fixed(split, where)


def _label(cells: Sequence[str], columns: Columns) -> str:
    if len(columns.labels) == 1:
        return cells[columns.labels[0]]
    hot = [i for i in columns.labels if _hot(cells[i])]
    return columns.heading[hot[0]] if columns.heading and len(hot) == 1 else ""


def _fixed(split: str, where: str) -> int:
    if not split:
        return FREE
    name, rest = split_like(split)
    if name is None or rest:
        raise DataError(
            f"{where}: split {printable(split)!r} is unknown; wanted train, val or test"
        )
    # What "train" does not publish beside it is cut out of it, as with folders.
    return FREE if name == "train" else SPLITS.index(name)


def _headings_note(columns: Columns) -> str:
    if columns.heading is None:
        return ""
    path, labels = columns.heading[columns.path], [columns.heading[i] for i in columns.labels]
    if _PATH.is_plain(path) and len(labels) == 1 and _LABEL.is_plain(labels[0]):
        return ""
    listed = ", ".join(map(printable, labels[:5]))
    return f"column {printable(path)} was read as the path, {listed} as the label"


def _listed_twice(files: Sequence[ImageFile]) -> list[str]:
    labels: dict[str, set[str]] = {}
    for file in files:
        labels.setdefault(file.path, set()).add(file.label)
    several = [path for path, own in labels.items() if len(own) > 1]
    if not several:
        return []
    name = next(file.name for file in files if file.path == several[0])
    return [f"{counted(len(several), 'file')} listed under more than one label: {name}"]


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """Labels by number if all are numbers (2 before 10), else by name."""
    if all(label.isascii() and label.isdigit() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))
