"""Where an export goes: checked before anything is started, replaced only by what is whole."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from archsearch.errors import ArchsearchError, UserError

_WILDCARDS: Final = frozenset("[]*?\\{}")


def check_place(out: Path, *, overwrite: bool, ours: Callable[[Path], bool]) -> None:
    """Refuse a place where nothing can be written, or where something is; make the folder above.

    Args:
        out: a file or a folder; an empty folder is nothing.
        overwrite: what is there is going to be replaced.
        ours: whether what is there is of the kind that is written now; nothing else is ever replaced.

    Raises:
        UserError: says what to try.
    """
    if out.name in ("", ".."):  # what is there would have to be moved away under the caller's feet
        raise UserError(
            f"{out} can't become a model; give a folder of its own, like {out / 'model'}"
        )
    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            if not overwrite:
                raise UserError(f"{out} exists; give another --out, or --force to replace it")
            if not ours(out):  # a folder of photos, say: it would be gone
                raise UserError(
                    f"{out} holds what archsearch did not write, and --force leaves that alone; "
                    "give another --out"
                )
        _try_writing(out)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{out} can't be written: {out.parent} is no folder") from None
    except (OSError, ValueError) as error:  # a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{out} can't be written ({reason}); give another --out") from None


@contextmanager
def new_at(out: Path) -> Iterator[Path]:
    """Give a place to write to that becomes `out` when all went well, and vanishes otherwise."""
    clear_leftovers(out)
    part, old = _beside(out, "part"), _beside(out, "old")
    try:
        yield part
        if out.exists():
            out.replace(old)
        part.replace(out)
    finally:
        if old.exists() and not out.exists():  # renaming failed half-way
            old.replace(out)
        for leftover in (part, old):
            _remove(leftover)


@contextmanager
def no_pattern(folder: Path) -> Iterator[Path]:
    """Give a path to the same folder that is no pattern: TensorFlow takes `[`, `*` and the like for one.

    It lasts as long as the block does; the folder must be there.

    Raises:
        ArchsearchError: temporary files, too, lie under such a name.
    """
    if not _WILDCARDS & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="archsearch-") as place:
        if _WILDCARDS & set(place):
            raise ArchsearchError(
                f"TensorFlow takes {folder} for a pattern, and so it does {place}, where temporary files go; "
                "set TMPDIR to a folder without [ ] { } * ? and backslashes in its name"
            )
        link = Path(place) / "folder"
        link.symlink_to(folder.absolute(), target_is_directory=True)
        yield link


def clear_leftovers(out: Path) -> None:
    """Clear away what a killed export to `out` has left; a model that it was to replace comes back."""
    pattern = re.compile(
        rf"\.{re.escape(out.stem)}\.\d+\.(old|part){re.escape(out.suffix)}", re.ASCII
    )
    names = [path.name for path in out.parent.iterdir()] if out.parent.is_dir() else []
    found = {name: match[1] for name in names if (match := pattern.fullmatch(name))}
    for name, what in found.items():
        leftover = out.with_name(name)
        if what == "old" and not out.exists():
            leftover.replace(out)
        else:
            _remove(leftover)


def _try_writing(out: Path) -> None:
    """Make the folder above and, for a moment, another one in it: permissions alone do not tell."""
    out.parent.mkdir(parents=True, exist_ok=True)
    tried = _beside(out, "test")
    tried.mkdir(exist_ok=True)
    tried.rmdir()


def _beside(out: Path, what: str) -> Path:
    """Name a place of this process next to `out`; the suffix stays, as Keras goes by it."""
    return out.with_name(f".{out.stem}.{os.getpid()}.{what}{out.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
