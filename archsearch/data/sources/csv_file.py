"""A CSV file of `path,label`, with a `split` column where the data have splits of their own."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from archsearch.data.dataset import SPLITS
from archsearch.data.sources.files import FileSource, ImageFile, Listing
from archsearch.data.sources.items import FREE, show, split_named
from archsearch.errors import DataError

_PATH: Final = frozenset(
    {"path", "file", "filename", "file_name", "filepath", "image", "image_path"}
)
_LABEL: Final = frozenset({"label", "class", "target", "category"})
_SPLIT: Final = frozenset({"split", "subset", "fold"})


class Table(FileSource):
    """Images listed in a table; paths are relative to the table's folder."""

    def _find(self) -> Listing:
        return read_table(self._path)


def read_table(path: Path) -> Listing:
    """Read a table of images.

    The first line names the columns (`path` and `label`, perhaps `split`) in any order; without
    such a line the first column is the path and the second the label.

    Raises:
        DataError: it is no such table, or a row lacks its path or label.
    """
    where = show(path)
    try:
        # utf-8-sig: spreadsheets begin their files with a mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no UTF-8 text; save the table as UTF-8") from error
    except (OSError, csv.Error, MemoryError) as error:
        raise DataError(f"{where} can't be read as a table: {error}") from error
    numbered = [(line, row) for line, row in enumerate(rows, start=1) if any(map(str.strip, row))]
    if not numbered:
        raise DataError(f"{where} is empty; wanted lines of path,label")
    columns = _columns(numbered[0][1], where)
    body = numbered if columns is None else numbered[1:]
    path_at, label_at, split_at = columns or (0, 1, None)
    if not body:
        raise DataError(f"{where} names no images; wanted lines of path,label")
    files = []
    for line, row in body:
        cells = [cell.strip() for cell in row]
        if len(cells) <= max(path_at, label_at) or not cells[path_at] or not cells[label_at]:
            raise DataError(f"{where}, line {line}: {show(','.join(row))!r} is no path,label")
        split = cells[split_at] if split_at is not None and len(cells) > split_at else ""
        files.append(
            ImageFile(
                path=str(path.parent / cells[path_at]),
                name=show(cells[path_at]),
                label=show(cells[label_at]),
                fixed=_fixed(split, f"{where}, line {line}"),
            )
        )
    return Listing(tuple(files), _in_order({file.label for file in files}))


def _columns(head: Sequence[str], where: str) -> tuple[int, int, int | None] | None:
    """Where path, label and split are; None if the line is no heading."""
    names = [cell.strip().lower() for cell in head]
    found = [next((i for i, n in enumerate(names) if n in known), None) for known in _KNOWN]
    path_at, label_at, split_at = found
    if path_at is not None and label_at is not None:
        return path_at, label_at, split_at
    if len(names) < 2:
        raise DataError(f"{where} has one column; wanted path,label")
    if path_at is not None or label_at is not None:
        missing = "label" if label_at is None else "path"
        raise DataError(f"{where} has no column {missing} (found {', '.join(map(show, head))})")
    return None


_KNOWN: Final = (_PATH, _LABEL, _SPLIT)


def _fixed(split: str, where: str) -> int:
    if not split:
        return FREE
    name = split_named(split)
    if name is None:
        raise DataError(f"{where}: split {show(split)!r} is unknown; wanted train, val or test")
    # What "train" does not publish beside it is cut out of it, as with folders.
    return FREE if name == "train" else SPLITS.index(name)


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """Labels by number if all are numbers (2 before 10), else by name."""
    if all(label.isascii() and label.isdigit() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))
