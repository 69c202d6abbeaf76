"""The image files that a person named, one by one or by their folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from archsearch.data.sources.decode import SUFFIXES
from archsearch.errors import UserError
from archsearch.units import printable


def image_files(named: Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Return every file once, in the order named; folders give theirs sorted, at any depth.

    A file that is named itself is taken whatever it is called: whoever reads it says what is wrong.

    Raises:
        UserError: a folder holds no image.
    """
    found: dict[Path, None] = {}
    for name in named:
        path = Path(name)
        if not path.is_dir():
            found[path] = None
            continue
        inside = list(_inside(path))
        if not inside:
            raise UserError(
                f"{printable(path)} holds no image; wanted files that end in .jpg, .png, .webp, .bmp, "
                ".gif or .tiff, in it or below"
            )
        found.update(dict.fromkeys(inside))
    if not found:
        raise UserError("no image is named; give files or folders")
    return tuple(found)


def _inside(root: Path) -> Iterator[Path]:
    # Links to folders are not followed: one may lead back to where it lies.
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(folder, name)
