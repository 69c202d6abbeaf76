"""Exported models read back: of which format one is, what it says of itself, and what answers for it."""

import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.formats.format import FACTS_FILE, Format, why_unusable
from archsearch.exchange.formats.registry import find_format, load_formats
from archsearch.units import printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Answers: TypeAlias = "Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]"
"""From images (n, height, width, channels) to probabilities (n, classes)."""

_FIRST_FOLDER: Final = "saved_model"
"""What a folder is that does not name its format: the only one when facts did not say it yet."""
_MOST_BYTES: Final = 100_000_000  # facts of 10,000 layers are 5 MB


@runtime_checkable
class Loads(Protocol):
    """A format that can keep a model loaded; the others load it with every call."""

    def load(self, out: Path) -> Answers:
        """Load what was written; return what answers, for batches of any length."""
        ...


@runtime_checkable
class HoldsFacts(Protocol):
    """A format that keeps its facts elsewhere than in a file of that name in its folder or archive."""

    def read_facts(self, out: Path) -> str:
        """Return what FACTS_FILE would hold (see `Trained.facts`).

        Raises:
            KeyError: there is none in it.
        """
        ...


@runtime_checkable
class HoldsWeights(Protocol):
    """A format of which the trained weights can be had back."""

    def read_weights(self, out: Path, graph: Any) -> "dict[str, npt.NDArray[Any]]":
        """Return the weights of the Graph by layer, as in `Trained.weights`.

        Raises:
            ArchsearchError: they are not this network's.
        """
        ...


def format_of(path: Path) -> Format:
    """Find the format of an exported model: by its name's ending, a folder's by what it says of itself.

    Raises:
        UserError: nothing is there, or it is of no installed format; or a package is missing.
    """
    if not path.exists():
        raise UserError(
            f"no model at {printable(path)}; `archsearch export STUDY --out "
            f"{shlex.quote(printable(path))}` writes a study's"
        )
    form = _folder_format(path) if path.is_dir() else _file_format(path)
    if (why := why_unusable(form)) is not None:
        raise UserError(why.replace("exporting as", "reading"))
    return form


def read_facts(form: Format, path: Path) -> str:
    """Return what a model says of itself: FACTS_FILE, as JSON.

    Raises:
        UserError: it says nothing.
    """
    try:
        if isinstance(form, HoldsFacts):
            return form.read_facts(path)
        return _facts_in_folder(path) if path.is_dir() else _facts_in_archive(path)
    except ArchsearchError:
        raise
    except Exception as error:  # libraries raise nearly every type there is
        raise UserError(
            f"{printable(path)} does not say which classes and images it is for "
            f"({type(error).__name__}); wanted a model that `archsearch export` wrote"
        ) from error


def is_export(folder: Path) -> bool:
    """Whether a folder holds a model that `archsearch export` wrote."""
    return folder.is_dir() and bool(_facts_files(folder))


def answers_of(form: Format, path: Path) -> Answers:
    """Return what gives a model's answers, loaded once where its format can keep it."""
    if isinstance(form, Loads):
        return form.load(path)
    return lambda images: form.call(path, images)


def _file_format(path: Path) -> Format:
    fitting = [
        form for form in load_formats().values() if path.suffix and path.suffix == form.suffix
    ]
    if not fitting:
        raise UserError(
            f"{printable(path)} is no exported model: wanted a folder, or a file that ends in "
            f"{' or '.join(_suffixes())}"
        )
    # Formats that differ in numbers alone may share a suffix: whichever reads it calls it.
    return fitting[0]


def _suffixes() -> list[str]:
    return sorted({form.suffix for form in load_formats().values() if form.suffix})


def _folder_format(path: Path) -> Format:
    import json

    try:
        name = json.loads(_facts_in_folder(path)).get("format", _FIRST_FOLDER)
    except (KeyError, OSError, ValueError, AttributeError) as error:
        models = sorted(one for one in path.iterdir() if one.suffix in _suffixes())
        why = f"did you mean {printable(models[0])}?" if models else f"no {FACTS_FILE} in it"
        raise UserError(
            f"{printable(path)} is a folder without a model that `archsearch export` wrote: {why}"
        ) from error
    return find_format(str(name))


def _facts_in_folder(path: Path) -> str:
    found = _facts_files(path)
    if not found:
        raise KeyError(FACTS_FILE)
    return found[0].read_text(encoding="utf-8")


def _facts_files(folder: Path) -> list[Path]:
    return sorted((*folder.glob(FACTS_FILE), *folder.glob(f"*/{FACTS_FILE}")))


def _facts_in_archive(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if Path(entry.filename).name == FACTS_FILE and entry.file_size <= _MOST_BYTES:
                return archive.read(entry).decode("utf-8")
    raise KeyError(FACTS_FILE)
